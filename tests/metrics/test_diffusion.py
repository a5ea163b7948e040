"""Diffusion against scipy's direct solver on the matrix written out pixel by pixel."""

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch

from lit_attr.metrics._diffusion import diffuse


def solved(image, known):
    """One channel `[H, W]`, as NumPy arrays."""
    height, width = image.shape
    unknown = np.argwhere(~known)
    number = {tuple(place): i for i, place in enumerate(unknown)}
    matrix, right = scipy.sparse.lil_matrix((len(unknown), len(unknown))), np.zeros(len(unknown))
    for i, (y, x) in enumerate(unknown):
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                place = (y + dy, x + dx)
                if (dy, dx) == (0, 0) or not (0 <= place[0] < height and 0 <= place[1] < width):
                    continue
                weight = 1 / 12 if dy and dx else 1 / 6
                matrix[i, i] += weight
                if place in number:
                    matrix[i, number[place]] -= weight
                else:
                    right[i] += weight * image[place]
    found = image.copy()
    found[~known] = scipy.sparse.linalg.spsolve(matrix.tocsr(), right)
    return found


def masks(height, width):
    """Known pixels: scattered, many and few, all but a blob, and one alone."""
    scattered = torch.rand(3, height, width) < torch.tensor([0.9, 0.4, 0.05])[:, None, None]
    scattered[:, 1, 2] = True
    blob, single = torch.ones(1, height, width, dtype=torch.bool), torch.zeros(1, height, width, dtype=torch.bool)
    blob[:, 2 : height - 1, : width - 2] = False
    single[:, -1, 0] = True
    return torch.cat([scattered, blob, single])[:, None]


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 2e-5), (torch.float32, 5e-5)])
@pytest.mark.parametrize("size", [(12, 17), (25, 9)])
def test_equals_a_direct_solver(dtype, atol, size):
    known = masks(*size)
    images = torch.rand(len(known), 2, *size, dtype=dtype)
    found = diffuse(images, known)
    assert found.dtype == dtype
    expected = np.stack(
        [[solved(c.double().numpy(), k[0].numpy()) for c in image] for image, k in zip(images, known, strict=True)]
    )
    torch.testing.assert_close(found, torch.from_numpy(expected).to(dtype), rtol=0, atol=atol)
    assert torch.equal(found[known.expand_as(found)], images[known.expand_as(images)])


def test_a_smaller_tolerance_is_nearer():
    known = masks(16, 16)[2:3]
    image = torch.rand(1, 1, 16, 16, dtype=torch.float64)
    expected = torch.from_numpy(solved(image[0, 0].numpy(), known[0, 0].numpy()))
    errors = [
        float((diffuse(image, known, tolerance)[0, 0] - expected).abs().max()) for tolerance in (1e-2, 1e-5, 1e-11)
    ]
    assert errors[0] > 10 * errors[1] > 10 * errors[2]
    assert errors[2] < 1e-9


def test_does_not_depend_on_company():
    """Images that are finished early, or are put away, are those that they are alone."""
    known = masks(20, 20)
    images = torch.rand(len(known), 3, 20, 20, dtype=torch.float64)
    together = diffuse(images, known)
    for i in range(len(known)):
        torch.testing.assert_close(diffuse(images[i : i + 1], known[i : i + 1])[0], together[i], rtol=0, atol=1e-11)
        for c in range(3):
            alone = diffuse(images[i : i + 1, c : c + 1], known[i : i + 1])
            torch.testing.assert_close(alone[0, 0], together[i, c], rtol=0, atol=1e-11)


def test_nothing_unknown_and_nothing_given():
    image = torch.rand(1, 2, 4, 4)
    assert torch.equal(diffuse(image, torch.ones(1, 1, 4, 4, dtype=torch.bool)), image)
    assert diffuse(image[:0], torch.ones(0, 1, 4, 4, dtype=torch.bool)).shape == (0, 2, 4, 4)


@pytest.mark.parametrize("level", [0.0, 1e-20, 0.3, 1e4])
def test_a_constant_image_is_filled_with_its_value(level):
    found = diffuse(torch.full((5, 1, 9, 9), level), masks(9, 9))
    torch.testing.assert_close(found, torch.full_like(found, level), rtol=1e-5, atol=0)


def test_filled_pixels_stay_in_the_range_of_the_known():
    known = masks(15, 15)
    images = torch.rand(5, 1, 15, 15, dtype=torch.float64)
    found = diffuse(images, known, 1e-12).flatten(1)
    inside = images.masked_fill(~known, torch.nan).flatten(1)
    low = inside.nan_to_num(torch.inf).amin(1) - 1e-9
    high = inside.nan_to_num(-torch.inf).amax(1) + 1e-9
    assert bool(((found >= low[:, None]) & (found <= high[:, None])).all())


def test_what_is_given_is_left_alone():
    images, known = torch.rand(5, 1, 9, 9), masks(9, 9)
    copies = images.clone(), known.clone()
    diffuse(images, known)
    assert torch.equal(images, copies[0])
    assert torch.equal(known, copies[1])

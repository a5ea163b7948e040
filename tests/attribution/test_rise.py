import itertools

import pytest
import torch
from skimage.transform import resize
from torch import nn

from _reference.nets import Recorder, cnn
from lit_attr._view import looking_at
from lit_attr.attribution import RISE, rise

TARGETS = torch.tensor([2, 0])


@pytest.fixture
def images():
    return torch.rand(2, 3, 10, 13, dtype=torch.float64)


def cut(grid, offset, size):
    """The authors' mask of a grid: enlarged by scikit-image, cropped."""
    cell = [-(-length // len(grid)) for length in size]
    large = resize(grid, [(len(grid) + 1) * c for c in cell], order=1, mode="reflect", anti_aliasing=False)
    (top, left), (height, width) = offset, size
    return torch.from_numpy(large[top : top + height, left : left + width])


def masks_of(method, size):
    """The masks, seen as what a model gets for a white image, `[N, H, W]`."""
    net = Recorder(nn.Sequential(nn.Flatten(), nn.Linear(size[0] * size[1], 2, dtype=torch.float64)))
    method(net, torch.ones(1, 1, *size, dtype=torch.float64), 1)
    return net.points[:, 0]


def scoring(weights, bias=0.0):
    """One unit: the weighted sum of the places of a grey image, and a constant."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(weights.numel(), 1, dtype=torch.float64))
    with torch.no_grad():
        net[1].weight.copy_(weights.flatten()[None])
        net[1].bias.fill_(bias)
    return net


@pytest.mark.parametrize(("size", "cells"), [((10, 13), 4), ((8, 8), 7), ((8, 6), 1), ((5, 4), 7), ((12, 12), 3)])
def test_masks_are_the_authors(size, cells):
    method = RISE(masks=30, cells=cells)
    with looking_at(cnn(), torch.rand(1, 3, *size, dtype=torch.float64), 0) as view:
        drawn = rise._draw(30, cells, 0.5, 0, view)
    offsets = zip(drawn.rows[0].tolist(), drawn.columns[0].tolist(), strict=True)
    grids = drawn.grids.numpy()
    assert set(grids.flatten()) == {0, 1}
    expected = torch.stack([cut(grid, offset, size) for grid, offset in zip(grids, offsets, strict=True)])
    torch.testing.assert_close(masks_of(method, size), expected, rtol=0, atol=1e-12)


def test_cells_are_kept_with_the_probability_and_offsets_are_uniform():
    n, p = 4000, 0.3
    with looking_at(cnn(), torch.rand(1, 3, 10, 13, dtype=torch.float64), 0) as view:
        drawn = rise._draw(n, 4, p, 0, view)
    assert bool(((drawn.grids.mean(0) - p).abs() < 4 * (p * (1 - p) / n) ** 0.5).all())
    for (offset, _), cell in ((drawn.rows, 3), (drawn.columns, 4)):
        shares = offset.bincount() / n
        assert len(shares) == cell
        assert bool(((shares - 1 / cell).abs() < 4 * (1 / cell / n) ** 0.5).all())


@pytest.mark.parametrize("objective", ["prob", "margin"])
@pytest.mark.parametrize("debias", [False, True])
@pytest.mark.parametrize(
    ("fill", "colour"),
    [
        (0.0, lambda x: 0 * x),
        ("white", torch.ones_like),
        ("mean", lambda x: x.mean((2, 3), keepdim=True)),
        (lambda x: x.flip(3), lambda x: x.flip(3)),
    ],
    ids=["number", "colour", "mean", "another image"],
)
def test_it_is_the_plain_sum(fill, colour, debias, objective, images):
    """Mask after mask and sample after sample, as in the paper."""
    net, n, p = cnn(), 12, 0.4
    settings = {"masks": n, "cells": 3, "probability": p, "seed": 5}
    found = RISE(**settings, fill=fill, debias=debias, objective=objective, max_batch=5)(net, images, TARGETS)
    masks, background = masks_of(RISE(**settings), (10, 13)), colour(images)
    for row, target in enumerate(TARGETS.tolist()):
        scores = []
        for mask in masks:
            logits = net((images[row] * mask + background[row] * (1 - mask))[None]).detach()[0]
            others = torch.cat([logits[:target], logits[target + 1 :]])
            scores.append(logits.softmax(0)[target] if objective == "prob" else logits[target] - others.max())
        mean = sum(scores) / n if debias else 0
        expected = sum((score - mean) * mask for score, mask in zip(scores, masks, strict=True)) / (n * p)
        torch.testing.assert_close(found[row, 0], expected, rtol=1e-10, atol=1e-13)


def test_the_objective_is_the_probability(images):
    net = cnn()
    found = RISE(masks=9)(net, images, TARGETS)
    assert torch.equal(found, RISE(masks=9, objective="prob")(net, images, TARGETS))


@pytest.mark.parametrize("zeros", [1, 3])
def test_enumerated_masks(zeros, monkeypatch):
    """Check N13: all 16 masks of 2x2 places, each as often as it is likely; S = c + p * (sum of the other c)."""
    p, c = 1 / (1 + zeros), torch.tensor([[1.0, -2.0], [0.5, 4.0]], dtype=torch.float64)
    grids = []
    for bits in itertools.product([0.0, 1.0], repeat=4):
        grids += [torch.tensor(bits, dtype=torch.float64).view(2, 2)] * zeros ** bits.count(0.0)
    plain = torch.zeros(len(grids), dtype=torch.long), torch.eye(2, dtype=torch.float64)[None]
    monkeypatch.setattr(rise, "_draw", lambda *_: rise._Masks(torch.stack(grids), plain, plain))
    method = RISE(masks=len(grids), cells=2, probability=p, debias=False, objective="logit")
    found = method(scoring(c), torch.ones(1, 1, 2, 2, dtype=torch.float64), 1)[0, 0]
    torch.testing.assert_close(found, c + p * (c.sum() - c), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("debias", "bias"), [(False, 0.0), (True, 0.0), (True, 20.0)])
@pytest.mark.parametrize("p", [0.5, 0.2])
def test_expectation_of_a_linear_model(p, debias, bias):
    """Check N13, with enlarged and shifted masks.

    With a_q the weights of the grid's cells at place q, E[M_q M_l] = p^2 + p (1 - p) a_q . a_l, averaged over offsets.
    """
    n, cells, size = 20000, 3, (6, 6)
    c = torch.randn(size, dtype=torch.float64)
    offsets = list(itertools.product(range(2), range(2)))
    ones = torch.eye(cells**2, dtype=torch.float64).view(-1, cells, cells).numpy()
    weights = torch.stack([torch.stack([cut(one, offset, size).flatten() for one in ones]) for offset in offsets])
    product = (weights.mT @ weights).mean(0)
    expected = ((1 - p) * product if debias else p + (1 - p) * product) @ c.flatten() + (0 if debias else bias)

    method = RISE(masks=n, cells=cells, probability=p, debias=debias, objective="logit")
    found = method(scoring(c, bias), torch.ones(1, 1, *size, dtype=torch.float64), 1).flatten()
    masks = masks_of(method, size).flatten(1)
    scores = masks @ c.flatten() + bias
    terms = (scores - scores.mean() * debias)[:, None] * masks / p
    assert bool(((found - expected).abs() < 4 * terms.std(0) / n**0.5).all())


def test_a_constant_model_is_a_zero_map_without_its_mean():
    net, images = scoring(torch.zeros(8, 8), bias=3.0), torch.rand(1, 1, 8, 8, dtype=torch.float64)
    plain, centred = (RISE(masks=50, debias=debias, objective="logit")(net, images, 1) for debias in (False, True))
    torch.testing.assert_close(centred, torch.zeros_like(centred), rtol=0, atol=1e-12)
    assert float(plain.std()) > 0.1  # the noise of the masks


def test_a_model_without_a_gradient(images):
    class Tree(nn.Module):
        """Class 1 where the left half is brighter."""

        def forward(self, x):
            left = x.numpy()[..., :6].mean((1, 2, 3)) > x.numpy()[..., 6:].mean((1, 2, 3))
            return torch.from_numpy(left).long()[:, None] * torch.tensor([[0.0, 5.0]], dtype=torch.float64)

    found = RISE(masks=200, cells=3, debias=True)(Tree(), torch.ones_like(images), 1)
    assert bool((found[..., :5].mean((2, 3)) > 0.03).all())
    assert bool((found[..., 8:].mean((2, 3)) < -0.03).all())


def test_every_sample_and_every_chunk_gets_the_same_masks():
    images, seen = torch.ones(3, 1, 8, 8), []
    for max_batch in (1, 4, None):
        net = Recorder(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)))
        RISE(masks=7, max_batch=max_batch)(net, images, 1)
        seen.append(net.points.view(7, 3, 8, 8))
    torch.testing.assert_close(seen[0], seen[0][:, :1].expand(-1, 3, -1, -1), rtol=0, atol=0)
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])


def test_masks_are_not_all_made_at_once(monkeypatch, images):
    net, made, make = cnn(), [], rise._Masks.make
    expected = RISE(masks=40)(net, images, 1)

    def watched(masks, start, stop):
        made.append(len(found := make(masks, start, stop)))
        return found

    monkeypatch.setattr(rise._Masks, "make", watched)
    monkeypatch.setattr(rise, "_MOST_VALUES", 3 * 130)
    found = RISE(masks=40, max_batch=4)(net, images, 1)
    assert max(made) <= 3
    assert sum(made) >= 80
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)


def test_the_seed_decides_and_nothing_else():
    first = masks_of(RISE(masks=5, seed=1), (8, 8))
    torch.manual_seed(99)
    assert torch.equal(masks_of(RISE(masks=5, seed=1), (8, 8)), first)
    assert not torch.equal(masks_of(RISE(masks=5, seed=2), (8, 8)), first)


def test_the_numbers_of_the_authors_notebook():
    method = RISE(preset="reference").resolved()
    assert (method.masks, method.cells, method.probability) == (6000, 8, 0.1)


def test_only_images():
    net = nn.Linear(6, 2)
    with pytest.raises(ValueError, match=r"`inputs` must be images \[B, C, H, W\], got shape \(2, 6\)"):
        RISE(masks=2)(net, torch.rand(2, 6), 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"masks": 0}, "`masks` must be a positive integer, got 0"),
        ({"cells": 2.5}, "`cells` must be a positive integer, got 2.5"),
        ({"probability": 0.0}, r"`probability` must be in \(0, 1\), got 0.0"),
        ({"probability": 1.0}, r"`probability` must be in \(0, 1\), got 1.0"),
        ({"fill": "blac"}, "`fill` is 'blac'; accepted: black, blur, imagenet_blur, imagenet_mean, mean, min, white"),
    ],
)
def test_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        RISE(**settings)

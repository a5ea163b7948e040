import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from lit_attr._checks import ArgumentError
from lit_attr.baselines import Sample, check_baseline, get_baseline

IMAGES = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("baseline", "value"), [("black", 0), ("white", 1), (0.5, 0.5), (-2, -2)])
def test_one_value_everywhere(baseline, value):
    assert torch.equal(get_baseline("b", baseline, IMAGES), torch.full_like(IMAGES, value))


def test_mean_is_of_each_image_and_channel():
    found = get_baseline("b", "mean", IMAGES)
    assert found.shape == IMAGES.shape
    for i in range(2):
        for c in range(3):
            assert torch.allclose(found[i, c], IMAGES[i, c].mean().expand(4, 5))


def test_mean_of_flat_inputs_is_of_each_sample():
    found = get_baseline("b", "mean", torch.tensor([[1.0, 3.0], [10.0, 30.0]]))
    assert found.tolist() == [[2, 2], [20, 20]]


@pytest.mark.parametrize("shape", [(), (5,), (3, 1, 1), (1, 3, 4, 5), (2, 1, 1, 1), (2, 3, 4, 5)])
def test_a_tensor_is_broadcast(shape):
    given = torch.rand(shape)
    assert torch.equal(get_baseline("b", given, IMAGES), given.expand_as(IMAGES))


def test_a_function_sees_the_inputs():
    assert torch.equal(get_baseline("b", lambda x: x.flip(0), IMAGES), IMAGES.flip(0))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("baseline", ["white", "mean", 0.5, torch.ones(1, dtype=torch.float32), lambda x: x.float()])
def test_dtype_is_that_of_the_inputs(dtype, baseline):
    assert get_baseline("b", baseline, IMAGES.to(dtype)).dtype == dtype


def test_it_is_detached():
    assert not get_baseline("b", torch.zeros(3, 1, 1, requires_grad=True), IMAGES).requires_grad


@pytest.mark.parametrize("colour", ["black", "white"])
def test_a_colour_needs_pixels(colour):
    with pytest.raises(ArgumentError, match=r"`inputs` must be images in \[0, 1\].*give `fill` as a number"):
        get_baseline("fill", colour, IMAGES * 4 - 2)


@pytest.mark.parametrize("refused", [check_baseline, lambda name, word: get_baseline(name, word, IMAGES)])
def test_an_unknown_word_is_refused(refused):
    with pytest.raises(ValueError, match=r"`fill` is 'blak'; accepted: black, .*white; did you mean 'black'\?"):
        refused("fill", "blak")


def test_a_shape_that_does_not_fit_is_refused():
    with pytest.raises(
        ArgumentError, match=r"`fill` must be a tensor that broadcasts to \(2, 3, 4, 5\), got shape \(2, 3\)"
    ):
        get_baseline("fill", torch.zeros(2, 3), IMAGES)


@pytest.mark.parametrize("bad", [math.nan, torch.full((5,), math.inf), lambda x: x / 0])
def test_a_value_that_is_not_finite_is_refused(bad):
    with pytest.raises(ArgumentError, match="`fill` must be finite"):
        get_baseline("fill", bad, IMAGES)


def rise_blur(images):
    """RISE's kernel as it makes it, one channel at a time, zeros around."""
    single = np.zeros((11, 11))
    single[5, 5] = 1
    kernel = torch.from_numpy(gaussian_filter(single, 5))[None, None]
    channels = [torch.nn.functional.conv2d(channel[:, None], kernel, padding=5) for channel in images.unbind(1)]
    return torch.cat(channels, 1)


@pytest.mark.parametrize("size", [(3, 24, 20), (1, 4, 5)])
def test_blur_is_that_of_rise(size):
    images = torch.randn(2, *size, dtype=torch.float64)
    torch.testing.assert_close(get_baseline("b", "blur", images), rise_blur(images), atol=1e-14, rtol=0)


def test_imagenet_blur_and_mean_are_what_a_normalising_model_sees_as_blur_and_zero():
    images = torch.rand(2, 3, 16, 14, dtype=torch.float64)
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)[:, None, None]
    found = (get_baseline("b", "imagenet_blur", images) - mean) / std
    torch.testing.assert_close(found, rise_blur((images - mean) / std), atol=1e-13, rtol=0)
    assert torch.equal(get_baseline("b", "imagenet_mean", images), mean.expand_as(images))
    with pytest.raises(ArgumentError, match=r"`inputs` must be images in \[0, 1\]"):
        get_baseline("b", "imagenet_blur", images * 3)
    with pytest.raises(ArgumentError, match=r"`b` must be a tensor that broadcasts to \(2, 1, 16, 14\)"):
        get_baseline("b", "imagenet_mean", images[:, :1])


def test_a_blur_needs_images():
    with pytest.raises(ArgumentError, match=r"`fill` must be another one for inputs \(2, 5\), which are no images"):
        get_baseline("fill", "blur", torch.rand(2, 5))


def test_min_is_of_each_sample():
    found = get_baseline("b", "min", torch.tensor([[1.0, 3.0], [-1.0, 5.0]]))
    assert found.tolist() == [[1, 1], [-1, -1]]


def test_sample_is_another_image_whatever_the_batch():
    pool = torch.rand(6, 3, 4, 5)
    found = get_baseline("b", Sample(pool, seed=3), pool)
    numbers = [next(i for i in range(6) if torch.equal(image, pool[i])) for image in found]
    first = max(set(numbers), key=numbers.count)
    assert [number == first for number in numbers] == [i != first for i in range(6)]
    for i in range(6):
        assert torch.equal(Sample(pool, seed=3)(pool[i : i + 1])[0], found[i])
    assert len({float(Sample(pool, seed)(IMAGES)[0].sum()) for seed in range(20)}) > 3


def test_sample_needs_another_image():
    with pytest.raises(ArgumentError, match="`images` must be a set with another image for each, got 1 times"):
        Sample(IMAGES[:1])(IMAGES[:1])
    with pytest.raises(ArgumentError, match=r"`images` must be samples of \(3, 4, 5\), got shape \(2, 3, 4\)"):
        Sample(IMAGES[..., 0])(IMAGES)

"""Normalisation: the formula, what it keeps, and what it refuses."""

import pytest
import torch

from lit_attr.modules.normalize import Normalize


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_formula(dtype):
    images = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    mean, std = [0.1, 0.2, 0.3], [0.5, 1.0, 2.0]
    expected = torch.stack([(images[:, c] - mean[c]) / std[c] for c in range(3)], dim=1)
    found = Normalize(mean, std)(images.to(dtype))
    assert found.dtype == dtype
    tolerance = {torch.float64: 1e-6, torch.float32: 1e-6, torch.bfloat16: 3e-2}[dtype]  # the mean is kept as float32
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)


def test_gradient_is_one_over_std():
    images = torch.rand(1, 2, 3, 3, requires_grad=True)
    Normalize([0.5, 0.5], [0.25, 0.5])(images).sum().backward()
    assert torch.equal(images.grad[0], torch.tensor([4.0, 2.0])[:, None, None].expand(2, 3, 3))


def test_moves_with_the_module_but_is_no_weight():
    layer = Normalize([0.5], [0.5])
    assert layer.state_dict() == {}
    assert layer.to("meta").mean.device.type == "meta"


@pytest.mark.parametrize("shape", [(1, 1, 4, 4), (3, 4, 4), (1, 4, 4, 3)])
def test_other_channels_are_refused(shape):
    with pytest.raises(ValueError, match=r"`images` must be \[B, 3, H, W\], as `mean` says, got shape \("):
        Normalize([0.5] * 3, [0.5] * 3)(torch.rand(shape))


@pytest.mark.parametrize(
    ("mean", "std", "message"),
    [
        ([0.5], [0.5, 0.5], "`std` must be one value per channel of `mean`, got 2 values for 1 of `mean`"),
        ([], [], "`std` must be one value per channel of `mean`, got 0 values for 0 of `mean`"),
        ([0.5], [0.0], r"`std` must be positive, got \[0.0\]"),
        ([0.5, 0.5], [0.1, -1.0], r"`std` must be positive, got \[0.1, -1.0\]"),
    ],
)
def test_wrong_settings(mean, std, message):
    with pytest.raises(ValueError, match=message):
        Normalize(mean, std)

import captum.attr
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from _reference.nets import Recorder, cnn
from lit_attr.attribution import Occlusion

TARGETS = torch.tensor([2, 0])


@pytest.fixture
def images():
    return torch.rand(2, 3, 10, 13, dtype=torch.float64)


@pytest.mark.parametrize("objective", ["prob", "logit"])
def test_captum(objective, images):
    """Feature ablation with the cells as its features."""
    net = cnn()
    numbers = (torch.arange(10) * 4 // 10)[:, None] * 4 + torch.arange(13) * 4 // 13
    function = net if objective == "logit" else nn.Sequential(net, nn.Softmax(1))
    oracle = captum.attr.FeatureAblation(function)
    background = images.mean((2, 3), keepdim=True).expand_as(images)
    expected = oracle.attribute(images, background, TARGETS, feature_mask=numbers[None, None]).detach()
    found = Occlusion(grid=4, objective=objective).explain(net, images, TARGETS)
    torch.testing.assert_close(found.attribution, expected[:, :1])
    effects = torch.stack([found.attribution[:, 0][:, numbers == n][:, 0] for n in range(16)], 1)
    torch.testing.assert_close(found.info["effects"], effects)
    assert found.passes == (17, 0) == Occlusion(grid=4).passes((3, 10, 13))


def test_a_smooth_map_goes_through_the_effects(images):
    found = Occlusion(grid=3, smooth=True).explain(cnn(), images, TARGETS)
    small = found.info["effects"].view(2, 1, 3, 3)
    expected = F.interpolate(small, (10, 13), mode="bilinear", align_corners=False)
    torch.testing.assert_close(found.attribution, expected)


def test_pixels_are_the_finest_grid(images):
    """Of a linear model, what each contributes."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(390, 3, dtype=torch.float64))
    found = Occlusion(grid=99, fill=0.25, objective="logit").explain(net, images, TARGETS)
    expected = (net[1].weight[TARGETS].view(2, 3, 10, 13) * (images - 0.25)).sum(1, keepdim=True)
    torch.testing.assert_close(found.attribution, expected.detach())
    assert found.passes == (131, 0) == Occlusion(grid=99).passes((3, 10, 13))


def test_superpixels_ask_once_for_each():
    images = torch.zeros(1, 3, 24, 24, dtype=torch.float64) + 0.2
    images[:, 0, :, 12:], images[:, 1, 12:] = 0.9, 0.9
    net = Recorder(cnn())
    found = Occlusion(cells="slic", grid=2, fill=0.0, objective="logit").explain(net, images, 1)
    assert len(found.attribution.unique()) == 4
    assert len(net.points) == 5 == found.passes.forward
    quarter = images.clone()
    quarter[:, :, :12, :12] = 0
    expected = (net.model(images) - net.model(quarter))[0, 1]
    torch.testing.assert_close(found.attribution[0, 0, 0, 0], expected.detach())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grid": 0}, "`grid` must be a positive integer, got 0"),
        ({"cells": "hex"}, "`cells` is 'hex'; accepted: grid, slic"),
        ({"fill": "gray"}, "`fill` is 'gray'; accepted"),
    ],
)
def test_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Occlusion(**settings)


def test_only_images():
    with pytest.raises(ValueError, match=r"`inputs` must be images \[B, C, H, W\], got shape \(2, 6\)"):
        Occlusion()(nn.Linear(6, 2), torch.rand(2, 6), 1)

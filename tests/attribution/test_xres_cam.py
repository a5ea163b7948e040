import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skimage.measure import block_reduce
from torch import nn

from lit_attr.attribution import GradCAM, HiResCAM, XResCAM

TARGETS = torch.tensor([2, 0])


@pytest.fixture
def images():
    return torch.rand(2, 3, 12, 9, dtype=torch.float64)


def network():
    """Its layer "1" has 10 by 7 places."""
    layers = [nn.Conv2d(3, 4, 3), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(60, 3)]
    return nn.Sequential(*layers).double()


def parts(net, images):
    a = net[:2](images).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(net[2:](a)[[0, 1], TARGETS].sum(), a)
    return a.detach(), gradient


@pytest.mark.parametrize("block", [1, 2, 3, 4, 7, 20])
@pytest.mark.parametrize("pooling", ["max", "mean"])
def test_blocks_are_those_of_scikit_image(block, pooling, images):
    """By `block_reduce`, padded so that what is beyond the border does not count."""
    net = network()
    a, gradient = parts(net, images)
    function, beyond = (np.max, -np.inf) if pooling == "max" else (np.nanmean, np.nan)
    blocks = block_reduce(gradient.numpy(), (1, 1, block, block), function, cval=beyond)
    spread = torch.from_numpy(blocks.repeat(block, 2).repeat(block, 3)[:, :, :10, :7].copy())
    summed = (spread * a).sum(1, keepdim=True).relu()
    expected = F.interpolate(summed, (12, 9), mode="bilinear", align_corners=False)
    found = XResCAM(layer="1", block=block, pooling=pooling).explain(net, images, TARGETS)
    torch.testing.assert_close(found.attribution, expected)
    assert (found.info, found.passes) == ({"layer": "1"}, (1, 1))


def test_between_hires_cam_and_grad_cam(images):
    net = network()
    settings = {"layer": "1"}
    assert torch.equal(XResCAM(block=1, **settings)(net, images, 1), HiResCAM(**settings)(net, images, 1))
    whole = XResCAM(block=10, pooling="mean", **settings)(net, images, 1)
    torch.testing.assert_close(whole, GradCAM(**settings)(net, images, 1))
    assert not torch.allclose(XResCAM(**settings)(net, images, 1), whole)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"block": 0}, "`block` must be a positive integer, got 0"),
        ({"pooling": "sum"}, "`pooling` is 'sum'; accepted: max, mean"),
    ],
)
def test_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        XResCAM(**settings)

"""Maps of a layer: one forward and one backward pass, whose evidence is kept."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from _reference.nets import Counter
from lit_attr._view import looking_at
from lit_attr.attribution._cam import cam, elementwise, pooled
from lit_attr.objectives import logit

TARGETS = torch.tensor([2, 0, 1])


def network():
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 4 * 3, 3)]
    return nn.Sequential(*layers).double()


@pytest.fixture
def images():
    return torch.rand(3, 3, 8, 6, dtype=torch.float64)


@pytest.mark.parametrize("max_batch", [1, 2, None])
@pytest.mark.parametrize("weigh", [pooled, elementwise])
def test_by_hand(weigh, max_batch, images):
    net, points = Counter(network()), images.flip(3)
    with looking_at(net, images, TARGETS) as view:
        found = cam(view, points, "model.1", weigh, logit, max_batch, "Test")
    assert (net.forwards, net.backwards) == (3, 3)
    assert view.passes == (1, 1)
    a = net.model[:2](points).detach().requires_grad_()
    evidence = net.model[2:](a)
    (gradient,) = torch.autograd.grad(evidence[range(3), TARGETS].sum(), a)
    weights = gradient.mean((2, 3), keepdim=True) if weigh is pooled else gradient
    expected = F.interpolate((weights * a).sum(1, keepdim=True).relu(), (8, 6), mode="bilinear", align_corners=False)
    assert expected.any()
    torch.testing.assert_close(found.maps, expected.detach())
    torch.testing.assert_close(found.evidence, evidence.detach())
    assert not found.evidence.requires_grad
    assert found.layer == "model.1"


def test_no_samples(images):
    with looking_at(network(), images[:0], TARGETS[:0]) as view:
        found = cam(view, images[:0], None, pooled, logit, None, "Test")
    assert (found.maps.shape, found.layer, found.evidence) == ((0, 1, 8, 6), None, None)


def test_only_images():
    inputs = torch.rand(2, 6)
    with (
        looking_at(nn.Linear(6, 2), inputs, 0) as view,
        pytest.raises(ValueError, match=r"`inputs` must be images \[B, C, H, W\], got shape \(2, 6\)"),
    ):
        cam(view, inputs, None, pooled, logit, None, "Test")

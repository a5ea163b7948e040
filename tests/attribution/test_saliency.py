import captum.attr
import pytest
import torch

from _reference.architectures import architecture
from _reference.nets import Function, linear
from lit_attr.attribution import Saliency

TARGETS = torch.tensor([2, 0])


def test_linear_model():
    net, x = linear(), torch.rand(2, 6, dtype=torch.float64)
    assert torch.equal(Saliency()(net, x, TARGETS), net.weight[TARGETS].detach().abs())
    assert torch.equal(Saliency(signed=True)(net, x, TARGETS), net.weight[TARGETS].detach())


def test_a_saturated_feature_gets_nothing():
    """Check N4: 1 - relu(1 - x) is flat at x = 2, so a gradient fails sensitivity (a)."""
    net = Function(lambda x: 1 - (1 - x[:, 0]).relu())
    assert Saliency()(net, torch.tensor([[2.0]]), 1).item() == 0


@pytest.mark.parametrize("name", ["resnet", "densenet", "squeezenet"])
@pytest.mark.parametrize("signed", [False, True])
def test_captum(name, signed):
    net, x = architecture(name), torch.rand(2, 3, 32, 32, dtype=torch.float64)
    expected = captum.attr.Saliency(net).attribute(x.clone().requires_grad_(), TARGETS, abs=not signed)
    assert expected.any()
    torch.testing.assert_close(Saliency(signed=signed)(net, x, TARGETS), expected, rtol=1e-9, atol=0)

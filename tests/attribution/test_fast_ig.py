import pytest
import torch
from torch import nn

from _reference.nets import Function, linear, mlp
from lit_attr.attribution import FastIG, IntegratedGradients

TARGETS = torch.tensor([2, 0, 1])


@pytest.fixture
def x():
    return torch.rand(3, 6, dtype=torch.float64)


def test_linear_model(x):
    net = linear(bias=True)
    assert torch.equal(FastIG()(net, x, TARGETS), x * net.weight[TARGETS].detach())


@pytest.mark.parametrize("steps", [1, 3, 20])
def test_without_biases_it_is_integrated_gradients(steps, x):
    """Check N6, for any number of steps."""
    net = mlp(bias=False, activation=nn.ReLU)
    found = FastIG().explain(net, x, TARGETS)
    expected = IntegratedGradients(steps=steps)(net, x, TARGETS)
    torch.testing.assert_close(found.attribution, expected, rtol=0, atol=1e-12)
    value = net(x).gather(1, TARGETS[:, None])[:, 0].detach()
    torch.testing.assert_close(found.attribution.sum(1), value, rtol=0, atol=1e-9)


def test_with_biases_it_is_not_and_says_how_far_it_is_off(x):
    """Check N6, the other way round."""
    net = mlp(activation=nn.ReLU)
    found = FastIG().explain(net, x, TARGETS)
    assert not torch.allclose(found.attribution, IntegratedGradients()(net, x, TARGETS), atol=1e-4)
    assert bool((found.completeness_error.abs() > 1e-4).all())


def test_a_saturated_feature_gets_nothing():
    """Check N4."""
    net = Function(lambda x: 1 - (1 - x[:, 0]).relu())
    assert FastIG()(net, torch.tensor([[2.0]]), 1).item() == 0


def test_the_sign_is_that_of_the_logit(x):
    """Several public codes differentiate the cross entropy and return the opposite."""
    net = Function(lambda x: x.sum(1))
    assert bool((FastIG()(net, x, 1) > 0).all())

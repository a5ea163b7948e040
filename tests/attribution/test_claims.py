"""What the README's table says of each method: sensitivity, completeness and linearity where it claims them.

The dummy axiom and implementation invariance are tested in `test_axioms.py`, over the same table.
"""

import pytest
import torch
from torch import nn

from _reference.methods import ALL, ON_VECTORS, UNENDING, build, claiming
from _reference.nets import Counter, mlp
from lit_attr.attribution import METHODS
from lit_attr.objectives import logit, prob

X = torch.rand(4, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
LARGE = {"attexplore": {"eps": 0.6}, "fundamental": {"update": {"class": "bim", "alpha": 0.2}}}  # steps of 0.2
PRECISE = {"deep_lift": 1e-10, "ig": 1e-6, "big": 1e-6}  # check N7; the others walk in large steps by default


@pytest.mark.parametrize("name", [name for name in claiming("C") if name in ON_VECTORS])
def test_completeness_with_the_default_settings(name):
    """Check N7: the sum of the attribution is the change of the objective, by what `explain` reports and in truth."""
    net = mlp(48, hidden=20)
    found = METHODS.build(name).explain(net, X, net(X).argmax(1))
    size = found.attribution.abs().sum(1)
    assert float((found.completeness_error.abs() / size).max()) < PRECISE.get(name, 0.05)


@pytest.mark.parametrize("name", [name for name in ALL if hasattr(METHODS.get(name), "substeps")])
def test_steps_in_parts_are_complete_where_whole_ones_are_too_large(name):
    """By gradients at points within each step, which are passes like the others."""
    net = mlp(48, hidden=20)
    net[0].weight.data.mul_(4)
    y = net(X).argmax(1)
    errors = []
    for substeps in (1, 8):
        counter = Counter(net)
        method = build(name, substeps=substeps, **(UNENDING.get(name, {}) | LARGE.get(name, {"alpha": 0.2})))
        errors.append(method.explain(counter, X, y).completeness_error.abs().mean())
        counter.forwards = counter.backwards = 0
        method(counter, X, y)
        assert counter.backwards / len(X) <= method.passes((48,), 3).backward
        assert name == "agi" or (counter.forwards / len(X), counter.backwards / len(X)) == method.passes((48,), 3)
    assert errors[1] < errors[0] / 20


class OneFeature(nn.Module):
    """Two classes by the first feature alone, the boundary at 0.2."""

    def forward(self, x):
        z = (3 * (x[:, 0] - 0.2)).tanh()
        return torch.stack([-z, z], dim=1)


@pytest.mark.parametrize("name", [name for name in claiming("S") if name in ON_VECTORS])
def test_a_feature_that_makes_the_difference_gets_all_of_it(name):
    """Sensitivity (a), between the input and the end point of each method."""
    found = build(name)(OneFeature(), X[:, :6] / 4 + 0.25, 1)
    assert bool((found[:, 0] != 0).all())
    torch.testing.assert_close(found[:, 0].abs(), found.abs().sum(1))


@pytest.mark.parametrize("name", [name for name in claiming("S") if hasattr(METHODS.get(name), "baseline")])
def test_saturation_does_not_hide_a_feature(name):
    """Check N4: f = 1 - relu(1 - x) at x = 2, where the gradient is zero, has grown by one since x = 0."""

    class Saturated(nn.Module):
        def forward(self, x):
            return 1 - (1 - x[:, :1]).relu()

    x = torch.full((1, 3), 2.0, dtype=torch.float64)
    found = METHODS.build(name)(Saturated(), x, 1)
    assert float(found[0, 0]) == pytest.approx(1, abs=0.03)
    for blind in ("saliency", "fast_ig"):
        assert not METHODS.build(blind)(Saturated(), x, 1).any()


@pytest.mark.parametrize("name", claiming("L"))
def test_linearity_in_the_objective(name, images):
    """The attribution of a sum is the sum of the attributions."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)).double()
    one, other = (build(name, objective=f)(net, images, 1) for f in (logit, prob))
    both = build(name, objective=lambda e, y: logit(e, y) + prob(e, y))(net, images, 1)
    torch.testing.assert_close(both, one + other)

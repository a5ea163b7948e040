"""LAAI against a plain loop; its sign, and that no label enters."""

import math

import pytest
import torch

from _reference.nets import mlp
from lit_attr.attribution import LAAI

X = torch.rand(3, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def gradient(net, x, of):
    point = x.clone().requires_grad_()
    return torch.autograd.grad(of(net(point[None])[0].log_softmax(0)), point)[0]


def by_hand(net, x, goals, steps, alpha):
    total = torch.zeros_like(x)
    for goal in goals:
        here = x
        for _ in range(steps):
            there = here + alpha * gradient(net, here, lambda p: p.sum() if goal is None else p[goal]).sign()  # noqa: B023
            total += (there - here) * (gradient(net, here, torch.sum) + gradient(net, there, torch.sum)) / 2
            here = there
    return total


def test_one_walk_at_a_time_by_a_plain_loop():
    net = mlp(12, classes=5, hidden=16)
    targeted = LAAI(explorations=3, steps=5, alpha=0.02)(net, X)
    up = LAAI(direction="entropy", steps=5, alpha=0.02)(net, X)
    for i in range(3):
        goals = net(X[i]).argsort(descending=True)[1:4].tolist()
        torch.testing.assert_close(targeted[i], by_hand(net, X[i], goals, 5, 0.02), rtol=1e-9, atol=1e-14)
        torch.testing.assert_close(up[i], by_hand(net, X[i], [None], 5, 0.02), rtol=1e-9, atol=1e-14)


def test_no_label_enters():
    net = mlp(12, classes=5)
    expected = LAAI(steps=3)(net, X, 0)
    for target in (4, torch.tensor([1, 2, 3]), None):
        assert torch.equal(LAAI(steps=3)(net, X, target), expected)


def test_completeness_of_each_walk():
    """Check N7, relative to the change along that walk."""
    net = mlp(12, classes=5, hidden=16)
    found = LAAI(explorations=1).explain(net, X)
    change = (net(found.endpoint).log_softmax(1).sum(1) - net(X).log_softmax(1).sum(1)).detach()
    assert float((found.completeness_error / change).abs().max()) < 5e-3


def test_sure_models_are_explained_with_a_positive_sum():
    """Check N14: the certainty is given up along the walk; the pixels that it rests on get it all."""

    class Two(torch.nn.Module):
        def forward(self, x):
            z = 2 * x[:, :4].sum(1)
            return torch.stack([z, -z], dim=1)

    x = torch.full((1, 12), 0.6, dtype=torch.float64)
    found = LAAI(steps=5).explain(Two(), x)
    assert bool((found.attribution[0, :4] > 0).all())
    assert not found.attribution[0, 4:].any()
    assert float(found.confidence[0, -1]) < float(found.confidence[0, 0])
    assert float(found.attribution.sum()) > 0


def test_the_walk_up_the_objective_ends_where_the_model_is_less_certain():
    net = mlp(12, classes=5, hidden=16)
    net[2].weight.data *= 5  # far from uniform
    end = LAAI(direction="entropy", steps=20, alpha=0.001).explain(net, X).endpoint
    before, after = (net(x).log_softmax(1).sum(1).detach() for x in (X, end))
    assert bool((after > before).all())
    assert float(after.max()) <= -5 * math.log(5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"explorations": 0}, "`explorations` must be a positive integer"),
        ({"direction": "up"}, "`direction` is 'up'"),
        ({"alpha": -0.1}, "`alpha` must be a number of at least 0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        LAAI(**settings)

"""LA against a plain loop, and its neighbourhood."""

import pytest
import torch

from _reference.nets import Recorder, linear, mlp
from lit_attr.attribution import LA

X = torch.rand(3, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.3


def gradient(net, x, k):
    point = x.clone().requires_grad_()
    return torch.autograd.grad(net(point[None]).softmax(1)[0, k], point)[0]


def by_hand(net, x, y, goals, steps, r, path=False, absolute=False):
    """Targeted walks to the goals, then the untargeted one, without bounds."""
    scale = (torch.ones_like(x) if absolute else x.abs()) / r
    total = torch.zeros_like(x)
    for goal in [*goals, None]:
        here = x
        for _ in range(steps):
            climbed = -gradient(net, here, y) if goal is None else gradient(net, here, goal)
            origin = here if path else x
            there = torch.clamp(origin + scale * climbed.sign(), x - scale, x + scale)
            total -= (there - origin) * gradient(net, here, y)
            here = there
    return total


@pytest.mark.parametrize(
    ("settings", "plain"),
    [({}, {}), ({"walk": "path"}, {"path": True}), ({"scale": "absolute"}, {"absolute": True})],
)
def test_one_walk_at_a_time_by_a_plain_loop(settings, plain):
    net = mlp(12, classes=5, hidden=16)
    y = net(X).argmax(1)
    found = LA(classes=3, steps=4, spatial_range=8, **settings)(net, X, y)
    for i in range(3):
        goals = net(X[i]).argsort(descending=True)[1:3].tolist()
        expected = by_hand(net, X[i], int(y[i]), goals, 4, 8, **plain)
        torch.testing.assert_close(found[i], expected, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("walk", ["reset", "path"])
def test_points_stay_in_the_neighbourhood_also_of_negative_features(walk):
    """Check N15."""
    net = Recorder(mlp(12))
    LA(steps=5, walk=walk)(net, X[:1], 0)
    assert bool(((net.points - X[0]).abs() <= X[0].abs() / 20 + 1e-12).all())
    assert float((net.points - X[0]).abs().max()) > 0


def test_the_walks_make_the_explained_class_less_likely():
    """Check N14: each step's end, since every step starts again."""
    net = mlp(12, classes=4, hidden=16)
    y = net(X).argmax(1)
    confidence = LA(classes=4, steps=2, spatial_range=100).explain(net, X, y).confidence
    untargeted = confidence[:, -1]
    assert bool((untargeted[:, 1:] < untargeted[:, :1]).all())


def test_on_a_linear_model_the_moves_times_the_weights():
    net, moves = linear(12), torch.zeros(3, 12, dtype=torch.float64)
    seen = Recorder(net)
    found = LA(classes=3, steps=4, objective="logit")(seen, X, 1)
    walked = seen.points[3:].view(-1, 3, 3, 12) if len(seen.seen) == 6 else None  # the choice, then t = 0..4
    assert walked is not None
    moves = (walked[1:] - X[None, :, None]).sum((0, 2))
    torch.testing.assert_close(found, -moves * net.weight[1].detach())


def test_a_neighbourhood_of_nothing_gives_nothing():
    """Check N9."""
    net = mlp(12)
    wide, narrow = (LA(steps=3, spatial_range=r)(net, X, 0).abs().max() for r in (10, 1e9))
    assert float(narrow) < 1e-8 < float(wide)


def test_features_that_are_zero_get_nothing_but_on_an_absolute_scale():
    net, x = mlp(12), X.clone()
    x[:, 4] = 0
    assert not LA(steps=3)(net, x, 0)[:, 4].any()
    assert LA(steps=3, scale="absolute")(net, x, 0)[:, 4].all()


def test_published_settings():
    found = LA(preset="reference").resolved()
    assert (found.classes, found.steps, found.spatial_range) == (20, 20, 20)
    assert (found.walk, found.choice, found.objective) == ("reset", "random", "prob")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": 0}, "`classes` must be a positive integer"),
        ({"spatial_range": 0}, "`spatial_range` must be a positive number, got 0"),
        ({"scale": "abs"}, "`scale` is 'abs'"),
        ({"walk": "project"}, "`walk` is 'project'"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        LA(**settings)

"""AGI against a plain loop, and its geometry."""

import pytest
import torch

from _reference.nets import mlp
from lit_attr.attribution import AGI

X = torch.rand(3, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def gradient(net, x, k):
    point = x.clone().requires_grad_()
    return torch.autograd.grad(net(point[None]).softmax(1)[0, k], point)[0]


def by_hand(net, x, y, goals, steps, alpha, reset=False, left=False):
    """Each class for itself, without bounds."""
    total = torch.zeros_like(x)
    for goal in goals:
        here = x
        for _ in range(steps):
            if net(here[None]).argmax() == goal:
                break
            origin = x if reset else here
            there = origin + alpha * gradient(net, here, goal).sign()
            g = gradient(net, here, y) if left else (gradient(net, here, y) + gradient(net, there, y)) / 2
            total -= (there - origin) * g
            here = there
    return total


@pytest.mark.parametrize(
    ("settings", "plain"),
    [({}, {}), ({"rule": "left"}, {"left": True}), ({"walk": "reset", "rule": "left"}, {"reset": True, "left": True})],
)
def test_one_walk_at_a_time_by_a_plain_loop(settings, plain):
    net = mlp(12, classes=5, hidden=16)
    y = net(X).argmax(1)
    found = AGI(classes=3, steps=6, alpha=0.05, **settings)(net, X, y)
    for i in range(3):
        goals = net(X[i]).argsort(descending=True)[1:4].tolist()
        expected = by_hand(net, X[i], int(y[i]), goals, 6, 0.05, **plain)
        torch.testing.assert_close(found[i], expected, rtol=1e-9, atol=1e-14)


def test_a_path_leads_away_and_is_complete():
    """Checks N7 and N15."""
    net = mlp(12, classes=5, hidden=16)
    y = net(X).argmax(1)
    one = AGI(classes=1, steps=20, alpha=1 / 255).explain(net, X, y)
    change = (net(X).softmax(1) - net(one.endpoint).softmax(1)).gather(1, y[:, None])[:, 0].detach()
    assert float((one.completeness_error / change).abs().max()) < 5e-3
    far = (one.endpoint - X).abs().amax(1)
    assert bool((one.success | (far > 1.5 / 255)).all())
    reset = AGI(classes=1, steps=20, alpha=1 / 255, walk="reset", rule="left").explain(net, X, y)
    assert float((reset.endpoint - X).abs().max()) <= 1 / 255 + 1e-12


def test_the_walks_make_the_explained_class_less_likely():
    """Check N14."""
    net = mlp(12, classes=5, hidden=16)
    net[2].weight.data *= 5  # sure of itself
    y = net(X).argmax(1)
    found = AGI(classes=4, steps=5, alpha=1 / 255).explain(net, X, y)
    confidence = found.confidence.nan_to_num(0, 0, 0)
    last = torch.stack([c[c > 0][-1] for c in confidence.flatten(0, 1)]).view(3, 4)
    assert bool((last < confidence[..., 0]).all())


def test_success_is_arrival():
    net = mlp(12, classes=5, hidden=16)
    found = AGI(classes=4, steps=40, alpha=0.2).explain(net, X)
    ranked = net(X).argsort(descending=True)[:, 1:]
    arrived = net(found.endpoint).argmax(2) == ranked
    assert torch.equal(found.success, arrived)
    assert bool(arrived.any())


def test_no_more_classes_than_there_are():
    assert AGI(classes=99, steps=2).explain(mlp(12, classes=5), X, 0).endpoint.shape == (3, 4, 12)


def test_published_settings():
    found = AGI(preset="reference").resolved()
    assert (found.alpha, found.walk, found.rule, found.choice) == (0.05, "reset", "left", "random")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"classes": 0}, "`classes` must be a positive integer"),
        ({"steps": 1.5}, "`steps` must be a positive integer"),
        ({"choice": "best"}, "`choice` is 'best'"),
        ({"walk": "reset"}, "`rule` must be 'left' with walk='reset'"),
        ({"walk": "line"}, "`walk` is 'line'"),
        ({"substeps": 0}, "`substeps` must be a positive integer"),
        ({"walk": "reset", "rule": "left", "substeps": 2}, "`substeps` must be 1 with walk='reset'"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        AGI(**settings)

"""Accumulation along walks, against closed forms and orders of accuracy."""

import pytest
import torch

from _reference.nets import Function, mlp, quadratic
from lit_attr._view import looking_at
from lit_attr.attribution.path.integral import check_walk_rule, integrate, walk_passes
from lit_attr.objectives import logit, logprob
from lit_attr.updates import BIM, Region, Route, Walks, at_goal, left_class

X = torch.rand(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([1, 0, 1])


def found(net, route, objective=logit, rule="trapezoid", goals=Y[:, None], toward=-1.0, leaves=True):
    with looking_at(net, X, Y) as view:
        return integrate(view, X, Walks.of(goals, toward), route, objective, rule, leaves=leaves)


def test_quadratics_are_integrated_exactly_on_any_walk():
    """Check N3: the gradient is linear on every straight piece."""
    a = torch.randn(6, 6, dtype=torch.float64)
    net = quadratic(a + a.T, torch.randn(6, dtype=torch.float64))
    explained = found(net, Route(BIM(0.1), steps=7, region=Region(0.3)))
    value, end = ((2 * Y - 1) * net(points)[:, 0] for points in (X, explained.endpoint))
    torch.testing.assert_close(explained.attribution.sum(1), value - end)
    torch.testing.assert_close(explained.completeness_error, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)


def polyline(pieces):
    """A rule that walks along three fixed legs, each in `pieces` equal moves."""
    legs = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return lambda step: legs[step.number // pieces].expand_as(step.points) / pieces


@pytest.mark.parametrize(("rule", "ratio"), [("left", 2), ("trapezoid", 4)])
def test_orders_of_accuracy(rule, ratio):
    """Check N8: half the step on one path halves the left rule's error and quarters the trapezoid's."""
    net = Function(lambda x: (x * torch.arange(1.0, 7.0, dtype=x.dtype)).tanh().sum(1).exp())
    errors = []
    for pieces in (20, 40, 80):
        explained = found(net, Route(polyline(pieces), steps=3 * pieces), rule=rule)
        errors.append(float(explained.completeness_error[[0, 2]].abs().max()))
    assert errors[0] / errors[1] == pytest.approx(ratio, rel=0.15)
    assert errors[1] / errors[2] == pytest.approx(ratio, rel=0.15)


@pytest.mark.parametrize("rule", ["left", "trapezoid"])
@pytest.mark.parametrize("max_batch", [None, 2])
def test_moves_in_parts_are_the_same_walk_in_smaller_moves(rule, max_batch):
    net = mlp()
    expected = found(net, Route(polyline(6), steps=18), rule=rule)
    some = found(net, Route(polyline(2), steps=6, substeps=3, max_batch=max_batch), rule=rule)
    torch.testing.assert_close(some.attribution, expected.attribution)
    torch.testing.assert_close(some.endpoint, expected.endpoint)
    torch.testing.assert_close(some.completeness_error, expected.completeness_error)


def test_moves_in_parts_of_walks_that_stop():
    net = quadratic(torch.diag(torch.arange(-2.0, 4.0, dtype=torch.float64)), torch.ones(6, dtype=torch.float64))
    whole, parts = (found(net, Route(BIM(0.4), steps=9, stop=left_class, substeps=n)) for n in (1, 4))
    assert whole.success.any()
    torch.testing.assert_close(parts.attribution.sum(1), whole.attribution.sum(1))  # the trapezoid is exact in either
    torch.testing.assert_close(parts.completeness_error, torch.zeros(3, dtype=torch.float64), rtol=0, atol=1e-12)


def test_walks_towards_the_sample_add_up_to_the_other_sign():
    net, route = mlp(), Route(BIM(0.05), steps=3)
    away, towards = found(net, route), found(net, route, leaves=False)
    torch.testing.assert_close(away.attribution, -towards.attribution)
    torch.testing.assert_close(away.completeness_error, -towards.completeness_error)


def test_paths_of_a_sample_are_added():
    net, goals = mlp(), torch.tensor([[0, 2], [1, 2], [0, 2]])
    route = Route(BIM(0.05), steps=3, loss=logprob, stop=at_goal)
    both = found(net, route, goals=goals, toward=1.0)
    apart = [found(net, route, goals=goals[:, [m]], toward=1.0) for m in (0, 1)]
    torch.testing.assert_close(both.attribution, apart[0].attribution + apart[1].attribution)
    torch.testing.assert_close(both.completeness_error, apart[0].completeness_error + apart[1].completeness_error)
    for m in (0, 1):
        torch.testing.assert_close(both.endpoint[:, m], apart[m].endpoint)
        torch.testing.assert_close(both.confidence[:, m], apart[m].confidence, equal_nan=True)
        assert torch.equal(both.success[:, m], apart[m].success)


def test_confidence_and_end_of_walks_that_stop():
    net = mlp()
    predicted = net(X).argmax(1)
    with looking_at(net, X, predicted) as view:
        route = Route(BIM(0.2), steps=30, stop=left_class)
        explained = integrate(view, X, Walks.of(predicted[:, None], -1.0), route, logprob)
    for i in range(3):
        known = explained.confidence[i][explained.confidence[i].isfinite()]
        torch.testing.assert_close(known[0], net(X[i : i + 1]).softmax(1)[0, predicted[i]].detach())
        end = net(explained.endpoint[i : i + 1]).softmax(1)[0]
        torch.testing.assert_close(known[-1], end[predicted[i]].detach())
        assert bool(explained.success[i]) == bool(end.argmax() != predicted[i])
        assert len(known) == 31 or bool(explained.success[i])


@pytest.mark.parametrize("max_batch", [1, 2, 7])
def test_blocks_of_walks_change_nothing(max_batch):
    net, goals = mlp(), torch.tensor([[0, 2], [1, 2], [0, 2]]).repeat(1, 4)

    def rule(step):
        return 0.05 * step.ascent.sign() + 0.01 * step.normal()

    expected = found(net, Route(rule, steps=3, loss=logprob), goals=goals, toward=1.0)
    some = found(net, Route(rule, steps=3, loss=logprob, max_batch=max_batch), goals=goals, toward=1.0)
    torch.testing.assert_close(some.attribution, expected.attribution)
    torch.testing.assert_close(some.endpoint, expected.endpoint)


@pytest.mark.parametrize("toward", [1.0, -1.0])
def test_a_gradient_that_the_rule_remembers_is_that_of_the_objective(toward):
    """Where it is the true one, the sum is that of the left rule, also for walks that end before others."""
    net = mlp()
    goals = net(X).argmin(1)[:, None] if toward > 0 else Y[:, None]

    def rule(step):
        step.memory["seen"] = step.ascent
        return 0.3 * step.ascent.sign()

    turns = [0]

    def one_after_the_other(evidence, walks):
        turns[0] += 1
        return walks.rows < turns[0] - 1

    def at_goals(route, objective, surrogate):
        turns[0] = 0
        walks = Walks.of(goals, toward)
        with looking_at(net, X, goals[:, 0]) as view:
            return integrate(view, X, walks, route, objective, "left", surrogate=surrogate)

    expected = at_goals(Route(rule, steps=5, stop=one_after_the_other), logit, None)
    followed = at_goals(Route(rule, steps=5, loss=logit, stop=one_after_the_other), None, "seen")
    assert followed.success.all()
    assert bool(expected.attribution.any(1).all())
    torch.testing.assert_close(followed.attribution, expected.attribution)
    torch.testing.assert_close(followed.confidence, expected.confidence, equal_nan=True)
    assert followed.completeness_error is None


@pytest.mark.parametrize(
    ("rule", "own", "expected"),
    [
        ("trapezoid", False, (33, 33)),
        ("left", False, (33, 30)),
        ("trapezoid", True, (33, 63)),
        ("left", True, (33, 60)),
    ],
)
def test_passes_of_three_walks_of_ten_steps(rule, own, expected):
    assert walk_passes(3, 10, rule, own_loss=own) == expected


def test_passes_of_moves_in_parts():
    assert walk_passes(3, 10, "left", own_loss=True, substeps=4) == (33 + 90, 60 + 90)


def test_unknown_rule():
    with pytest.raises(ValueError, match="`rule` is 'simpson'; accepted: "):
        check_walk_rule("simpson")

"""The engine of guided walks against one that goes sample by sample."""

import pytest
import torch
from torch import nn

from _reference.nets import Counter, mlp
from lit_attr._view import looking_at
from lit_attr.objectives import logit, logprob
from lit_attr.updates import BIM, Region, Route, UpdateRule, Walks, walk

X = torch.rand(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([2, 0, 1])


def turns(net, route, goals=Y[:, None], toward=-1.0, objective=logit, inputs=X, target=Y, **settings):
    walks = Walks.of(goals, toward)
    with looking_at(net, inputs, target) as view:
        found = list(walk(view, inputs[walks.rows], walks, route, objective, **settings))
        return found, view.passes


def gradient(net, x, y, of=logit):
    x = x[None].requires_grad_()
    return torch.autograd.grad(of(net(x), torch.tensor([y]))[0], x)[0][0]


def by_hand(net, x, y, alpha, steps, eps):
    path = [x]
    for _ in range(steps):
        moved = path[-1] - alpha * gradient(net, path[-1], y).sign()
        path.append(torch.maximum(torch.minimum(moved, x + eps), x - eps))
    return torch.stack(path)


def test_points_moves_and_gradients_are_those_of_a_plain_loop():
    net = mlp()
    found, _ = turns(net, Route(BIM(0.1), steps=4, region=Region(0.25)))
    assert len(found) == 5
    for i in range(3):
        path = by_hand(net, X[i], int(Y[i]), 0.1, 4, 0.25)
        for t, turn in enumerate(found):
            torch.testing.assert_close(turn.points[i], path[t])
            torch.testing.assert_close(turn.gradient[i], gradient(net, path[t], int(Y[i])))  # check N11
            torch.testing.assert_close(turn.value[i], net(path[t])[Y[i]].detach())
            torch.testing.assert_close(turn.leaving[i], (path[t + 1] if t < 4 else path[t]) - path[t])
            torch.testing.assert_close(turn.arrived[i], path[t] - (path[t - 1] if t else path[t]))
        assert bool(found[-1].ended.all())
        assert not bool(found[-1].stopped.any())


@pytest.mark.parametrize(
    ("objective", "loss", "last", "expected"),
    [
        (logit, None, True, (5, 5)),
        (logit, None, False, (5, 4)),
        (logit, logprob, True, (5, 9)),
        (logit, logprob, False, (5, 8)),
        (None, logprob, True, (5, 4)),
    ],
)
def test_passes(objective, loss, last, expected):
    net = Counter(mlp())
    route = Route(BIM(0.1), steps=4, loss=loss)
    _, passes = turns(net, route, objective=objective, last_gradient=last)
    assert passes == expected == (net.forwards / 3, net.backwards / 3)


def test_walks_to_a_goal_climb_their_own_loss():
    net = mlp()
    goals = torch.tensor([[0, 1], [1, 2], [2, 0]])
    found, _ = turns(net, Route(BIM(0.05), steps=6, loss=logprob), goals, 1.0)
    first, last = (t.evidence.log_softmax(1).gather(1, goals.flatten()[:, None]) for t in (found[0], found[-1]))
    assert bool((last > first).all())
    direction = gradient(net, X[0], 1, logprob).sign()  # the second walk of the first sample
    torch.testing.assert_close(found[0].leaving[1], 0.05 * direction)


def test_walks_that_arrive_leave_the_others_undisturbed():
    net = mlp()

    def after(evidence, walks):  # the sample r arrives at its turn 2 r + 1
        seen[0] += 1
        return 2 * walks.rows + 2 == seen[0]

    seen, kept = [0], []

    def rule(step):
        step.memory["count"] = step.memory.get("count", torch.zeros_like(step.points)) + step.origin
        kept.append((step.memory["count"] / step.origin / (step.number + 1)).mean().item())
        return -0.1 * step.ascent.sign()

    found, _ = turns(net, Route(rule, steps=9, stop=after), toward=1.0)
    assert [turn.places.tolist() for turn in found] == [[0, 1, 2]] * 2 + [[1, 2]] * 2 + [[2]] * 2
    assert [turn.stopped.tolist() for turn in found][1::2] == [[True, False, False], [True, False], [True]]
    assert kept == pytest.approx([1] * 5)  # the memory of a walk stays with it
    for i, length in enumerate([2, 4, 6]):
        path = by_hand(net, X[i], int(Y[i]), 0.1, length - 1, 1e9)
        mine = [turn.points[turn.places == i] for turn in found[:length]]
        torch.testing.assert_close(torch.cat(mine), path)


def test_a_walk_that_is_not_where_it_should_leave_goes_all_steps():
    net = mlp()
    away = net(X).argmin(1)
    route = Route(BIM(1e-9), steps=3, stop=lambda evidence, walks: evidence.argmax(1) != walks.goal)
    found, _ = turns(net, route, away[:, None], target=away)
    assert [len(turn.places) for turn in found] == [3, 3, 3, 3]
    assert not found[-1].stopped.any()


def test_from_the_origin_every_move_is_one_of_it():
    net = mlp()
    found, _ = turns(net, Route(BIM(0.1), steps=3, from_origin=True))
    for turn in found[1:]:
        torch.testing.assert_close((turn.points - X).abs(), torch.full_like(X, 0.1))
        torch.testing.assert_close(turn.points - X, turn.arrived)


def test_the_model_is_asked_where_the_route_looks():
    seen = []

    class Watching(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp()

        def forward(self, x):
            seen.append(x.detach())
            return self.net(x)

    turns(Watching(), Route(BIM(0.1), steps=1, look=lambda points: points / 2))
    torch.testing.assert_close(seen[0], X / 2)


def test_rules_may_climb_something_else():
    net, seen = mlp(), {}

    def rule(step):
        seen.update(found=step.ascents(step.points, logprob), bounds=step.bounds)
        return 0 * step.points

    turns(net, Route(rule, steps=1, region=Region(None, (0, 1))), toward=torch.tensor([-1.0]))
    torch.testing.assert_close(seen["found"][1], -gradient(net, X[1], 0, logprob))
    assert seen["bounds"] == (0, 1)


@pytest.mark.parametrize("toward", [-1.0, 1.0])
def test_a_rule_climbs_its_loss_no_further_than_to_its_ceiling(toward):
    class Climber(UpdateRule):
        loss, ceiling = staticmethod(logit), None

        def __call__(self, step):
            seen.append((step.ascent, step.losses(step.points)))
            return 0 * step.points

    net, rule, seen = mlp(), Climber(), []
    values = toward * net(X).gather(1, Y[:, None])[:, 0].detach()
    middle = float(values.median())
    for rule.ceiling in (None, middle + 1e-6, middle - 1e-6):
        turns(net, Route(rule, steps=1), toward=toward)
    turns(net, Route(rule, steps=1, loss=logit), toward=toward)  # another loss is none of the rule's
    climbing = torch.stack([ascent.flatten(1).any(1) for ascent, _ in seen])
    assert torch.equal(climbing, torch.stack([values < 99, values <= middle, values < middle, values < 99]))
    torch.testing.assert_close(seen[1][1], values.clamp_max(middle + 1e-6))
    torch.testing.assert_close(seen[3][1], values)


def test_rules_may_ask_elsewhere():
    net = Counter(mlp())

    def rule(step):
        both = torch.cat([step.points, step.points + 1])
        torch.testing.assert_close(step.ascents(both)[:3], step.ascent)
        assert step.losses(both).shape == (6,)
        return 0.01 * step.ascents(both)[3:]

    found, passes = turns(net, Route(rule, steps=1))
    torch.testing.assert_close(found[0].leaving[0], -0.01 * gradient(net.model, X[0] + 1, 2))
    assert passes == (2 + 6, 2 + 4)
    assert passes == (net.forwards / 3, net.backwards / 3)


def test_moves_of_another_shape_are_refused():
    with pytest.raises(
        ValueError, match=r"`update` must be a rule that returns moves \(3, 6\), got moves of shape \(6,\)"
    ):
        turns(mlp(), Route(lambda step: step.ascent[0], steps=1))


def test_a_walk_needs_something_to_climb():
    with pytest.raises(ValueError, match="a walk without an objective needs a loss"):
        turns(mlp(), Route(BIM(), steps=1), objective=None)


def test_no_walks_are_no_turns_to_speak_of():
    found, _ = turns(mlp(), Route(BIM(), steps=2), Y[:0, None], inputs=X[:0], target=Y[:0])
    assert [len(turn.places) for turn in found] == [0]


def test_rules_that_write_into_their_points_or_keep_a_graph_do_no_harm():
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)

    def rule(step):
        move = 0.01 * weight * step.ascent.sign()
        step.points.add_(1)
        return move

    found, _ = turns(mlp(), Route(rule, steps=2))
    assert not any(turn.points.requires_grad for turn in found)
    assert float((found[-1].points - X).abs().max()) <= 0.02 + 1e-9


def test_what_is_no_move_is_refused():
    with pytest.raises(ValueError, match=r"`update` must be a rule that returns moves .*, got None"):
        turns(mlp(), Route(lambda step: None, steps=1))


def test_a_loss_that_couples_samples_is_refused():
    with pytest.raises(ValueError, match=r"`loss` must be one value per row, \[3\], got shape \(\)"):
        turns(mlp(), Route(BIM(), steps=1, loss=lambda evidence, goal: evidence.sum()))

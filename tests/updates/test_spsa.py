"""SPSA against a plain loop for one walk, and what it asks of the model."""

import pytest
import torch

from _reference.nets import Counter, linear, mlp
from lit_attr._view import looking_at
from lit_attr.attribution import FundamentalAttribution
from lit_attr.objectives import logit, logprob
from lit_attr.updates import SPSA, Region, Route, Walks, get_update, walk

X = torch.rand(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([2, 0])


def walked(net, rule, steps=6, paths=2, region=None, objective=logit):
    """The points of all walks, `[T + 1, samples, paths, features]`."""
    walks = Walks.of(Y[:, None].expand(-1, paths), toward=-1)
    route = Route(rule, steps=steps, loss=logprob, seed=3, region=region or Region())
    with looking_at(net, X, Y) as view:
        turns = list(walk(view, X[walks.rows], walks, route, objective))
    return torch.stack([turn.points for turn in turns]).unflatten(1, (2, paths))


def by_hand(net, x, y, rule, steps, path, paths):
    """One walk down log p_y, as the papers have it."""
    generator = torch.Generator().manual_seed(3)

    def loss(at):
        return float(net(at).log_softmax(0)[y].detach())

    points, slopes = [x], []
    for t in range(steps):
        pattern = (torch.rand((paths, *x.shape), generator=generator)[path] < 0.5).double()
        if rule.pattern == "rademacher":
            pattern = 2 * pattern - 1
        here = points[-1]
        slope = (loss(here + rule.beta * pattern) - loss(here - rule.beta * pattern)) / (2 * rule.beta) * pattern
        slopes.append(slope)
        size = rule.alpha
        if rule.alpha_max is not None and t > 0:
            moved, turned = points[-1] - points[-2], slopes[-1] - slopes[-2]
            size = float(moved @ moved / (moved @ turned + 1e-13))
            size = min(max(size, rule.alpha), rule.alpha_max)
        points.append(here - size * slope)
    return torch.stack(points)


@pytest.mark.parametrize("pattern", ["rademacher", "binary"])
@pytest.mark.parametrize("alpha_max", [None, 2.0])
def test_one_walk_by_a_plain_loop(pattern, alpha_max):
    net, rule = mlp(), SPSA(0.3, 0.05, pattern, alpha_max)
    found = walked(net, rule)
    for i in range(2):
        for path in range(2):
            expected = by_hand(net, X[i], int(Y[i]), rule, 6, path, 2)
            torch.testing.assert_close(found[:, i, path], expected, rtol=1e-6, atol=1e-10)


def test_adaptive_steps_are_between_the_smallest_and_the_largest_and_both_occur():
    """Where the loss curves upwards the step is the smallest, where it is nearly straight the largest."""
    net = mlp()
    small, wide = SPSA(0.1, 0.05), SPSA(0.1, 0.05, alpha_max=0.4)
    fixed, adapted = (walked(net, rule, steps=1) for rule in (small, wide))
    assert torch.equal(fixed, adapted)  # the first step
    sizes = []

    def noted(step):
        first = step.generator.get_state()
        move = wide(step)
        step.generator.set_state(first)
        sizes.append((move.abs().amax(1) / small(step).abs().amax(1)) * 0.1)
        return move

    walked(net, noted, steps=30)
    sizes = torch.stack(sizes)
    assert float(sizes.min()) == pytest.approx(0.1)
    assert float(sizes.max()) == pytest.approx(0.4)
    assert bool(((sizes > 0.11) & (sizes < 0.39)).any())


def test_on_a_linear_model_the_slope_is_exact_and_steps_go_down():
    net = linear()
    path = walked(net, SPSA(0.1, 0.5), steps=1, paths=400)
    moves = path[1] - path[0]
    log_p = net(path).log_softmax(-1).detach()
    falls = [float((log_p[1, i, :, y] - log_p[0, i, :, y]).mean()) for i, y in enumerate(Y)]
    assert max(falls) < 0
    # The mean over patterns is the gradient: E[q q'] = 1.
    for i, y in enumerate(Y):
        point = X[i].clone().requires_grad_()
        gradient = torch.autograd.grad(net(point).log_softmax(0)[y], point)[0]
        error = 4 * 0.1 * gradient.norm() / 400**0.5
        assert bool(((moves[i].mean(0) + 0.1 * gradient).abs() < error).all())


def test_two_forward_passes_a_step_and_no_gradient_of_the_loss():
    net, seen = Counter(mlp()), []

    class Watched(SPSA):
        def __call__(self, step):
            seen.append(step.ascent)
            return super().__call__(step)

    walked(net, Watched(), steps=5, paths=1)
    assert (net.forwards, net.backwards) == (2 * (5 * 3 + 1), 2 * 6)
    assert not torch.cat(seen).any()
    net = Counter(mlp())
    walked(net, Watched(), steps=5, paths=1, objective=None)
    assert (net.forwards, net.backwards) == (2 * (5 * 3 + 1), 0)

    def plain(step):  # says nothing of what it looks at
        seen.append(step.ascent)
        return SPSA()(step)

    seen.clear()
    walked(net, plain, steps=5, paths=1)
    assert net.backwards == 2 * (6 + 5)  # the objective's gradients and those of the loss
    assert torch.cat(seen).any()


def test_adaptive_steps_inside_a_region():
    points = walked(mlp(), SPSA(0.5, 0.05, alpha_max=2.0), region=Region(0.1, (0.0, 1.0)))
    assert bool(((points - X[:, None]).abs() <= 0.1 + 1e-12).all())
    assert points.isfinite().all()


def test_a_method_of_it():
    net = mlp()
    found = FundamentalAttribution(update={"class": "spsa", "alpha": 0.5}, steps=20).explain(net, X, Y)
    before, after = (net(points).log_softmax(1)[[0, 1], Y].detach() for points in (X, found.endpoint))
    assert bool((after < before).all())
    assert get_update("spsa") == SPSA()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": -0.1}, "`alpha` must be a number of at least 0"),
        ({"beta": 0}, "`beta` must be a positive number, got 0"),
        ({"pattern": "normal"}, "`pattern` is 'normal'; accepted: binary, rademacher"),
        ({"alpha": 0.5, "alpha_max": 0.4}, r"`alpha_max` must be None, or at least `alpha`, 0\.5, got 0\.4"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        SPSA(**settings)

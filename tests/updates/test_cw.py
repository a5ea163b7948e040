"""CW against torch's Adam and torchattacks' CW."""

import pytest
import torch
import torchattacks
from torch import nn

from _reference.nets import Counter, Recorder, cnn
from _reference.walks import points, turns
from lit_attr.updates import CW, Region

X = torch.rand(3, 3, 8, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.05
Y = torch.tensor([2, 0, 1])
FREE = Region(None, (0, 1))


def by_adam(net, x, y, rule, *, steps, toward=-1.0, bounds=(0, 1)):
    """One sample, its gradient by backpropagation through the change of variables."""
    low, size = bounds[0], bounds[1] - bounds[0]
    w = torch.atanh(2 * (x - low) / size - 1).requires_grad_()
    adam, path = torch.optim.Adam([w], lr=rule.lr), [x]
    for _ in range(steps):
        point = low + size * (torch.tanh(w) + 1) / 2
        logits = net(point[None])[0]
        others = torch.cat([logits[:y], logits[y + 1 :]]).max()
        wrong = logits[y] - others if toward < 0 else others - logits[y]
        cost = (point - x).square().sum() + rule.c * wrong.clamp(min=-rule.kappa)
        (w.grad,) = torch.autograd.grad(cost, w)
        adam.step()
        path.append(low + size * (torch.tanh(w.detach()) + 1) / 2)
    return torch.stack(path)


def rough(dtype=torch.float64):
    """No feature without a gradient."""
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(192, 3)).to(dtype)


def classes(net, toward):
    """Those to leave, or to go to: where there is nothing to do, Adam makes steps of rounding errors."""
    logits = net(X.to(next(net.parameters()).dtype)).detach()
    return logits.argmax(1) if toward < 0 else logits.argmin(1)


@pytest.mark.parametrize("toward", [-1.0, 1.0])
@pytest.mark.parametrize("rule", [CW(), CW(c=0.3, kappa=0.4, lr=0.05), CW(c=20, kappa=5)], ids=str)
@pytest.mark.parametrize("max_batch", [2, None])
def test_one_sample_at_a_time_with_the_optimiser_of_torch(rule, toward, max_batch):
    net = cnn()
    y = classes(net, toward)
    found = points(net, rule, X, y, toward=toward, region=FREE, steps=25, max_batch=max_batch)
    for i in range(3):
        expected = by_adam(net, X[i], int(y[i]), rule, steps=25, toward=toward)
        torch.testing.assert_close(found[:, i], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("toward", [-1.0, 1.0])
def test_logits_that_differ_enough_are_let_be(toward):
    net = cnn()
    y = classes(net, -toward)  # where a walk would lead
    logits = net(X).detach()
    own, others = logits.gather(1, y[:, None])[:, 0], logits.scatter(1, y[:, None], -torch.inf).amax(1)
    gaps = toward * (own - others)
    assert (gaps > 0.02).all()
    for kappa, moves in [(float(gaps.min()) - 0.01, False), (float(gaps.max()) + 0.01, True)]:
        found = points(net, CW(kappa=kappa), X, y, toward=toward, region=FREE, steps=1)
        farthest = (found[1] - X).flatten(1).abs().amax(1)
        assert bool((farthest > 1e-4).all()) is moves
        assert bool((farthest < 1e-7).all()) is not moves


@pytest.mark.parametrize("toward", [-1.0, 1.0])
def test_goes_as_torchattacks_goes(toward):
    class Positive(nn.Module):  # its margin takes the larger of a logit and 0
        def __init__(self):
            super().__init__()
            self.net = rough(torch.float32)

        def forward(self, x):
            return self.net(x) + 50

    net, x = Recorder(Positive()), X.float()
    y = classes(net, toward)
    for parameter in net.parameters():
        parameter.requires_grad_(False)
    for i in range(3):  # one after the other: it may end early, for a batch at once
        attack = torchattacks.CW(net, c=10, kappa=2, steps=9, lr=0.01)
        if toward > 0:
            attack.set_mode_targeted_by_label(quiet=True)
        net.seen.clear()
        attack(x[i : i + 1], y[i : i + 1])
        expected = net.points
        assert len(expected) == 9
        found = points(net, CW(c=10, kappa=2), x[i : i + 1], y[i : i + 1], toward=toward, region=FREE, steps=8)
        torch.testing.assert_close(found[:, 0], expected, rtol=0, atol=1e-5)


def test_between_other_bounds():
    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = cnn()

        def forward(self, x):
            return self.net((x + 1) / 3)

    net, x, rule = Shifted(), 3 * X - 1, CW(c=3)
    y = net(x).argmax(1)
    found = points(net, rule, x, y, region=Region(None, (-1, 2)), steps=20)
    for i in range(3):
        expected = by_adam(net, x[i], int(y[i]), rule, steps=20, bounds=(-1, 2))
        torch.testing.assert_close(found[:, i], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_features_at_the_bounds_are_not_stuck(level):
    x = torch.full_like(X, level)
    net = rough()
    found = points(net, CW(c=50, kappa=5, lr=0.1), x, net(x).argmax(1), region=FREE, steps=60)
    assert torch.isfinite(found).all()
    torch.testing.assert_close((found[0] - found[1]).abs(), torch.full_like(X, 1e-3), rtol=0, atol=1e-3)
    assert float((found[-1] - x).abs().amax()) > 0.1
    assert 0 <= float(found.min()) <= float(found.max()) <= 1


def test_logits_that_are_all_negative_do_not_matter():
    class Logs(nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            return self.net(x).log_softmax(1)

    net = cnn()
    settings = {"region": FREE, "steps": 10}
    y = classes(net, -1.0)
    found = points(Logs(net), CW(), X, y, **settings)
    assert float((found[-1] - X).abs().max()) > 0.01
    torch.testing.assert_close(found, points(net, CW(), X, y, **settings))


def test_without_a_gradient_of_the_model_it_stays_about_where_it_is():
    class Constant(nn.Module):
        def forward(self, x):
            return 0 * x.flatten(1)[:, :3]

    found = points(Constant(), CW(), X, Y, region=FREE, steps=5)
    torch.testing.assert_close(found[-1], X, rtol=0, atol=0.01)


def test_passes_are_those_of_the_walk():
    net = Counter(cnn())
    _, passes = turns(net, CW(), X, Y, steps=4)
    assert passes == (4, 4) == (net.forwards / 3, net.backwards / 3)


def test_a_walk_without_bounds_is_refused():
    with pytest.raises(ValueError, match="`bounds` must be two numbers for CW: it moves between them, got None"):
        points(cnn(), CW(), X, Y, region=Region())


@pytest.mark.parametrize("setting", ["c", "kappa", "lr"])
def test_settings_are_checked(setting):
    with pytest.raises(ValueError, match=f"`{setting}` must be a number of at least 0, got -1"):
        CW(**{setting: -1})

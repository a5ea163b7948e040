"""The iterative family against torchattacks, step by step and with the same random numbers."""

import pytest
import torch
import torch.nn.functional as F
import torchattacks
from torch import nn

from _reference.nets import Counter, linear, mlp
from _reference.walks import points, turns
from lit_attr.updates import BIM, DIFGSM, FGSM, MIFGSM, NIFGSM, PGD, SSA, TIFGSM, Region

EPS, ALPHA = 8 / 255, 3 / 255
X = torch.rand(4, 3, 12, 12, generator=torch.Generator().manual_seed(1))
X[0, :, :4], X[0, :, 8:] = 0, 1  # moves beyond the range
BALL = Region(EPS, (0, 1))


def net(dtype=torch.float32):
    """No feature without a gradient."""
    layers = [nn.Conv2d(3, 6, 3), nn.Tanh(), nn.Conv2d(6, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(256, 5)]
    return nn.Sequential(*layers).to(dtype).requires_grad_(False).eval()


def theirs(attack, i, y, seed=3):
    """One sample after the other: gradients of a batch are scaled by its size, and draws are those of a batch."""
    torch.manual_seed(seed)
    return attack(X[i : i + 1], y[i : i + 1])[0]


def ours(model, rule, i, y, steps, region=BALL, toward=-1.0):
    found = points(model, rule, X[i : i + 1], y[i : i + 1], steps=steps, region=region, seed=3, toward=toward)
    return found[-1, 0]


SAME = {
    "mifgsm": (lambda m, t: torchattacks.MIFGSM(m, EPS, ALPHA, t), MIFGSM(ALPHA)),
    "weak momentum": (lambda m, t: torchattacks.MIFGSM(m, EPS, ALPHA, t, decay=0.4), MIFGSM(ALPHA, momentum=0.4)),
    "nifgsm": (lambda m, t: torchattacks.NIFGSM(m, EPS, ALPHA, t), NIFGSM(ALPHA)),
    "difgsm": (lambda m, t: torchattacks.DIFGSM(m, EPS, ALPHA, t), DIFGSM(ALPHA)),
    "always diverse": (
        lambda m, t: torchattacks.DIFGSM(m, EPS, ALPHA, t, decay=1.0, resize_rate=0.6, diversity_prob=1.0),
        DIFGSM(ALPHA, momentum=1.0, resize=0.6, diversity=1.0),
    ),
}


@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("name", SAME)
def test_bit_for_bit(name, steps):
    model, (attack, rule) = net(), SAME[name]
    y = model(X).argmax(1)
    for i in range(4):
        assert torch.equal(ours(model, rule, i, y, steps), theirs(attack(model, steps), i, y))


def test_bit_for_bit_to_a_target():
    model, goal = net(), torch.tensor([0, 1, 2, 3])
    attack = torchattacks.MIFGSM(model, EPS, ALPHA, 4)
    attack.set_mode_targeted_by_label(quiet=True)
    for i in range(4):
        assert torch.equal(ours(model, MIFGSM(ALPHA), i, goal, 4, toward=1.0), theirs(attack, i, goal))


def test_one_step():
    model = net()
    y = model(X).argmax(1)
    for i in range(4):
        assert torch.equal(ours(model, FGSM(EPS), i, y, 1), theirs(torchattacks.FGSM(model, EPS), i, y))


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_up_to_the_rounding_of_the_projection(steps):
    """Theirs of BIM is written in another way; ours of PGD has its first move beside T."""
    model = net()
    y = model(X).argmax(1)
    for i in range(4):
        bim, pgd = torchattacks.BIM(model, EPS, ALPHA, steps), torchattacks.PGD(model, EPS, ALPHA, steps)
        torch.testing.assert_close(ours(model, BIM(ALPHA), i, y, steps), theirs(bim, i, y), rtol=0, atol=1e-6)
        found = ours(model, PGD(ALPHA, eps=EPS), i, y, steps + 1)
        torch.testing.assert_close(found, theirs(pgd, i, y), rtol=0, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 4])
def test_in_a_ball_of_the_euclidean_norm(steps):
    model = net()
    y = model(X).argmax(1)
    for i in range(4):
        attack = torchattacks.PGDL2(model, eps=0.5, alpha=0.2, steps=steps)
        found = ours(model, PGD(0.2, norm="l2", eps=0.5), i, y, steps + 1, Region(0.5, (0, 1), "l2"))
        torch.testing.assert_close(found, theirs(attack, i, y), rtol=0, atol=1e-5)


@pytest.mark.parametrize("steps", [1, 3])
def test_smoothed_up_to_rare_signs(steps):
    """Theirs is a convolution, which rounds in another way."""
    model = net()
    y = model(X).argmax(1)
    attack = torchattacks.TIFGSM(model, EPS, ALPHA, steps, decay=1.0)
    for i in range(4):
        found, expected = ours(model, TIFGSM(ALPHA, momentum=1.0), i, y, steps), theirs(attack, i, y)
        away = (found - expected).abs()
        assert float((away > 1e-6).float().mean()) < 0.005
        assert float(away.max()) <= 2 * EPS + 1e-6


def test_with_momentum_a_step_is_not_the_first_one_again():
    """As it would be for an attack that is started anew at every step."""
    model = net()
    y = model(X).argmax(1)
    assert torch.equal(ours(model, MIFGSM(ALPHA), 1, y, 1), ours(model, BIM(ALPHA), 1, y, 1))
    assert not torch.equal(ours(model, MIFGSM(ALPHA), 1, y, 4), ours(model, BIM(ALPHA), 1, y, 4))


def test_settings_make_the_others():
    model, y = net(), torch.tensor([0, 1, 2, 3])
    for a, b in [
        (BIM(momentum=1.0), MIFGSM()),
        (MIFGSM(nesterov=True), NIFGSM()),
        (MIFGSM(diversity=0.5, smoothing=15), TIFGSM(momentum=1.0)),
        (SSA(copies=1, rho=0, sigma=0, smoothing=1, diversity=0), MIFGSM()),
    ]:
        assert torch.equal(points(model, a, X, y), points(model, b, X, y))


def test_velocity_is_the_sum_of_normalised_gradients():
    model, y = net(torch.float64), torch.tensor([0, 1, 2, 3])
    found, _ = turns(model, MIFGSM(ALPHA, momentum=0.7), X.double(), y, steps=3)
    velocity = torch.zeros_like(X.double())
    for turn in found[:3]:
        at = turn.points.clone().requires_grad_()
        loss = F.cross_entropy(model(at), y, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, at)
        velocity = 0.7 * velocity + gradient / gradient.abs().mean((1, 2, 3), keepdim=True)
        torch.testing.assert_close(turn.memory["velocity"], velocity)


def test_along_the_velocity_in_the_euclidean_norm():
    found, _ = turns(
        mlp(), MIFGSM(0.1, norm="l2"), X[:, 0, 0, :6].double(), torch.tensor([0, 1, 2, 0]), region=Region()
    )
    for turn in found[:2]:
        velocity = turn.memory["velocity"]
        torch.testing.assert_close(turn.leaving, 0.1 * velocity / velocity.norm(dim=1, keepdim=True))


def test_a_gradient_of_zero_only_slows_down():
    """0 / 0 is kept out of the memory, so that the walk goes on where there is a gradient again."""
    net, x = linear(6), X[:2, 0, 0, :6].double()

    def gone(evidence, goal):  # in the second step
        calls.append(0)
        return evidence[:, 0] * (len(calls) != 2)

    calls = []
    found, _ = turns(net, MIFGSM(0.01, momentum=0.5), x, torch.tensor([0, 0]), steps=3, region=Region(), loss=gone)
    first, second, third = (turn.memory["velocity"] for turn in found[:3])
    torch.testing.assert_close(second, 0.5 * first)
    torch.testing.assert_close(third, 1.25 * first)
    torch.testing.assert_close(found[1].leaving, found[0].leaving)


def test_what_is_no_image_is_refused_where_the_rule_means_nothing_for_it():
    y, rows = torch.tensor([0, 1, 2, 0]), X[:, 0, 0, :6].double()
    for rule in (DIFGSM(), TIFGSM()):
        with pytest.raises(ValueError, match=rf"images \[B, C, H, W\] for {type(rule).__name__}"):
            points(mlp(), rule, rows, y)
    assert torch.equal(points(mlp(), BIM(diversity=1.0, smoothing=3), rows, y)[0], rows)


@pytest.mark.parametrize(
    ("rule", "passes"),
    [(BIM(), 0), (MIFGSM(smoothing=3), 0), (NIFGSM(), 1), (DIFGSM(), 1), (TIFGSM(), 1), (TIFGSM(diversity=0), 0)],
    ids=str,
)
def test_the_gradient_of_the_walk_serves_where_it_can(rule, passes):
    counter = Counter(net())
    assert rule.passes == (passes, passes)
    assert rule.guided is (passes == 0)
    turns(counter, rule, X, torch.tensor([0, 1, 2, 3]), steps=3)
    assert (counter.forwards, counter.backwards) == (12, 12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": -1}, "`alpha` must be a number of at least 0"),
        ({"momentum": -1}, "`momentum` must be a number of at least 0"),
        ({"diversity": 2}, r"`diversity` must be in \[0, 1\]"),
        ({"resize": 0}, r"`resize` must be in \(0, 2\]"),
        ({"smoothing": 4}, "`smoothing` must be odd, got 4"),
        ({"norm": "l1"}, "`norm` is 'l1'; "),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        BIM(**settings)


def test_the_ball_of_the_first_move_is_checked():
    with pytest.raises(ValueError, match="`eps` must be a number of at least 0, got -1"):
        PGD(eps=-1)

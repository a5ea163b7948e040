"""AttEXplore restated from the points at which the model was asked, its completeness, and what it reduces to."""

import pytest
import torch
import torch.nn.functional as F

from _reference.nets import Bag, Counter, Recorder, cnn, mlp
from _reference.rules import RULES, from_within
from lit_attr.attribution import MFABA, AttEXplore, FundamentalAttribution
from lit_attr.updates import SSA, UPDATES, IterativeRule, fitted

X = torch.rand(3, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
VECTORS = X.flatten(1)[:, :48]
GAUSS = torch.exp(-(torch.linspace(-3, 3, 7, dtype=torch.float64) ** 2) / 2)


def gradients(net, points, y):
    points = points.clone().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(net(points), torch.full((len(points),), y), reduction="sum"), points)[0]


def asked(net, x, y, method):
    """The walk's points `[T + 1, ...]` and the copies of each `[T, N, ...]`, of one sample."""
    watched = Recorder(net)
    found = method.explain(watched, x[None], y)
    end = method.steps * (method.copies + 1)  # behind it a surrogate's check of completeness
    turns = watched.points[:end].view(method.steps, method.copies + 1, *x.shape)
    return torch.cat([turns[:, 0], watched.points[end : end + 1]]), turns[:, 1:], found


def velocities(net, copies, y):
    """Of the default settings."""
    kernel = (GAUSS[:, None] * GAUSS / GAUSS.sum() ** 2)[None, None].repeat(3, 1, 1, 1)
    kept, velocity = [], 0
    for some in copies:
        gradient = F.conv2d(gradients(net, some, y).mean(0, keepdim=True), kernel, padding=3, groups=3)[0]
        velocity = velocity + gradient / gradient.abs().mean()
        kept.append(velocity)
    return torch.stack(kept)


@pytest.mark.parametrize("accumulate", ["gradient", "surrogate"])
@pytest.mark.parametrize("rule", ["trapezoid", "left"])
def test_the_sum_along_the_walk_that_the_copies_point_out(accumulate, rule):
    net = cnn()
    method = AttEXplore(steps=4, copies=3, diversity=0.0, accumulate=accumulate, rule=rule)
    for i, y in enumerate((2, 0, 1)):
        points, copies, found = asked(net, X[i], y, method)
        followed, along = velocities(net, copies, y), gradients(net, points, y)
        for t in range(4):
            torch.testing.assert_close(points[t + 1], (points[t] + 4 / 255 * followed[t].sign()).clamp(0, 1))
        if accumulate == "surrogate":
            along = followed
        else:
            along = along[:-1] if rule == "left" else (along[1:] + along[:-1]) / 2
        torch.testing.assert_close(found.attribution[0], (points.diff(dim=0) * along).sum(0))
        torch.testing.assert_close(found.endpoint[0], points[-1])
        torch.testing.assert_close(found.confidence[0], net(points).softmax(1)[:, y].detach())


def test_copies_lie_around_the_point():
    """Their mean is the point, their spread that of noise and frequencies: var = (1 + rho^2 / 3) sigma^2 + ..."""
    net, x = cnn(), X[0]
    _, noisy, _ = asked(net, x, 1, AttEXplore(steps=1, copies=400, rho=0.0, diversity=0.0))
    assert float((noisy[0].mean(0) - x).abs().max()) < 0.015
    assert float((noisy[0] - x).std()) == pytest.approx(16 / 255, rel=0.01)
    _, varied, _ = asked(net, x, 1, AttEXplore(steps=1, copies=400, sigma=0.0, diversity=0.0))
    expected = (x.square().mean() * 0.5**2 / 3).sqrt()  # the transform keeps lengths
    assert float((varied[0] - x).square().mean().sqrt()) == pytest.approx(float(expected), rel=0.02)


@pytest.mark.parametrize("shape", [(1, 8, 8), (4, 5, 12)])
@pytest.mark.parametrize("accumulate", ["gradient", "surrogate"])
def test_images_of_any_size_and_channels(shape, accumulate):
    x = torch.rand(2, *shape, dtype=torch.float64)
    net = torch.nn.Sequential(torch.nn.Conv2d(shape[0], 3, 3), torch.nn.Tanh(), torch.nn.Flatten(2)).double()
    head = torch.nn.Sequential(net, Bag(net(x).shape[2]))
    found = AttEXplore(steps=2, copies=2, accumulate=accumulate).explain(head, x, torch.tensor([0, 2]))
    assert found.attribution.shape == x.shape
    assert bool((found.attribution.flatten(1) != 0).any(1).all())


@pytest.mark.parametrize(("rule", "most"), [("trapezoid", 5e-4), ("left", 2e-2)])
def test_completeness_on_a_smooth_net(rule, most):
    """Check N7."""
    net = mlp(48, hidden=20)
    y = net(VECTORS).argmax(1)
    found = AttEXplore(copies=3, rule=rule, objective="logit").explain(net, VECTORS, y)
    change = (net(VECTORS) - net(found.endpoint)).gather(1, y[:, None])[:, 0].detach()
    assert float((found.completeness_error / change).abs().max()) < most


def test_what_the_walk_follows_is_not_complete():
    found = AttEXplore(copies=3, accumulate="surrogate").explain(cnn(), X, 1)
    total = found.attribution.flatten(1).sum(1)
    assert bool((total > 10).all())  # a sum of normalised gradients, on any model
    assert bool((found.completeness_error > 0.9 * total).all())


class Two(torch.nn.Module):
    """z = (a x, -a x), a > 0 on the upper half of the first channel."""

    def forward(self, x):
        z = 3 * (x[:, 0, :4] - 0.5).sum((1, 2))
        return torch.stack([z, -z], dim=1)


@pytest.mark.parametrize("accumulate", ["gradient", "surrogate"])
def test_the_walk_makes_the_explained_class_less_likely(accumulate):
    """Check N14: and the pixels that speak for it get all of it."""
    x = torch.full((1, 3, 8, 8), 0.6, dtype=torch.float64)
    found = AttEXplore(copies=4, accumulate=accumulate, diversity=0.0).explain(Two(), x, 0)
    assert bool((found.confidence[0].diff() < 0).all())
    assert bool((found.attribution[0, 0, :4] > 0).all())
    assert not found.attribution[0, 1:].any()
    beside = found.attribution[0, 0, 4:]
    assert bool(beside.any()) == (accumulate == "surrogate")  # the Gaussian reaches three pixels further
    assert not beside[3:].any()
    sharp = AttEXplore(copies=4, accumulate=accumulate, diversity=0.0, smoothing=1)(Two(), x, 0)
    assert not sharp[0, 0, 4:].any()


@pytest.mark.parametrize("inputs", [X, VECTORS], ids=["images", "vectors"])
def test_with_nothing_random_it_walks_as_mfaba(inputs):
    """Check N9, bit for bit."""
    net = cnn() if inputs.dim() == 4 else mlp(48, hidden=20)
    y = torch.tensor([2, 0, 1])
    bare = AttEXplore(copies=1, sigma=0.0, rho=0.0, diversity=0.0, smoothing=1, momentum=0.0).explain(net, inputs, y)
    basic = MFABA(steps=10, alpha=16 / 255 / 10, eps=16 / 255, early_stop=False).explain(net, inputs, y)
    assert torch.equal(bare.endpoint, basic.endpoint)
    assert torch.equal(bare.attribution, basic.attribution)
    assert not torch.equal(AttEXplore(copies=1).explain(net, inputs, y).endpoint, basic.endpoint)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (3 * 4 + 4, 3 * 4 + 4)),
        ({"rule": "left"}, (3 * 4 + 4, 3 * 4 + 3)),
        ({"accumulate": "surrogate"}, (3 * 4 + 4, 3 * 4)),
    ],
)
@pytest.mark.parametrize("max_batch", [2, None])
def test_passes(settings, expected, max_batch):
    net, method = Counter(cnn()), AttEXplore(steps=3, copies=4, max_batch=max_batch, **settings)
    method(net, X, 1)
    assert (net.forwards / 3, net.backwards / 3) == method.passes() == expected
    assert net.largest <= (max_batch or 12)


def test_chunks_and_batches_do_not_change_what_the_walk_follows():
    net, method = cnn(), AttEXplore(steps=3, copies=5, accumulate="surrogate")
    together = method(net, X, torch.tensor([2, 0, 1]))
    for i, y in enumerate((2, 0, 1)):
        alone = AttEXplore(steps=3, copies=5, accumulate="surrogate", max_batch=2)(net, X[i : i + 1], y)
        torch.testing.assert_close(together[i : i + 1], alone)


def of_velocities(names):
    return [name for name in names if issubclass(UPDATES.get(name), IterativeRule)]


@pytest.mark.parametrize("update", RULES)
def test_any_rule_walks_for_it_at_its_step_length(update):
    """With the same rule and region, the fundamental method."""
    net, settings = cnn(), {"steps": 4, "eps": 0.05, "seed": 4}
    found = AttEXplore(update=update, **settings).explain(net, X, 1)
    rule = fitted(update, alpha=0.05 / 4, eps=0.05)
    expected = FundamentalAttribution(update=rule, **settings).explain(net, X, 1)
    assert torch.equal(found.attribution, expected.attribution)
    assert torch.equal(found.endpoint, expected.endpoint)
    assert bool(found.attribution.any())


def test_its_own_rule_by_name_has_its_settings():
    """The defaults of both are the same, so only what is changed is passed on."""
    assert AttEXplore()._update() == SSA(alpha=16 / 255 / 10)
    plain = AttEXplore(copies=3, rho=0.25, sigma=0.1, momentum=0.5, diversity=0.0, smoothing=3)
    assert plain._update() == SSA(16 / 255 / 10, 0.5, diversity=0.0, smoothing=3, copies=3, rho=0.25, sigma=0.1)
    named = AttEXplore(update={"class": "ssa", "rho": 0.75}, copies=3, rho=0.25)
    assert (named._update().copies, named._update().rho) == (3, 0.75)
    assert AttEXplore(update="mifgsm", momentum=0.5)._update().momentum == 0.5
    assert AttEXplore(update="mifgsm")._update() == fitted("mifgsm", alpha=16 / 255 / 10)


@pytest.mark.parametrize("update", of_velocities(RULES))
def test_what_any_rule_follows_can_be_summed(update):
    """Step by step against the fundamental method's walk by a rule that tells its velocity."""
    seen = []
    rule = fitted(update, alpha=0.05 / 3, eps=0.05)

    def told(step):
        move = rule(step)
        seen.append(step.memory.get("velocity", torch.zeros_like(move)))
        return move

    net = cnn()
    found = AttEXplore(update=update, steps=3, eps=0.05, accumulate="surrogate").explain(net, X, 1)
    points = [X]
    for steps in (1, 2, 3):
        seen.clear()
        loss = None if rule.loss is None else rule.loss
        walk = FundamentalAttribution(update=told, steps=steps, eps=0.05, loss=loss).explain(net, X, 1)
        points.append(walk.endpoint)
    expected = sum((points[t + 1] - points[t]) * seen[t] for t in range(3))
    torch.testing.assert_close(found.attribution, expected)
    torch.testing.assert_close(found.endpoint, points[-1])
    assert bool(found.attribution.any())


@pytest.mark.parametrize(
    ("update", "settings"),
    [
        *((name, {}) for name in RULES),
        *((name, {"accumulate": "surrogate"}) for name in of_velocities(RULES)),
        ({"class": "mifgsm", "diversity": 0.5}, {"rule": "left", "substeps": 2}),
    ],
    ids=str,
)
def test_passes_with_another_rule(update, settings):
    net, method = Counter(cnn()), AttEXplore(update=update, steps=3, **settings)
    method(net, X, 1)
    assert (net.forwards / 3, net.backwards / 3 + from_within(update, 3)) == method.passes()


def test_the_seed_decides():
    net = cnn()
    one, same, other = (AttEXplore(steps=2, copies=2, seed=seed)(net, X, 1) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_published_settings():
    assert AttEXplore(preset="reference").resolved().accumulate == "surrogate"
    assert AttEXplore().accumulate == "gradient"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "`steps` must be a positive integer"),
        ({"copies": 0}, "`copies` must be a positive integer"),
        ({"eps": -1}, "`eps` must be a number of at least 0"),
        ({"smoothing": 2}, "`smoothing` must be odd"),
        ({"update": "fgsn"}, "unknown update rule 'fgsn'"),
        ({"update": "bim", "copies": 7}, "`copies` must be left out with update='bim'"),
        ({"update": "l2", "accumulate": "surrogate"}, "`update` must be a rule with a velocity"),
        ({"update": "l2", "preset": "reference"}, "`update` must be a rule with a velocity"),
        ({"accumulate": "both"}, "`accumulate` is 'both'; accepted: "),
        ({"rule": "right"}, "`rule` is 'right'"),
        ({"accumulate": "surrogate", "substeps": 2}, "`substeps` must be 1 with accumulate='surrogate'"),
        ({"bounds": (1, 0)}, "`bounds` must be"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        AttEXplore(**settings)

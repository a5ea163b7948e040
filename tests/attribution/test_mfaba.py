"""MFABA against a plain loop, its completeness, and what the published code does."""

import pytest
import torch

from _reference.nets import Counter, Function, cnn, linear, mlp
from _reference.rules import RULES, from_within
from lit_attr.attribution import MFABA, FundamentalAttribution
from lit_attr.updates import BIM, fitted

X = torch.rand(3, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
IMAGES = torch.rand(3, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def by_hand(
    net, x, y, *, steps=40, alpha=2 / 255, eps=80 / 255, sharp=False, early_stop=True, left=False, of="logprob"
):
    """One sample, images' bounds left out; gradients by the formula, first in, first out."""
    steps_seen, gradients = [x], []
    for t in range(steps + 1):
        point = steps_seen[-1].clone().requires_grad_()
        logits = net(point[None])
        value = {"logprob": logits.log_softmax(1), "prob": logits.softmax(1), "logit": logits}[of][0, y]
        gradients.append(torch.autograd.grad(value, point)[0])
        if t == steps or (early_stop and logits.argmax() != y):
            break
        move = -alpha * (gradients[-1] / gradients[-1].norm() if sharp else gradients[-1].sign())
        moved = point.detach() + move
        steps_seen.append(moved if eps is None else torch.clamp(moved, x - eps, x + eps))
    total = torch.zeros_like(x)
    for t in range(len(steps_seen) - 1):
        gradient = gradients[t] if left else (gradients[t] + gradients[t + 1]) / 2
        total -= (steps_seen[t + 1] - steps_seen[t]) * gradient
    return total, steps_seen[-1]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"steps": 5, "eps": 0.02},
        {"alpha": 0.05, "early_stop": False},
        {"variant": "sharp", "alpha": 0.1, "eps": None},
        {"rule": "left", "objective": "logit"},
    ],
)
def test_one_sample_at_a_time_by_a_plain_loop(settings):
    net = mlp(48, hidden=20)
    y = net(X).argmax(1)
    found = MFABA(**settings).explain(net, X, y)
    plain = {
        "sharp": settings.get("variant") == "sharp",
        "left": settings.get("rule") == "left",
        "of": settings.get("objective", "logprob"),
        **{key: settings[key] for key in ("steps", "alpha", "eps", "early_stop") if key in settings},
    }
    for i in range(3):
        expected, end = by_hand(net, X[i], int(y[i]), **plain)
        torch.testing.assert_close(found.attribution[i], expected, rtol=1e-9, atol=1e-14)
        torch.testing.assert_close(found.endpoint[i], end)


@pytest.mark.parametrize(("rule", "most"), [("trapezoid", 5e-4), ("left", 5e-3)])
def test_completeness_on_a_smooth_net(rule, most):
    """Check N7."""
    net = mlp(48, hidden=20)
    method = MFABA(rule=rule, early_stop=False, objective="logit")
    y = net(X).argmax(1)
    found = method.explain(net, X, y)
    change = (net(X) - net(found.endpoint)).gather(1, y[:, None])[:, 0].detach()
    assert float((found.completeness_error / change).abs().max()) < most


def test_it_leaves_the_class_and_stops_there():
    """Check N14: the walk makes the explained class less likely, and the pixels that speak for it get all of it."""
    weights = torch.zeros(48, dtype=torch.float64)
    weights[:10] = 1

    class Two(torch.nn.Module):
        def forward(self, x):
            z = 3 * ((x - 0.5) @ weights)
            return torch.stack([z, -z], dim=1)

    x = torch.full((1, 48), 0.6, dtype=torch.float64)
    found = MFABA(alpha=0.01).explain(Two(), x, 0)
    assert bool(found.success)
    confidence = found.confidence[0][found.confidence[0].isfinite()]
    assert bool((confidence.diff() < 0).all())
    assert float(confidence[-1]) < 0.5 <= float(confidence[-2])
    assert bool((found.attribution[0, :10] > 0).all())
    assert not found.attribution[0, 10:].any()


def test_a_class_that_is_not_predicted_is_walked_away_from_all_the_way():
    net = mlp(48, hidden=20)
    found = MFABA(steps=4).explain(net, X, net(X).argmin(1))
    assert bool(found.confidence.isfinite().all())
    assert bool(found.attribution.any(1).all())


def test_images_stay_in_their_range():
    inputs = torch.rand(2, 1, 4, 4, dtype=torch.float64)
    net = Function(lambda x: x.flatten(1).sum(1))
    assert bool((MFABA(eps=None, early_stop=False).explain(net, inputs, 1).endpoint == 0).any())
    end = MFABA(eps=None, early_stop=False, bounds=None).explain(net, inputs, 1).endpoint
    torch.testing.assert_close(end, inputs - 40 * 2 / 255)


def test_published_settings():
    found = MFABA(preset="reference").resolved()
    assert (found.steps, found.eps, found.variant) == (50, None, "sharp")
    assert (found.rule, found.objective) == ("left", "prob")
    assert MFABA(preset="reference", steps=7).resolved().steps == 7
    assert MFABA(preset="reference").passes() == (51, 50)
    x, net = X[:1], linear(48)
    y = int(net(x).argmax())
    expected, _ = by_hand(net, x[0], y, steps=50, alpha=0.1, eps=None, sharp=True, left=True, of="prob")
    torch.testing.assert_close(MFABA(preset="reference")(net, x, y)[0], expected)


@pytest.mark.parametrize("update", RULES)
@pytest.mark.parametrize("variant", ["smooth", "sharp"])
def test_any_rule_walks_for_it_at_its_step_length(update, variant):
    """With the same rule and region, the fundamental method."""
    settings = {"steps": 3, "eps": 0.05, "early_stop": True, "seed": 4}
    alpha, norm = (2 / 255, "linf") if variant == "smooth" else (0.1, "l2")
    net = cnn()
    found = MFABA(update=update, variant=variant, **settings).explain(net, IMAGES)
    rule = fitted(update, alpha=alpha, norm=norm, eps=0.05)
    expected = FundamentalAttribution(update=rule, **settings).explain(net, IMAGES)
    assert torch.equal(found.attribution, expected.attribution)
    assert torch.equal(found.endpoint, expected.endpoint)
    assert bool(found.attribution.any())


def test_the_sign_rule_by_name_is_its_own():
    net = mlp(48, hidden=20)
    for settings in ({}, {"alpha": 0.05, "eps": None}, {"rule": "left", "objective": "logit"}):
        assert torch.equal(MFABA(update="bim", **settings)(net, X), MFABA(**settings)(net, X))
    sharp = {"variant": "sharp", "eps": None}
    assert torch.equal(MFABA(update="l2", **sharp)(net, X), MFABA(**sharp)(net, X))
    torch.testing.assert_close(MFABA(update="bim", **sharp)(net, X), MFABA(**sharp)(net, X))


def test_settings_of_a_rule_win_and_a_function_is_taken_as_it_is():
    net = mlp(48, hidden=20)
    given = MFABA(update={"class": "bim", "alpha": 0.05})
    assert torch.equal(given(net, X), MFABA(alpha=0.05)(net, X))
    assert torch.equal(MFABA(update=BIM(0.05), alpha=0.5)(net, X), MFABA(alpha=0.05)(net, X))
    assert torch.equal(MFABA(update=lambda step: 0.05 * step.ascent.sign())(net, X), MFABA(alpha=0.05)(net, X))
    assert hash(given) == hash(MFABA(update={"class": "bim", "alpha": 0.05}))
    assert given != MFABA(update={"class": "bim", "alpha": 0.06})


@pytest.mark.parametrize("update", [None, *RULES, {"class": "ssa", "copies": 3}], ids=str)
def test_passes_are_those_of_the_walk_and_of_the_rule(update):
    net, method = Counter(cnn()), MFABA(update=update, steps=3, substeps=2, early_stop=False)
    method(net, IMAGES, 1)
    assert (net.forwards / 3, net.backwards / 3 + from_within(update, 3)) == method.passes()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "`steps` must be a positive integer"),
        ({"alpha": -1}, "`alpha` must be a number of at least 0"),
        ({"eps": -1}, "`eps` must be a number of at least 0"),
        ({"variant": "cos"}, "`variant` is 'cos'; accepted: smooth, sharp|sharp, smooth"),
        ({"update": "fgsn"}, "unknown update rule 'fgsn'"),
        ({"rule": "right"}, "`rule` is 'right'"),
        ({"bounds": (1, 0)}, "`bounds` must be"),
        ({"preset": "paper"}, "`preset` is 'paper'; accepted: "),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        MFABA(**settings)

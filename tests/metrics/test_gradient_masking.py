"""Each check fails on a model that is made to fail it, and none on a plain one."""

import pytest
import torch
from torch import nn

from _reference.trace import snapshot
from lit_attr.metrics import GradientMasking


def plain():
    """Two classes: whether the mean of the image exceeds a half."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    with torch.no_grad():
        net[1].weight.copy_(torch.stack([-torch.ones(16), torch.ones(16)]))
        net[1].bias.copy_(torch.tensor([8.0, -8.0]))
    return net


def samples():
    torch.manual_seed(2)
    inputs = 0.3 + 0.4 * torch.rand(24, 1, 4, 4)
    return inputs, (inputs.flatten(1).mean(1) > 0.5).long()


class Changed(nn.Module):
    """The plain model of changed inputs."""

    def __init__(self, change):
        super().__init__()
        self.net, self.change = plain(), change

    def forward(self, x):
        return self.net(self.change(x))


def rounded(x):
    """Four levels: no gradient, though the sum keeps a graph."""
    return (x * 3).round() / 3 + 0 * x


def backward_only(x):
    """The gradient of the opposite sign: attacks climb the wrong way."""
    return (2 * x).detach() - x


class NotANumber(nn.Module):
    """Infinite for the second class where the image is bright."""

    def __init__(self):
        super().__init__()
        self.net = plain()

    def forward(self, x):
        return self.net(x) / (x.flatten(1).mean(1, keepdim=True) < 0.5)


def failed(model, surrogate=None, **settings):
    inputs, labels = samples()
    checks = GradientMasking({"class": "pgd", "eps": 0.06, "alpha": 0.02, "steps": 5}, **settings)(
        model, inputs, labels, surrogate
    )
    return {check.name for check in checks if not check.passed}, {check.name: check for check in checks}


def test_a_plain_model_passes_all():
    wrong, checks = failed(plain(), plain())
    assert wrong == set()
    assert list(checks) == [
        *("large_eps", "iterative", "more_steps", "noise", "transfer", "zero_gradient", "not_finite"),
    ]
    assert checks["large_eps"].found == 0
    assert checks["noise"].found < checks["noise"].limit  # the attack does something, noise little


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_no_gradient_is_found_by_noise_transfer_and_itself(norm):
    wrong, checks = failed(Changed(rounded), plain())
    assert {"large_eps", "zero_gradient", "transfer"} <= wrong
    assert checks["zero_gradient"].found == 1


def test_a_gradient_that_leads_the_wrong_way_is_found():
    wrong, checks = failed(Changed(backward_only), plain())
    assert {"large_eps", "transfer"} <= wrong
    assert "zero_gradient" not in wrong
    assert checks["large_eps"].meaning.startswith("accuracy at an eps that reaches every image")


def test_what_is_not_finite_is_counted():
    inputs, labels = samples()
    found = GradientMasking("bim").measure(NotANumber(), inputs[labels == 0], labels[labels == 0])
    assert not found["not_finite"].any()
    masked = GradientMasking("bim").judge({"attack": torch.tensor([False]), "not_finite": torch.tensor([True])})
    assert [(check.name, check.passed) for check in masked] == [("not_finite", False)]


def test_judging_compares_shares_with_tolerance():
    def measured(**counts):
        return {name: torch.arange(100) < count for name, count in counts.items()}

    judge = GradientMasking("pgd", tolerance=0.05).judge
    numbers = measured(attack=40, iterative=35, noise=34, more_steps=45, large_eps=6, transfer=90)
    checks = {check.name: check for check in judge(numbers)}
    assert {name: check.passed for name, check in checks.items()} == {
        "iterative": True,
        "noise": False,
        "more_steps": True,
        "large_eps": False,
        "transfer": True,
    }
    assert (checks["noise"].found, checks["noise"].limit) == pytest.approx((0.40, 0.34))
    assert (checks["more_steps"].found, checks["more_steps"].limit) == pytest.approx((0.45, 0.40))


def test_measured_in_parts_is_measured_at_once():
    inputs, labels = samples()
    masking = GradientMasking("pgd", draws=3)
    whole = masking.measure(plain(), inputs, labels)
    parts = [masking.measure(plain(), inputs[s], labels[s]) for s in (slice(0, 5), slice(5, 24))]
    for name, values in whole.items():
        assert torch.equal(values, torch.cat([part[name] for part in parts])), name


def test_no_trace():
    model, (inputs, labels) = plain().train(), samples()
    before = snapshot(model)
    GradientMasking("pgd", draws=1)(model, inputs, labels)
    assert snapshot(model) == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attack": "fgsm"}, "`attack` must be one that goes in several steps, with eps above 0"),
        ({"attack": "pdg"}, "unknown attack 'pdg'"),
        ({"draws": 0}, "`draws` must be a positive integer"),
        ({"tolerance": 2}, r"`tolerance` must be in \[0, 1\]"),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(ValueError, match=message):
        GradientMasking(**settings)

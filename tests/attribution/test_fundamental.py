"""ABE's fundamental method: its walk is that of the rule, and any rule gives a complete attribution."""

import pytest
import torch

from _reference.nets import Counter, cnn, linear, mlp
from _reference.rules import RULES, from_within
from lit_attr.attribution import MFABA, FundamentalAttribution
from lit_attr.updates import BIM, L2Step

X = torch.rand(3, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def momentum(step):
    velocity = 0.9 * step.memory.get("velocity", torch.zeros_like(step.points)) + step.ascent
    step.memory["velocity"] = velocity
    return 0.01 * velocity.sign()


def drunk(step):
    return 0.01 * step.normal()


SOME = ["bim", "l2", {"class": "l2", "alpha": 0.01}, momentum, drunk]


@pytest.mark.parametrize("update", SOME)
def test_any_rule_is_exact_on_a_linear_model(update):
    """Check N1."""
    net = linear(12)
    found = FundamentalAttribution(update=update, objective="logit").explain(net, X, 1)
    torch.testing.assert_close(found.attribution, net.weight[1].detach() * (X - found.endpoint), rtol=0, atol=1e-12)


@pytest.mark.parametrize("update", SOME)
def test_any_rule_is_complete_on_a_smooth_net(update):
    """Check N7."""
    net = mlp(12, hidden=16)
    found = FundamentalAttribution(update=update, objective="logit").explain(net, X, 1)
    scale = (net(X)[:, 1] - net(found.endpoint)[:, 1]).detach().abs().max()
    assert float(found.completeness_error.abs().max() / scale) < 5e-3


@pytest.mark.parametrize(
    "update", [*RULES, {"class": "ssa", "copies": 3}, {"class": "spsa", "alpha_max": 0.5}], ids=str
)
@pytest.mark.parametrize("loss", [None, "margin"])
def test_passes_are_those_of_the_walk_and_of_the_rule(update, loss):
    net, method = Counter(cnn()), FundamentalAttribution(update=update, steps=3, loss=loss)
    found = method.explain(net, torch.rand(2, 3, 8, 8, dtype=torch.float64), 1)
    assert found.passes == method.passes()
    assert (net.forwards / 2, net.backwards / 2 + from_within(update, 3)) == found.passes


def test_with_the_sign_rule_it_is_mfaba():
    net = mlp(12, hidden=16)
    settings = {"steps": 7, "eps": 0.03, "early_stop": True}
    found = FundamentalAttribution(update=BIM(2 / 255), **settings)(net, X)
    torch.testing.assert_close(found, MFABA(**settings)(net, X), rtol=0, atol=0)


def test_a_rule_may_descend_another_loss():
    """The walk is that of the loss; what is integrated stays the objective."""
    net = mlp(12, hidden=16)
    found = FundamentalAttribution(steps=4, loss="margin", objective="logit").explain(net, X, 1)
    expected = FundamentalAttribution(steps=4, objective="margin").explain(net, X, 1)
    torch.testing.assert_close(found.endpoint, expected.endpoint)
    assert not torch.allclose(found.attribution, expected.attribution)


def test_the_seed_decides_the_draws():
    net = mlp(12)
    a, b = (FundamentalAttribution(update=drunk, seed=seed)(net, X, 0) for seed in (1, 2))
    assert torch.equal(a, FundamentalAttribution(update=drunk, seed=1)(net, X, 0))
    assert not torch.allclose(a, b)


def test_rules_by_name_become_their_settings():
    assert FundamentalAttribution(update="l2") == FundamentalAttribution(update=L2Step())
    assert FundamentalAttribution(update={"class": "bim", "alpha": 0.5}).update == BIM(0.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"update": "fgsn"}, "unknown update rule 'fgsn'"),
        ({"loss": "ce"}, "`loss` is 'ce'"),
        ({"eps": -1}, "`eps` must be"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        FundamentalAttribution(**settings)

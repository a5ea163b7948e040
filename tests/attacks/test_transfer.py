"""The transfer attacks are walks of their rules, whose own tests compare each with a plain loop."""

import dataclasses

import pytest
import torch

from _reference.nets import cnn
from lit_attr.attacks import GRA, MIG, NAA, SIA, SSA, UpdateAttack

X = torch.rand(3, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([2, 0, 1])
SETTINGS = {"eps": 0.05, "steps": 3}


@pytest.mark.parametrize(
    "attack",
    [
        SSA(copies=3, rho=0.3, sigma=0.1, **SETTINGS),
        SIA(copies=3, blocks=2, **SETTINGS),
        MIG(copies=3, baseline=0.5, score="logit", **SETTINGS),
        GRA(copies=3, beta=2.0, eta=0.5, **SETTINGS),
        NAA(copies=3, layer="0", noise=0.2, gamma=0.5, **SETTINGS),
    ],
    ids=lambda attack: type(attack).__name__,
)
def test_every_setting_reaches_the_rule(attack):
    model = cnn()
    own = {f.name: getattr(attack, f.name) for f in dataclasses.fields(attack.RULE) if hasattr(attack, f.name)}
    rule = attack.RULE(**own)
    assert attack.rule == rule
    given = {"copies", "rho", "sigma", "blocks", "baseline", "score", "beta", "eta", "layer", "noise", "gamma"}
    changed = [f for f in dataclasses.fields(rule) if f.name in given]
    assert all(getattr(rule, f.name) != f.default for f in changed)
    found = attack(model, X, Y)
    torch.testing.assert_close(found, UpdateAttack(update=rule, **SETTINGS)(model, X, Y))
    assert 0.02 < float((found - X).abs().max()) <= 0.05 + 1e-9


def test_gradient_relevance_looks_as_far_as_its_ball():
    assert GRA(eps=0.1).rule.eps == 0.1

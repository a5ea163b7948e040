"""What a method gives to the rule that its user chose, and what it leaves alone."""

import sys
from dataclasses import dataclass, fields
from types import SimpleNamespace

import pytest
import torch

from _reference.nets import cnn
from _reference.rules import RULES
from lit_attr.attribution import MFABA, FundamentalAttribution
from lit_attr.updates import BIM, PGD, SPSA, SSA, UPDATES, L2Step, UpdateRule, fitted


@dataclass(frozen=True)
class Own(UpdateRule):
    """A rule of someone's, with its own measure."""

    alpha: float = 0.5
    eps: float = 0.25
    kind: str = "l2"

    @property
    def length(self):
        return self.kind

    def __call__(self, step):
        return self.alpha * step.ascent


def settings(rule):
    return {field.name: getattr(rule, field.name) for field in fields(rule)}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_rule_by_name_steps_as_far_as_the_method_and_is_otherwise_its_own(name, norm):
    rule, plain = fitted(name, alpha=0.125, norm=norm, eps=0.75), UPDATES.build(name)
    expected = settings(plain)
    if "norm" in expected:
        expected["norm"] = norm
    if rule.length == norm:
        expected |= {"alpha": 0.125} | ({"eps": 0.75} if "eps" in expected else {})
    assert settings(rule) == expected
    assert type(rule) is type(plain)


@pytest.mark.parametrize("name", RULES)
def test_the_length_of_a_step_is_what_the_rule_says(name):
    """Of all its first moves on images: none is longer than alpha, and the longest is as long."""
    rule, x = UPDATES.build(name), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    if rule.length is None:
        assert fitted(name, alpha=9.0) == rule
        return
    for norm in ("linf", "l2"):
        rule = fitted(name, alpha=0.01, norm=norm, eps=0.01)
        if rule.length != norm:
            continue
        end = FundamentalAttribution(update=rule, steps=1, bounds=None).explain(cnn(), x, 1).endpoint
        sizes = (end - x).flatten(1).norm(dim=1, p=2 if norm == "l2" else float("inf"))
        if name == "pgd":  # its first move goes to any point of the ball
            assert bool((sizes <= 0.01 + 1e-12).all())
        else:
            torch.testing.assert_close(sizes, torch.full_like(sizes, 0.01))


def test_settings_that_are_given_win():
    assert fitted({"class": "pgd", "alpha": 0.5}, alpha=0.1, eps=0.2) == PGD(alpha=0.5, eps=0.2)
    assert fitted({"class": "PGD", "norm": "l2"}, alpha=0.1, eps=0.2) == PGD(norm="l2")
    assert fitted({"class": "PGD", "eps": 0.5}, alpha=0.1, eps=0.2) == PGD(alpha=0.1, eps=0.5)
    assert fitted({"class": "ssa", "copies": 3}, alpha=0.1, wanted={"copies": 9, "rho": 0.0}) == SSA(
        alpha=0.1, copies=3, rho=0.0
    )


def test_a_length_in_another_norm_and_what_is_none_stay():
    assert fitted("l2", alpha=0.5) == L2Step()
    assert fitted("l2", alpha=0.5, norm="l2") == L2Step(0.5)
    assert fitted("spsa", alpha=0.5) == SPSA()
    assert fitted("pgd", alpha=0.5, eps=None) == PGD(alpha=0.5)


def test_rules_as_objects_and_functions_stay():
    def rule(step):
        return step.ascent

    assert fitted(rule, alpha=0.5, eps=1.0) is rule
    assert fitted(BIM(0.25), alpha=0.5, norm="l2") == BIM(0.25)


def test_a_rule_of_ones_own_by_its_path(monkeypatch):
    """Its fields are filled as those of the registered ones, where it measures as the method does."""
    monkeypatch.setitem(sys.modules, "test_fitted_rule", SimpleNamespace(Own=Own))  # test files have no import path
    rule = fitted({"class": "test_fitted_rule.Own", "kind": "linf"}, alpha=9.0, eps=0.75)
    assert rule == Own(9.0, 0.75, "linf")
    assert fitted("test_fitted_rule.Own", alpha=9.0, eps=0.75) == Own()


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ("bim", "`copies` must be left out with update='bim', which takes none from the method, got 7"),
        (SSA(), "`copies` must be left out with update=SSA"),
        ("bin", "unknown update rule 'bin'"),
        ({"class": "bim", "beta": 1}, "update rule 'bim' has no setting 'beta'"),
    ],
)
def test_what_does_not_fit_is_refused(update, message):
    with pytest.raises(ValueError, match=message):
        fitted(update, alpha=0.1, wanted={"copies": 7})


def test_presets_of_the_method_reach_the_rule():
    assert MFABA(update="bim", preset="reference").resolved()._update() == BIM(0.1, norm="l2")


def test_attacks_of_torchattacks_take_the_methods_step():
    found = fitted({"class": "torchattacks.VNIFGSM", "N": 2}, alpha=0.1, eps=0.5)
    assert dict(found.settings) == {"N": 2, "alpha": 0.1, "eps": 0.5}
    assert dict(fitted("torchattacks.VNIFGSM", alpha=0.1).settings) == {"alpha": 0.1}
    assert dict(fitted("torchattacks.PGDL2", alpha=0.1).settings) == {}
    assert dict(fitted("torchattacks.PGDL2", alpha=0.1, norm="l2").settings) == {"alpha": 0.1}
    assert dict(fitted("torchattacks.DeepFool", alpha=0.1).settings) == {}
    assert dict(fitted("torchattacks.APGD", alpha=0.1).settings) == {}

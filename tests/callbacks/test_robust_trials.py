"""What is tried, from settings."""

import pytest

from lit_attr.attacks import PGD
from lit_attr.callbacks._robust_trials import attack_trials, check_names, corruption_trials, strength_name
from lit_attr.corruptions import Fog, GaussianNoise


def test_each_attack_at_its_own_eps_and_along_the_curve():
    trials = attack_trials(
        {"pgd": {"eps": "8/255", "alpha": "2/255"}, "far": {"class": "fgsm", "eps": 0.1}}, ["4/255", 8 / 255]
    )
    keys = [(trial.key, trial.own, trial.in_curve) for trial in trials]
    assert keys == [
        ("pgd/4_255", False, True),
        ("pgd/8_255", True, True),
        ("far/4_255", False, True),
        ("far/8_255", False, True),
        ("far/0.1", True, True),
    ]
    assert [trial.do.eps * 255 for trial in trials[:2]] == pytest.approx([4, 8])
    assert [trial.do.alpha * 255 for trial in trials[:2]] == pytest.approx([1, 2])


def test_an_attack_alone_has_no_curve_and_l2_is_an_axis_of_its_own():
    (alone,) = attack_trials(["bim"])
    assert (alone.key, alone.in_curve, alone.axis) == ("bim/8_255", False, "eps")
    (round_one,) = attack_trials({"l2": PGD(norm="l2", eps=0.5)})
    assert (round_one.key, round_one.axis) == ("l2/0.5", "eps (L2)")


def test_an_attack_may_be_left_out_of_the_curve():
    settings = {"autoattack": {"eps": "8/255", "curve": False}, "pgd": {"curve": True}}
    trials = attack_trials(settings, ["4/255", "8/255"])
    assert [(t.key, t.own, t.in_curve) for t in trials] == [
        ("autoattack/8_255", True, False),
        ("pgd/4_255", False, True),
        ("pgd/8_255", True, True),
    ]
    assert settings["autoattack"] == {"eps": "8/255", "curve": False}  # the user's own is not changed


def test_corruptions_at_a_list_of_strengths_at_all_severities_or_as_made():
    assert [t.key for t in corruption_trials({"speckle": {"sigma": [0.1, 0.3]}})] == ["speckle/0.1", "speckle/0.3"]
    assert [t.key for t in corruption_trials(["fog"])] == [f"fog/{severity}" for severity in range(1, 6)]
    assert [t.value for t in corruption_trials(["gaussian"])] == [0.08, 0.12, 0.18, 0.26, 0.38]  # of ImageNet-C
    named = corruption_trials({"mist": Fog(severity=2), "noise": GaussianNoise(sigma=0.25)})
    assert [(t.key, t.axis, t.in_curve) for t in named] == [
        ("mist/2", "severity", False),
        ("noise/0.25", "sigma", False),
    ]
    variant = corruption_trials({"small": {"class": "fog", "severity": 4, "variant": "cifar"}})
    assert (variant[0].key, variant[0].do) == ("small/4", Fog(severity=4, variant="cifar"))


@pytest.mark.parametrize(("value", "name"), [(1 / 255, "1_255"), (0.031, "0.031"), (1.0, "1"), (16 / 255, "16_255")])
def test_strengths_in_names(value, name):
    assert strength_name(value, steps=True) == name


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: attack_trials(["pdg"]), "unknown attack 'pdg'; accepted: .*did you mean 'pgd'"),
        (lambda: attack_trials({"pgd": {"step": 3}}), "attack 'pgd' has no setting 'step'"),
        (lambda: attack_trials({"pgd": {"curve": "no"}}), "`curve` must be true or false, got no"),
        (lambda: attack_trials(["pgd"], [0.1, -1]), "`eps` must be numbers above 0"),
        (lambda: attack_trials(["pgd"], ["much"]), "`eps` must be numbers above 0, or texts like 8/255"),
        (lambda: corruption_trials(["smog"]), "unknown corruption 'smog'"),
        (lambda: corruption_trials({"fog": {"severity": 6}}), "`severity` must be an integer from 1 to 5, got 6"),
        (lambda: corruption_trials({"gaussian": {"sigma": [0.1, 0.1]}}), "different strengths, got gaussian/0.1 twice"),
        (lambda: check_names(attack_trials({"clean": PGD()}), []), "`attacks` must be a name without .*got clean"),
        (lambda: check_names([], corruption_trials({"mce": Fog()})), "`corruptions` must be a name without .*got mce"),
        (lambda: check_names(attack_trials({"fog": PGD()}), corruption_trials(["fog"])), "names that no attack has"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""What is tried by itself."""

from lit_attr.attribution import METHODS
from lit_attr.benchmark import CANDIDATES, candidates


def test_every_registered_method_is_a_candidate_as_it_comes():
    assert sorted(CANDIDATES) == METHODS.names()
    made = candidates()
    for name in METHODS.names():
        assert made[name] == METHODS.build(name)


def test_what_comes_first_costs_no_more():
    for name, settings in CANDIDATES.items():
        costs = [sum(METHODS.build(name, one).passes((3, 32, 32), 10)) for one in settings]
        assert costs == sorted(costs), name


def test_names_tell_the_settings_and_are_distinct():
    made = candidates()
    assert len(made) == sum(len(settings) for settings in CANDIDATES.values())
    assert made["agi(classes=5,steps=10)"] == METHODS.build("agi", {"classes": 5, "steps": 10})

"""Attacks of torchattacks through ours against the library itself; AutoAttack's parts; ours as theirs."""

import copy
import functools
import math

import pytest
import torch
import torchattacks

from _reference.nets import Counter, cnn
from lit_attr.attacks import MIFGSM, PGD, AutoAttack, TorchAttack, as_torchattack, get_attack

X = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([2, 0, 1, 1])

LIBRARY = {
    "VMIFGSM": torchattacks.VMIFGSM,
    "CW": torchattacks.CW,
    "Square": functools.partial(torchattacks.Square, seed=3),
    "pgdl2": torchattacks.PGDL2,
}


def net(classes=3):
    return cnn(classes, torch.float32).eval()


@pytest.mark.parametrize(
    ("name", "settings"),
    [("VMIFGSM", {"eps": 0.03, "N": 2}), ("CW", {"steps": 8, "lr": 0.1}), ("Square", {"n_queries": 20}), ("pgdl2", {})],
)
@pytest.mark.parametrize("targeted", [False, True])
def test_as_the_library(name, settings, targeted):
    model, attack = net(), get_attack(name, **settings, targeted=targeted, seed=3)
    theirs = LIBRARY[name](model, **settings)
    if targeted:
        theirs.set_mode_targeted_by_label(quiet=True)
    torch.manual_seed(3)
    expected = theirs(X, Y)
    torch.testing.assert_close(attack(model, X, Y), expected)
    assert bool((attack.run(model, X, Y).success == ((model(expected).argmax(1) == Y) == targeted)).all())


@pytest.mark.parametrize(
    ("name", "settings", "classes"),
    [
        ("FAB", {"steps": 3}, 4),
        ("JSMA", {"gamma": 0.05}, 10),
        ("PGDL2", {"steps": 2}, 3),
        ("SparseFool", {"steps": 2}, 3),
        ("autoattack", {"steps": 3, "queries": 5}, 4),
    ],
)
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of SparseFool
def test_memory_format_does_not_matter(name, settings, classes):
    attack, model = get_attack(name, **settings), net(classes)
    expected = attack(model, X, Y)
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    for asked, inputs in [(model, X.to(memory_format=torch.channels_last)), (last, X)]:
        torch.testing.assert_close(attack(asked, inputs, Y), expected)


def test_names_and_settings():
    attack = get_attack({"class": "torchattacks.VMIFGSM", "eps": 0.1, "seed": 2})
    assert attack == TorchAttack("vmifgsm", {"eps": 0.1}, seed=2)
    assert isinstance(get_attack("pgd"), PGD)
    assert isinstance(get_attack("torchattacks.PGD"), TorchAttack)
    assert hash(attack) == hash(TorchAttack("VMIFGSM", {"eps": 0.1}, seed=2))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("torchattacks.VMIFGMS", {}, "torchattacks has no attack 'VMIFGMS'; .*did you mean 'VMIFGSM'"),
        ("VMIFGSM", {"epsilon": 0.1}, "torchattacks.VMIFGSM has no setting 'epsilon'; .*did you mean 'eps'"),
        ("VMIFGSMM", {}, "unknown attack 'vmifgsmm'"),
        ("autoattack", {"targeted": True}, "`targeted` must be false for AutoAttack, got True"),
        ("autoattack", {"bounds": "unit"}, "`bounds` must be 'auto', None, or two numbers"),
    ],
)
def test_what_does_not_exist_is_refused(name, settings, message):
    with pytest.raises(ValueError, match=message):
        get_attack(name, **settings)


def test_passes_where_they_are_known():
    attack = get_attack("VMIFGSM", steps=3, N=2)
    counter = Counter(net())
    attack(counter, X, Y)
    assert (counter.forwards / 4, counter.backwards / 4) == attack.passes == (9, 9)
    assert all(math.isnan(each) for each in get_attack("DeepFool").passes)


def test_it_begins_at_the_inputs():
    with pytest.raises(ValueError, match=r"`start` must be None for torchattacks\.DeepFool"):
        get_attack("DeepFool")(net(), X, Y, start=X)


def test_autoattack_is_its_parts_with_their_iterations():
    """Trap 23: torchattacks' own has a tenth of the iterations, and another schedule of Square."""
    model = net(5)
    with torch.no_grad():
        model[-1].bias -= model(X).mean(0)
    label = model(X).argmax(1)
    found = AutoAttack(eps=0.02, steps=7, queries=30).run(model, X, label)
    settings = {"eps": 0.02, "norm": "Linf", "seed": 0, "n_restarts": 1}
    parts = [
        torchattacks.APGD(model, steps=7, loss="ce", **settings),
        torchattacks.APGDT(model, steps=7, n_classes=5, **settings),
        torchattacks.FAB(model, steps=7, multi_targeted=True, n_classes=5, **settings),
        torchattacks.Square(model, n_queries=30, resc_schedule=False, **settings),
    ]
    torch.testing.assert_close(found.adversarial, torchattacks.MultiAttack(parts)(X, label))
    assert int(found.success.sum()) > 0
    rule = AutoAttack().rule
    steps = [dict(part.settings).get("steps") for part in dict(rule.settings)["attacks"]]
    assert steps == [100, 100, 100, None]
    assert AutoAttack(norm="l2", eps=0.5, steps=2, queries=3)(model, X, label).shape == X.shape


def test_of_many_classes_nine_are_tried(monkeypatch):
    seen = []
    init = torchattacks.APGDT.__init__

    def noted(self, *args, **settings):
        init(self, *args, **settings)
        seen.append(self.n_target_classes)

    noted.__signature__ = __import__("inspect").signature(init)
    monkeypatch.setattr(torchattacks.APGDT, "__init__", noted)
    get_attack("APGDT", steps=2)(net(30), X, Y)
    assert seen == [9]


def test_autoattack_needs_four_classes():
    """Trap 24."""
    with pytest.raises(ValueError, match="`model output` must be 4 or more classes"):
        AutoAttack(steps=1, queries=1)(net(3), X, Y)


def test_ours_as_one_of_theirs():
    model = net()
    ours = as_torchattack(MIFGSM(), model)
    torch.testing.assert_close(ours(X, Y), MIFGSM()(model, X, Y))
    both = torchattacks.MultiAttack([ours, as_torchattack(PGD(eps=0.3, alpha=0.1), model)])
    assert both(X, Y).shape == X.shape
    ours.set_mode_targeted_by_label(quiet=True)
    torch.testing.assert_close(ours(X, Y), MIFGSM(targeted=True)(model, X, Y))
    assert as_torchattack(AutoAttack(), model).supported_mode == ["default"]

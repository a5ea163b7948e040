"""The iterative family against torchattacks, bit for bit where that is right, and the cost of each."""

from dataclasses import fields

import pytest
import torch
import torch.nn.functional as F
import torchattacks

from _reference.nets import Counter, cnn
from lit_attr.attacks import (
    ATTACKS,
    BIM,
    DIFGSM,
    FGSM,
    MIFGSM,
    NAA,
    NIFGSM,
    PGD,
    SINIFGSM,
    SSA,
    TIFGSM,
    IterativeAttack,
)

X = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([2, 0, 1, 1])
FAMILY = [cls for name in ATTACKS.names() if issubclass(cls := ATTACKS.get(name), IterativeAttack)]


def cross_entropy(evidence, index):
    """As torchattacks has it, whose gradient is rounded away where the model is sure."""
    return -F.cross_entropy(evidence, index, reduction="none")


def net():
    return cnn().float()


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (FGSM(eps=0.03), lambda model: torchattacks.FGSM(model, eps=0.03)),
        (BIM(eps=0.03, alpha=0.01), lambda model: torchattacks.BIM(model, eps=0.03, alpha=0.01)),
        (PGD(eps=0.03, alpha=0.01), lambda model: torchattacks.PGD(model, eps=0.03, alpha=0.01)),
        (MIFGSM(eps=0.03, alpha=0.01), lambda model: torchattacks.MIFGSM(model, eps=0.03, alpha=0.01)),
        (
            MIFGSM(eps=0.03, alpha=0.01, momentum=0.3),
            lambda model: torchattacks.MIFGSM(model, eps=0.03, alpha=0.01, decay=0.3),
        ),
        (NIFGSM(eps=0.03, alpha=0.01), lambda model: torchattacks.NIFGSM(model, eps=0.03, alpha=0.01)),
        (DIFGSM(eps=0.03, alpha=0.01), lambda model: torchattacks.DIFGSM(model, eps=0.03, alpha=0.01)),
        (
            DIFGSM(eps=0.03, alpha=0.01, momentum=1, resize=0.7, diversity=0.9),
            lambda model: torchattacks.DIFGSM(model, 0.03, 0.01, decay=1.0, resize_rate=0.7, diversity_prob=0.9),
        ),
        (
            PGD(eps=0.5, alpha=0.1, norm="l2"),
            lambda model: torchattacks.PGDL2(model, eps=0.5, alpha=0.1, eps_for_division=0),
        ),
    ],
    ids=["fgsm", "bim", "pgd", "mifgsm", "mifgsm 0.3", "nifgsm", "difgsm", "difgsm strong", "pgd l2"],
)
@pytest.mark.parametrize("targeted", [False, True])
def test_bit_for_bit_as_torchattacks(ours, theirs, targeted):
    """One sample at a time: torchattacks draws other numbers for each place in a batch."""
    model = net().eval()
    settings = {f.name: getattr(ours, f.name) for f in fields(ours)} | {"loss": cross_entropy, "targeted": targeted}
    ours = type(ours)(**settings)
    other = theirs(model)
    if targeted:
        other.set_mode_targeted_by_label(quiet=True)
    tolerance = 1e-6 if ours.norm == "l2" else 1e-7  # they round x + (x' - x) in another order
    for i in range(4):
        torch.manual_seed(0)
        expected = other(X[i : i + 1], Y[i : i + 1])
        torch.testing.assert_close(ours(model, X[i : i + 1], Y[i : i + 1]), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (TIFGSM(eps=0.03, alpha=0.01), lambda model: torchattacks.TIFGSM(model, eps=0.03, alpha=0.01)),
        (SINIFGSM(eps=0.03, alpha=0.01), lambda model: torchattacks.SINIFGSM(model, eps=0.03, alpha=0.01)),
    ],
    ids=["tifgsm", "sinifgsm"],
)
def test_as_torchattacks_but_for_signs_of_what_is_almost_zero(ours, theirs):
    """Sums in another order."""
    model = net().eval()
    for i in range(4):
        torch.manual_seed(0)
        expected = theirs(model)(X[i : i + 1], Y[i : i + 1])
        found = ours(model, X[i : i + 1], Y[i : i + 1])
        assert float(((found - expected).abs() > 1e-6).float().mean()) < 0.02


@pytest.mark.parametrize("attack", FAMILY)
def test_defaults_are_those_of_the_rule(attack):
    rule = attack().rule
    own = {f.name for f in fields(rule)} - {"alpha", "eps"}
    assert {name: getattr(rule, name) for name in own} == {name: getattr(type(rule)(), name) for name in own}
    assert rule.alpha == (8 / 255 if attack is FGSM else 2 / 255)


@pytest.mark.parametrize("attack", FAMILY)
@pytest.mark.parametrize("watched", [False, True])
def test_passes_are_counted(attack, watched):
    settings = {"steps": 3, "restarts": 2, "keep": "best"} if watched else {"steps": 3}
    model, attack = Counter(cnn()), attack(**settings, eps=0.0)  # nothing is fooled, so nothing ends early
    x = X.double()
    label = model(x).argmax(1)
    model.forwards = 0
    ran = attack.run(model, x, label).passes
    assert (ran.forward - 1, ran.backward) == attack.passes
    assert model.forwards / 4 == ran.forward
    if not isinstance(attack, NAA):  # it goes back from a layer, which the counter does not see
        assert model.backwards / 4 == ran.backward


@pytest.mark.parametrize("attack", FAMILY)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_inside_ball_and_box_and_the_loss_grows(attack, norm):
    eps = 0.05 if norm == "linf" else 0.5
    model, attack = cnn(), attack(eps=eps, alpha=eps / 4, norm=norm)
    x = X.double()
    found = attack(model, x, Y)
    away = (found - x).flatten(1)
    size = away.abs().amax(1) if norm == "linf" else away.norm(dim=1)
    assert float(size.max()) <= eps * (1 + 1e-9)
    assert 0 <= float(found.min()) <= float(found.max()) <= 1
    before, after = (F.cross_entropy(model(points), Y, reduction="none") for points in (x, found))
    assert bool((after > before).all())


@pytest.mark.parametrize("attack", FAMILY)
def test_a_sample_does_not_depend_on_its_batch(attack):
    """Trap 21."""
    model, attack = cnn(), attack(random_start=True)
    x = X.double()
    together = attack(model, x, Y)
    alone = torch.cat([attack(model, x[i : i + 1], Y[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(together, alone)


def test_a_model_that_is_sure_of_itself_is_still_attacked():
    """Trap 18: no NaN and nobody frozen where cross entropy has no gradient in float32."""
    model = net().eval()
    sure = torch.nn.Sequential(model)
    evidence = model(X).detach()
    label, ahead = evidence.argmax(1), (evidence.topk(2).values @ torch.tensor([1.0, -1.0])).min()
    sure.forward = lambda x: 40 / ahead * model(x)
    for attack in (FGSM(), MIFGSM(), NIFGSM(), SSA(copies=2)):
        found = attack(sure, X, label)
        assert bool(torch.isfinite(found).all())
        assert bool(((found - X).flatten(1).abs().amax(1) > 0.01).all())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eps": -1}, "`eps` must be a number of at least 0, got -1"),
        ({"alpha": -1}, "`alpha` must be a number of at least 0, got -1"),
        ({"steps": 0}, "`steps` must be a positive integer, got 0"),
        ({"restarts": 0}, "`restarts` must be a positive integer, got 0"),
        ({"norm": "l1"}, "`norm` is 'l1'; accepted: l2, linf"),
        ({"keep": "first"}, "`keep` is 'first'"),
        ({"loss": "hinge"}, "`loss` is 'hinge'"),
        ({"seed": -1}, "`seed` must be an integer of at least 0"),
        ({"targeted": "worst"}, "`targeted` must be true, false, 'least_likely' or 'random', got worst"),
        ({"early_stop": 1}, "`early_stop` must be true or false, got 1"),
        ({"smoothing": 4}, "`smoothing` must be odd, got 4"),
        ({"max_batch": 0}, "`max_batch` must be a positive integer"),
        ({"bounds": 3}, "`bounds` must be 'auto', None, or two numbers"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        PGD(**settings)

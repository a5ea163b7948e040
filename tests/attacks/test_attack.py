"""What all attacks promise: no trace, whatever state model and caller are in; goals; results in any precision."""

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from _reference.nets import cnn
from lit_attr.attacks import BIM, FGSM, MIFGSM, PGD, get_attack, get_attacks
from lit_attr.targets import ClassTarget

X = torch.rand(4, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([2, 0, 1, 1])


@pytest.fixture
def training():
    """A model in training of which one layer is frozen in eval mode, with a gradient half accumulated."""
    model = cnn().train()
    model[1].eval()
    model(X).sum().backward()
    return model


def state(model):
    flags = [module.training for module in model.modules()]
    wanted = [p.requires_grad for p in model.parameters()]
    tensors = [p.grad.clone() for p in model.parameters()] + [t.clone() for t in model.state_dict().values()]
    return flags, wanted, torch.cat([t.flatten().double() for t in tensors]), torch.random.get_rng_state()


def same(one, other):
    return one[:2] == other[:2] and torch.equal(one[2], other[2]) and torch.equal(one[3], other[3])


def test_no_trace(training):
    """Traps 1, 2, 12, 14, 22."""
    before = state(training)
    PGD(restarts=2).run(training, X, Y)
    assert same(before, state(training))


def test_no_trace_after_an_error(training):
    """Trap 3."""
    before = state(training)
    with pytest.raises(ValueError, match=r"`target` must be a class index in 0\.\.2, got 7"):
        PGD()(training, X, 7)
    assert same(before, state(training))


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_inside_other_contexts(context):
    """Traps 8, 9."""
    model = cnn()
    expected = PGD()(model, X, Y)
    with context():
        found = PGD()(model, X.clone(), Y.clone())
    assert torch.equal(found, expected)
    assert not torch.equal(found, X)


def test_a_frozen_model_and_one_without_parameters():
    """Traps 6, 14."""
    model = cnn()
    expected = BIM()(model, X, Y)
    assert torch.equal(BIM()(model.requires_grad_(False), X, Y), expected)
    model = nn.Flatten()
    assert bool(BIM().run(model, X[:, :, :1, :1] * 0.01, Y).success.all())


def test_a_wrapped_model_is_attacked_inside(monkeypatch):
    """Trap 13: the wrapper's forward would wait for processes that do something else."""
    model = cnn()
    wrapped = DistributedDataParallel.__new__(DistributedDataParallel)
    nn.Module.__init__(wrapped)
    wrapped.module = model
    monkeypatch.setattr(DistributedDataParallel, "forward", None)
    assert torch.equal(BIM()(wrapped, X, Y), BIM()(model, X, Y))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_the_ball_holds(dtype):
    """Trap 15: rounding would lead out of it."""
    model, x = cnn().to(dtype), X.to(dtype)
    found = PGD(steps=3)(model, x, Y)
    assert found.dtype == dtype
    assert float((found.float() - x.float()).abs().max()) <= 8 / 255 + 1e-7
    assert 0 <= float(found.min()) <= float(found.max()) <= 1


def test_under_autocast():
    model, x = cnn().float(), X.float()
    with torch.autocast("cpu", torch.bfloat16):
        found = MIFGSM()(model, x, Y)
    assert found.dtype == torch.float32
    assert bool(((found - x).abs() <= 8 / 255 + 1e-7).all())


def test_gradients_of_weights_after_an_attack_under_autocast():
    """Trap 16: torch keeps casts of weights for the rest of the region, with the gradients that they had then."""
    found, model, x = [], cnn().float(), X.float()
    for attacked in (False, True):
        with torch.autocast("cpu", torch.bfloat16):
            if attacked:
                PGD(steps=2)(model, x, Y)
            loss = nn.functional.cross_entropy(model(x).float(), Y)
        found.append(torch.autograd.grad(loss, list(model.parameters())))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_the_predicted_class_is_left_where_none_is_given():
    model = cnn()
    assert torch.equal(BIM()(model, X), BIM()(model, X, model(X).argmax(1)))


def test_goals():
    model = cnn()
    least = model(X).argmin(1)
    assert torch.equal(BIM(targeted="least_likely")(model, X, Y), BIM(targeted=True)(model, X, least))
    behind = int(torch.randint(1, 3, (1,), generator=torch.Generator().manual_seed(5)))
    other = BIM(targeted=True)(model, X, (Y + behind) % 3)
    assert torch.equal(BIM(targeted="random", seed=5)(model, X, Y), other)
    assert torch.equal(BIM()(model, X, ClassTarget(Y)), BIM()(model, X, Y))
    evidence = BIM(targeted=True).run(model, X, least).evidence
    assert bool((evidence.gather(1, least[:, None]) > model(X).gather(1, least[:, None])).all())
    with pytest.raises(ValueError, match="`target` must be the class to reach, with targeted=True, got None"):
        BIM(targeted=True)(model, X)


def test_success_is_that_of_the_result():
    model = cnn()
    with torch.no_grad():
        model[-1].bias -= model(X).mean(0)
    label = model(X).argmax(1)
    run = BIM(eps=0.3, alpha=0.03).run(model, X, label)
    assert torch.equal(run.success, model(run.adversarial).argmax(1) != label)
    assert int(run.success.sum()) > 0
    assert run.passes == (11, 10)
    sought = BIM(eps=0.3, alpha=0.1, targeted=True).run(model, X, Y)
    assert torch.equal(sought.success, model(sought.adversarial).argmax(1) == Y)


def test_images_outside_their_range_are_refused():
    """Trap 17."""
    with pytest.raises(ValueError, match=r"`inputs` must be images in \[0, 1\]"):
        FGSM()(cnn(), 4 * X - 2, Y)
    found = PGD(eps=0.5, alpha=0.1, bounds=(-2, 2))(cnn(), 4 * X - 2, Y)
    assert -2 <= float(found.min()) <= float(found.max()) <= 2


def test_what_is_no_image_has_no_box():
    model, x = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), torch.randn(2, 4, 3) * 3
    away = BIM(eps=0.5, alpha=0.1)(model, x, 0) - x
    torch.testing.assert_close(away.abs(), torch.full_like(away, 0.5))


def test_an_empty_batch():
    assert PGD(restarts=2).run(cnn(), X[:0], Y[:0]).adversarial.shape == (0, 3, 8, 8)


def test_by_name():
    assert get_attack("PGD", eps=0.1) == PGD(eps=0.1)
    assert get_attack({"class": "MIM", "steps": 3}, eps=0.1) == MIFGSM(eps=0.1, steps=3)
    assert get_attack(PGD(), eps=0.1) == PGD(eps=0.1)


def test_several_by_name():
    found = get_attacks(["PGD", {"class": "mim", "steps": 3}, FGSM(), "torchattacks.VMIFGSM"])
    assert list(found) == ["pgd", "mifgsm", "fgsm", "vmifgsm"]
    assert found["mifgsm"] == MIFGSM(steps=3)
    assert get_attacks([found["vmifgsm"]]) == {"vmifgsm": found["vmifgsm"]}
    found = get_attacks({"pgd": None, "long": {"class": "pgd", "steps": 100}, "own": BIM()})
    assert found == {"pgd": PGD(), "long": PGD(steps=100), "own": BIM()}
    with pytest.raises(ValueError, match="attack 'pgd' is given twice; use a mapping with two names"):
        get_attacks(["pgd", PGD(steps=3)])


@pytest.mark.parametrize(
    ("attack", "message"),
    [
        ("pdg", "unknown attack 'pdg'; .*did you mean 'pgd'"),
        ({"class": "pgd", "epsilon": 1}, "attack 'pgd' has no setting 'epsilon'; .*did you mean"),
        (3, "`attack` must be the name of an attack, settings, or an Attack, got 3"),
    ],
)
def test_what_is_no_attack_is_refused(attack, message):
    with pytest.raises(ValueError, match=message):
        get_attack(attack)


def test_start_must_fit():
    with pytest.raises(ValueError, match=r"`start` must be of the inputs' shape \(4, 3, 8, 8\), got shape \(2"):
        BIM()(cnn(), X, Y, start=X[:2])


def test_other_radii():
    assert FGSM().at_radius(0.5) == FGSM(eps=0.5)
    assert PGD(eps=0.0, alpha=0.1).at_radius(0.2).alpha == 0.1
    assert get_attack("cw").at_radius(0.5) == get_attack("cw")
    assert get_attack("VMIFGSM", eps=0.1, alpha=0.02).at_radius(0.2) == get_attack("VMIFGSM", eps=0.2, alpha=0.04)
    balls = [get_attack(name).ball for name in ("pgdl2", "apgd", "cw", "DeepFool", "autoattack")]
    assert balls == [(1.0, "l2"), (8 / 255, "linf"), None, None, (8 / 255, "linf")]
    assert get_attack("apgd", norm="L2").ball == (8 / 255, "l2")

"""Attacks of torchattacks as update rules and over a view.

The traps of the library (numbers as in its review) and where each is tested. Those left to the attacks of this package:
16 (an old torch), 19 (its C&W), 21 and the momentum of 18 (which rules of our own do not have), 23 (AutoAttack with
fewer steps), 25 and 26 (`save` and `MultiAttack` of the library itself), 28 (labels are always given; unbatched and
integer images are refused by `looking_at`).

  1, 2, 3, 12, 22, 31  test_no_trace, test_an_error_leaves_no_trace, test_gradients_that_were_accumulated
  4, 5                 test_torchattacks.py
  6                    test_a_model_without_parameters
  7                    test_the_device_is_that_of_the_call
  8, 9, 10             test_in_any_gradient_mode
  11                   test_rules_are_values
  13                   test_no_collectives
  14                   test_frozen_parameters
  15                   test_under_autocast, test_a_model_in_half_precision
  17                   test_outside_the_range, test_lengths_are_in_units_of_the_input
  18                   test_gradients_of_zero
  20                   test_what_cannot_work_is_refused, test_sizes_that_cannot_be_diverse
  24                   test_what_cannot_work_is_refused, test_classes_are_counted
  27                   test_points_are_those_of_the_attack
  29                   test_compiled_models
  30                   tests/test_imports.py
"""

import copy
import logging
import pickle
import random

import numpy as np
import pytest
import torch
import torchattacks
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from _reference.nets import Bag, Counter, cnn, linear
from lit_attr._view import looking_at
from lit_attr.attribution import FundamentalAttribution
from lit_attr.targets import Target
from lit_attr.updates import Route, TorchAttacks, Walks, foreign, get_update, run_torchattacks, walk

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # SparseFool, NumPy 2

X = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([1, 0])
SMALL = {  # what makes them quick
    "AutoAttack": {"eps": 0.5},
    "CW": {"steps": 3},
    "DeepFool": {"steps": 2},
    "EADEN": {"max_iterations": 10, "binary_search_steps": 1},
    "EADL1": {"max_iterations": 10, "binary_search_steps": 1},
    "FAB": {"steps": 2},
    "JSMA": {"gamma": 0.0005},
    "MultiAttack": {"attacks": ["FGSM", {"class": "cw", "steps": 2}]},
    "OnePixel": {"steps": 1},
    "Pixle": {"restarts": 1, "max_iterations": 2},
    "SPSA": {"nb_sample": 2, "max_batch_size": 2},
    "SparseFool": {"steps": 1},
    "Square": {"n_queries": 5},
}
ATTACKS = [name for name in torchattacks.__all__ if name != "LGV"]
BESIDE = {"RFGSM", "FFGSM", "TPGD", "PGD", "EOTPGD", "PGDL2", "Jitter"}  # begin at a random point


def compiled(test):
    """With a fresh compiler, which looks at `.grad` of all inputs and hides the warning unless those are errors."""
    ignore = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
    return pytest.mark.usefixtures("fresh_compiler")(ignore(test))


@pytest.fixture
def fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def net(classes=5):
    """A network that is easily fooled."""
    torch.manual_seed(3)
    found = cnn(classes, torch.float32)
    with torch.no_grad():
        found[-1].weight.normal_(std=20)
        found[-1].bias -= found(X).mean(0)
    return found


def settings(name, **more):
    return {"class": f"torchattacks.{name}", **SMALL.get(name, {}), **more}


def attacked(model, name, x=X, goal=None, toward=-1.0, target=None, **more):
    given = {key: value for key, value in settings(name, **more).items() if key != "class"}
    bounds = given.pop("bounds", "auto")
    with looking_at(model, x, target) as view:
        goal = view.target.index if goal is None else goal
        return run_torchattacks(view, x, name, given, goal, toward, bounds)


def walked(model, update, steps, x=X, toward=-1.0, goal=Y):
    walks = Walks.of(goal[:, None], toward)
    with looking_at(model, x, goal) as view:
        return list(walk(view, x, walks, Route(get_update(update), steps), None, watched=False))


def state(model):
    """All that an attack could change."""
    return {
        "modes": [module.training for module in model.modules()],
        "gradients": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
        "required": [p.requires_grad for p in model.parameters()],
        "values": [value.clone() for value in model.state_dict().values()],
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state()[1].copy(),
        "python": random.getstate(),
    }


def same(before, after):
    for key, value in before.items():
        for old, new in zip(value, after[key], strict=True):
            assert torch.equal(old, new) if isinstance(old, torch.Tensor) else np.array_equal(old, new), key


def fine_tuned():
    """A network in training with a frozen batch norm (trap 1), other layers with dropout and running statistics."""
    model = net().train()
    model[1].eval()
    return model


@pytest.mark.parametrize("name", ATTACKS)
def test_no_trace(name, capsys):
    """Traps 1, 2, 12, 22, 31, for every attack as an update rule; the moves lead to the result."""
    model, x = fine_tuned(), X.clone()
    before = state(model)
    rule = get_update(settings(name))
    found = FundamentalAttribution(update=rule, steps=2).explain(model, x)
    same(before, state(model))
    assert torch.equal(x, X)
    assert capsys.readouterr().out == ""
    planned = rule._planned(2).settings
    end = attacked(model.eval(), name, **{"attacks": rule.every["attacks"]} if name == "MultiAttack" else dict(planned))
    torch.testing.assert_close(found.endpoint, end, rtol=0, atol=1e-6)
    assert bool(found.attribution.isfinite().all())


@pytest.mark.parametrize("name", ["PGD", "CW", "FAB", "JSMA"])
def test_an_error_leaves_no_trace(name):
    """Trap 3."""

    class Failing(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.left = fine_tuned(), 3

        def forward(self, x):
            self.left -= 1
            if self.left == 0:
                msg = "out of order"
                raise RuntimeError(msg)
            return self.net(x)

    model = Failing()
    before = state(model)
    with pytest.raises(RuntimeError, match="out of order"):
        attacked(model, name)
    same(before, state(model))


@pytest.mark.parametrize(
    "name", ["CW", "PIFGSM", "PIFGSMPP", "DeepFool", "FAB", "EADL1", "EADEN", "JSMA", "SparseFool"]
)
def test_gradients_that_were_accumulated(name):
    """Trap 12: these call `backward()`."""
    model = net()
    model(X).sum().backward()
    before = state(model)
    attacked(model, name, X[..., :8, :8])
    same(before, state(model))


@pytest.mark.parametrize("name", ["FGSM", "CW", "DeepFool", "APGD", "SPSA"])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_in_any_gradient_mode(name, mode):
    """Traps 8, 9, 10."""
    model = net()
    expected = attacked(model, name)
    with mode():
        x = X.clone()
        assert torch.equal(attacked(model, name, x), expected)
    assert x.is_inference() == (mode is torch.inference_mode)


def test_a_model_without_parameters(capsys):
    """Trap 6."""

    class Channels(nn.Module):
        def forward(self, x):
            return x.flatten(2).mean(2)

    moved = attacked(Channels(), "BIM", steps=4)
    assert float((moved - X).abs().max()) == pytest.approx(8 / 255, abs=1e-6)
    assert capsys.readouterr().out == ""


def test_the_device_is_that_of_the_call():
    """Trap 7: a rule that was made before the model was moved."""
    model, trained = net().to("meta"), net()
    method = FundamentalAttribution(update="torchattacks.MIFGSM", steps=2)
    model.to_empty(device="cpu").load_state_dict(trained.state_dict())
    assert torch.equal(method(model, X), method(trained, X))
    x = torch.empty(2, 3, 4, 4, device="meta")
    shown = foreign.Victim(
        type("Open", (), {"inputs": x})(), Walks.of(Y[:, None]), foreign.Scale(0.0, 1.0, x.shape[1:])
    )
    assert torchattacks.PGD(shown).device == x.device


def test_rules_are_values():
    """Trap 11: frozen, equal, hashable, copied and pickled."""
    rule = get_update({"class": "torchattacks.Pixle", "x_dimensions": [0.1, 0.2], "bounds": [0, 2]})
    assert rule == TorchAttacks("pixle", {"x_dimensions": (0.1, 0.2)}, (0, 2))
    assert hash(rule) == hash(copy.deepcopy(rule))
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert "module" not in repr(rule)


def test_no_collectives(tmp_path, monkeypatch):
    """Trap 13."""
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        model = net()
        expected = attacked(model, "CW")
        wrapped = DistributedDataParallel(model)

        def refuse(*args, **kwargs):
            msg = "a forward pass that others wait for"
            raise AssertionError(msg)

        with looking_at(wrapped, X, model(X).argmax(1)) as view:
            monkeypatch.setattr(DistributedDataParallel, "forward", refuse)
            found = run_torchattacks(view, X, "CW", SMALL["CW"], view.target.index)
            assert view.model is model  # from the first: `looking_at` looks inside
        assert torch.equal(found, expected)
    finally:
        torch.distributed.destroy_process_group()


def test_frozen_parameters():
    """Trap 14."""
    model = net()
    expected = attacked(model, "PIFGSM")
    model.requires_grad_(False)
    before = state(model)
    assert torch.equal(attacked(model, "PIFGSM"), expected)
    same(before, state(model))


@pytest.mark.parametrize("name", ["PGD", "CW", "TIFGSM", "FAB", "APGD", "Square", "SPSA", "MultiAttack", "EADL1"])
def test_under_autocast(name):
    """Trap 15: Square fails by itself; here only the model is under autocast."""
    model = net()
    full = attacked(model, name, goal=Y, target=Y)
    with torch.autocast("cpu", torch.bfloat16):
        found = attacked(model, name, goal=Y, target=Y)
    assert found.dtype == torch.float32
    assert bool(found.isfinite().all())
    if name in {"PGD", "TIFGSM", "Square"}:
        assert float((found - X).abs().max()) <= 8 / 255 + 1e-6
        assert name == "Square" or not torch.equal(found, full)  # the model did answer in bfloat16


def test_attacks_compute_in_full_precision():
    """Trap 15."""
    seen = []

    def loss(images, labels, target_labels):
        seen.append((torch.is_autocast_enabled("cpu"), images.dtype))
        return images.sum()

    with torch.autocast("cpu", torch.bfloat16):
        attacked(net(), "UPGD", loss=loss, steps=1)
        assert torch.is_autocast_enabled("cpu")
    assert seen == [(False, torch.float32)]


def test_a_model_in_half_precision():
    """Trap 15: the bound is not rounded."""
    x = X.bfloat16()
    found = attacked(net().bfloat16(), "PGD", x)
    assert found.dtype == torch.float32
    assert float((found - x.float()).abs().max()) == pytest.approx(8 / 255, abs=1e-6)


def test_samples_in_double_precision_keep_what_is_not_attacked():
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    found = attacked(net().double(), "JSMA", x)
    assert found.dtype == torch.float64
    changed = (found != x).flatten(1).sum(1)
    assert bool((changed <= 4).all())
    assert int(changed.sum()) > 0


@pytest.mark.parametrize("name", ["FGSM", "BIM", "Square", "JSMA"])
def test_outside_the_range(name):
    """Trap 17."""
    with pytest.raises(ValueError, match=r"`inputs` must be images in \[0, 1\], got \[.*\]: .*`bounds`"):
        attacked(net(), name, X * 4 - 2)
    with pytest.raises(ValueError, match=r"`inputs` must be images in \[0, 1\], got \[.*\]: .*`bounds` of the attack"):
        attacked(net(), name, X * 4 - 2, bounds=None)


@pytest.mark.parametrize("name", ["FGSM", "PGD", "MIFGSM", "UPGD", "PGDRS"])
def test_lengths_are_in_units_of_the_input(name):
    """Trap 17: eps as it is given, and by default, in a range of its own."""
    x = X * 4 - 2
    far = {"eps": 0.3, "alpha": 0.3} if "alpha" in TorchAttacks(name).every else {"eps": 0.3}
    for eps, more in [(0.3, far), (8 / 255, {})]:
        found = attacked(net(), name, x, bounds=(-2.0, 2.0), **more)
        assert float((found - x).abs().max()) == pytest.approx(eps, abs=1e-5)
        assert float(found.abs().max()) <= 2


@pytest.mark.parametrize("name", ["APGD", "Square"])
def test_lengths_of_attacks_that_keep_only_what_fools(name):
    """Trap 17."""
    x = X * 8 - 4
    more = {"n_queries": 100} if name == "Square" else {}
    found = attacked(net(), name, x, bounds=(-4.0, 4.0), eps=3.0, **more)
    assert 1.0 < float((found - x).abs().max()) <= 3 + 1e-5
    assert float(found.abs().max()) <= 4


def test_the_same_attack_in_another_range():
    model = net()
    wide = nn.Sequential(Affine(0.25, 0.5), model)
    found = attacked(wide, "VMIFGSM", X * 4 - 2, bounds=(-2, 2), eps=0.4, alpha=0.1, steps=3)
    expected = attacked(model, "VMIFGSM", eps=0.1, alpha=0.025, steps=3)
    assert float(((found + 2) / 4).isclose(expected, rtol=0, atol=1e-5).float().mean()) > 0.999  # signs of near zeros


class Affine(nn.Module):
    def __init__(self, scale, shift):
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, x):
        return x * self.scale + self.shift


@pytest.mark.parametrize("name", ["PGD", "MIFGSM", "NIFGSM", "VMIFGSM", "DIFGSM", "PGDL2", "CW", "DeepFool", "FAB"])
def test_gradients_of_zero(name):
    """Trap 18: no NaN comes out, nor into the walk."""

    class Saturated(nn.Module):
        def forward(self, x):
            return torch.cat([x.flatten(1).mean(1, keepdim=True), x.new_zeros(len(x), 3)], 1) * 0 + 1.0

    found = FundamentalAttribution(update=settings(name), steps=3).explain(Saturated(), X)
    assert bool(found.endpoint.isfinite().all())
    assert bool(found.attribution.isfinite().all())


@pytest.mark.parametrize(
    ("name", "shape", "classes", "message"),
    [
        (
            "TIFGSM",
            (1, 32, 32),
            5,
            r"`inputs` must be images of three channels for torchattacks.TIFGSM, got 1 channels",
        ),
        ("PIFGSM", (1, 32, 32), 5, "three channels"),
        ("TIFGSM", (5, 32), 5, r"`inputs` must be images \[B, C, H, W\] for torchattacks.TIFGSM, got .* \(5, 32\)"),
        ("DIFGSM", (5, 32), 5, "images"),
        ("Square", (5,), 5, "images"),
        ("DIFGSM", (3, 32, 48), 5, "`inputs` must be square images for torchattacks.DIFGSM"),
        ("AutoAttack", (3, 32, 32), 2, "`model output` must be 4 or more classes .*AutoAttack, got 2 classes"),
        ("AutoAttack", (3, 32, 32), 3, "got 3 classes"),
        ("APGDT", (3, 32, 32), 2, "4 or more classes"),
        ("MultiAttack", (5, 32), 5, r"images \[B, C, H, W\] for torchattacks.DIFGSM"),
    ],
)
def test_what_cannot_work_is_refused(name, shape, classes, message):
    """Traps 20 and 24."""
    model = nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))
    x = torch.rand(2, *shape)
    model(x)
    more = {"attacks": ["FGSM", "DIFGSM"]} if name == "MultiAttack" else {}
    with pytest.raises(ValueError, match=message):
        attacked(model, name, x, **more)


@pytest.mark.parametrize(
    ("name", "more", "fewest"),
    [
        ("APGD", {"loss": "dlr"}, 3),
        ("UPGD", {"loss": "dlr"}, 3),
        ("AutoAttack", {"version": "rand"}, 3),
        ("FAB", {}, 2),
    ],
)
def test_as_many_classes_as_the_loss_compares(name, more, fewest):
    """Trap 24: fewer than that are refused, and as many do."""
    assert attacked(net(fewest), name, **more).shape == X.shape
    if fewest > 2:
        with pytest.raises(ValueError, match=f"{fewest} or more classes"):
            attacked(net(fewest - 1), name, **more)


@pytest.fixture
def built(monkeypatch):
    """The attacks that were built, those inside of others too."""
    found, real = [], foreign.build_attack

    def watching(*args):
        attack = real(*args)
        found.extend([attack, *attack._attacks.values()])
        return attack

    monkeypatch.setattr(foreign, "build_attack", watching)
    return found


@pytest.mark.parametrize("name", ["APGDT", "FAB", "AutoAttack"])
def test_classes_are_counted(name, built):
    """Trap 24."""
    attacked(net(7), name)
    assert {each.n_target_classes for each in built if hasattr(each, "n_target_classes")} == {6}


def test_attacks_that_seed_take_the_seed_of_the_call(built):
    """Trap 22: AutoAttack would take the time."""
    with looking_at(net(), X, Y) as view:
        for name, more, expected in [("AutoAttack", {}, 5), ("APGD", {}, 5), ("APGD", {"seed": 3}, 3)]:
            built.clear()
            run_torchattacks(view, X, name, {"eps": 0.5, **more}, Y, seed=5)
            assert {each.seed for each in built if hasattr(each, "seed")} == {expected}


@pytest.mark.parametrize("rate", [1.0, 0.99, 1.01])
def test_sizes_that_cannot_be_diverse(rate):
    """Trap 20."""
    if rate == 0.99:  # 31 pixels
        assert attacked(net(), "DIFGSM", resize_rate=rate).shape == X.shape
    else:
        with pytest.raises(ValueError, match="`resize_rate` must be one that changes the size of 32 pixels, got"):
            attacked(net(), "DIFGSM", resize_rate=rate)


@pytest.mark.parametrize("name", ["DeepFool", "FAB"])
@compiled
def test_compiled_models(name):
    """Trap 29."""
    model = net()
    assert torch.equal(attacked(torch.compile(model, backend="aot_eager"), name), attacked(model, name))


@compiled
def test_recorded_points_of_compiled_models():
    """Trap 29."""
    rule, model = "torchattacks.DIFGSM", net()
    (first, *_), (plain, *_) = (walked(each, rule, 3) for each in (torch.compile(model, backend="eager"), model))
    assert torch.equal(first.memory["way"], plain.memory["way"])


def plain(model, name, seed=0, labels=Y, **more):
    """The library by itself."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return getattr(torchattacks, name)(model, **more)(X, labels)


def prefixes(model, name, count, **more):
    """x_0, x_1, ...: what the attack comes to when it has fewer steps."""
    if name == "FFGSM":  # which has no steps
        torch.manual_seed(0)
        start = (X + torch.randn_like(X).uniform_(-8 / 255, 8 / 255)).clamp(0, 1)
        return [start, plain(model, name)]
    if name.startswith("PIFGSM"):  # whose steps are shorter when there are more

        class Watching(getattr(torchattacks, name)):
            def clip_by_tensor(self, *args, **kwargs):
                clipped = super().clip_by_tensor(*args, **kwargs)
                points.append(clipped.detach())
                return clipped

        points = []
        Watching(model, num_iter_set=count)(X, Y)
        return [X, *points[2:]]  # the first two are the ends of the range
    if name == "FGSM":
        return [X, plain(model, name)]
    first = [plain(model, name, steps=0, **more)] if name in BESIDE else [X]
    return first + [plain(model, name, steps=steps, **more) for steps in range(1, count + 1)]


@pytest.mark.parametrize("name", sorted(foreign._RECORDED))
def test_points_are_those_of_the_attack(name):
    """Trap 27, and strides: the very points, whatever the number of gradients that a step asks for."""
    model, moves = net(), {"FGSM": 1, "FFGSM": 2}.get(name, 4)
    turns = walked(model, settings(name), moves)
    way = turns[0].memory["way"]
    points = prefixes(model, name, moves - (name in BESIDE))
    expected = torch.stack([X, *points] if name in BESIDE else points, 1)
    assert torch.equal(way, expected)
    assert len(way.flatten(2).unique(dim=1)[0]) == moves + 1  # they differ: the straight segment is not mistaken for it
    for number, turn in enumerate(turns):
        torch.testing.assert_close(turn.points, expected[:, number], rtol=0, atol=2e-7)
    assert torch.equal(
        attacked(model, name, goal=Y, target=Y, **dict(get_update(f"torchattacks.{name}")._planned(moves).settings)),
        way[:, -1],
    )


def test_points_between_others():
    more = {"N": 2, "beta": 0.1}
    model = net()
    (first, *_) = walked(model, settings("VNIFGSM", **more), 3)
    assert torch.equal(first.memory["way"], torch.stack(prefixes(model, "VNIFGSM", 3, **more), 1))


@pytest.mark.parametrize(
    ("name", "more", "steps", "count"),
    [("BIM", {"steps": 3}, 6, 3), ("FGSM", {}, 5, 1), ("FFGSM", {}, 4, 2), ("PGD", {"steps": 3}, 8, 4)],
)
def test_moves_are_divided_where_the_walk_has_more(name, more, steps, count):
    model = net()
    (first, *_) = walked(model, settings(name, **more), steps)
    way = first.memory["way"]
    points = prefixes(model, name, more.get("steps", count))
    points = [X, *points] if name in BESIDE else points
    assert torch.equal(way[:, :: steps // count], torch.stack(points, 1))
    torch.testing.assert_close(way[:, 1] - way[:, 0], (points[1] - X) * count / steps, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("CW", {"steps": 30}),
        ("APGD", {"eps": 0.1}),
        ("BIM", {"steps": 3}),  # no whole number of parts
        ("TPGD", {"eps": 1e-4, "alpha": 1e-4}),  # begins outside the ball
        ("UPGD", {"random_start": True, "alpha": 0.0}),
    ],
)
def test_else_the_way_is_straight(name, more, caplog):
    foreign._say.cache_clear()
    with caplog.at_level(logging.INFO, "lit_attr"):
        turns = walked(net(), settings(name, **more), 4)
        walked(net(), settings(name, **more), 4)
    straight = name != "UPGD"
    assert len(caplog.messages) == 1  # once
    assert f"torchattacks.{name}" in caplog.messages[0]
    assert ("straight segment" in caplog.messages[0]) == straight
    end = turns[-1].points
    if straight:
        for number, turn in enumerate(turns):
            torch.testing.assert_close(turn.points, X + (end - X) * number / 4, rtol=0, atol=1e-6)
    assert not torch.equal(end, X)


def test_points_that_do_not_join_are_not_recorded():
    bim = TorchAttacks("BIM", {"steps": 2, "alpha": 0.01, "eps": 0.02})
    first, second, end = X, X + 0.01, X + 0.02
    assert torch.equal(foreign._way(bim, [first, second], X, end, 1.0), torch.stack([first, second, end]))
    assert torch.equal(foreign._way(bim, [second, end], X, end, 1.0), torch.stack([X, second, end, end]))
    assert foreign._way(bim, [first], X, end, 1.0) is None  # not as many as steps
    assert foreign._way(bim, [first, second], X, X + 0.03, 1.0) is None  # the last does not lead to the result
    assert foreign._way(bim, [first, end], X, end, 1.0) is None  # a move that is too long
    assert foreign._way(bim, [X + 0.03, end], X, end, 1.0) is None  # outside the ball
    assert foreign._way(bim, [first, second], X, end, 4.0) is None  # lengths are in units of the input


def test_walks_to_and_from_classes():
    """Each side of a batch as if it were alone; goals are the labels of a targeted attack."""
    model, toward = net(), torch.tensor([1.0, -1.0])
    goal = torch.stack([model(X[:1]).argmin(1), model(X[1:]).argmax(1)])[:, 0]
    both = attacked(model, "BIM", goal=goal, toward=toward)
    reference = torchattacks.BIM(model)
    away = reference(X[1:], goal[1:])
    reference.set_mode_targeted_by_label(quiet=True)
    assert torch.equal(both, torch.cat([reference(X[:1], goal[:1]), away]))
    assert (model(both)[0] > model(X)[0])[goal[0]]
    walks = Walks(torch.arange(2), goal, toward, torch.zeros(2, dtype=torch.long), 1)
    with looking_at(model, X, goal) as view:
        turns = list(walk(view, X, walks, Route(get_update("torchattacks.bim"), 10), None, watched=False))
    assert torch.equal(turns[0].memory["way"][:, -1], both)
    torch.testing.assert_close(turns[4].points[0], torchattacks_targeted(model, goal[:1], 4)[0], rtol=0, atol=2e-7)


def torchattacks_targeted(model, goal, steps):
    attack = torchattacks.BIM(model, steps=steps)
    attack.set_mode_targeted_by_label(quiet=True)
    return attack(X[:1], goal)


@pytest.mark.parametrize("name", ["TPGD", "APGD", "DeepFool", "FAB", "MultiAttack", "PIFGSM"])
def test_attacks_that_lead_to_no_class_are_refused(name):
    with pytest.raises(ValueError, match=f"`name` must be an attack that can lead to a class, got torchattacks.{name}"):
        attacked(net(), name, toward=1.0)


def test_the_next_class_of_jsma_is_one_of_the_model():
    """It has ten classes written in: of a last class it would go to one that there is not."""
    model = net(3)
    x = X[:1, :, :8, :8]
    found = attacked(model, "JSMA", x, goal=torch.tensor([2]), target=torch.tensor([2]))
    reference = torchattacks.JSMA(model, **SMALL["JSMA"])
    reference.set_mode_targeted_by_label(quiet=True)
    assert torch.equal(found, reference(x, torch.tensor([0])))


@pytest.mark.parametrize("name", ["FGSM", "PGD", "MIFGSM", "VNIFGSM", "PGDL2", "CW", "APGD", "FAB", "SINIFGSM"])
@pytest.mark.parametrize("shape", [(5, 7), (7,)])
def test_what_is_no_image(name, shape):
    model = Bag(7, 5) if len(shape) == 2 else linear(7, 5)
    x = torch.randn(2, *shape, dtype=torch.float64).clamp(-3, 3)
    lengths = {"eps", "alpha"} & set(TorchAttacks(name).every)
    found = attacked(model, name, x, bounds=(-3.0, 3.0), **dict.fromkeys(lengths, 0.5))
    assert found.shape == x.shape
    if name not in {"CW", "PGDL2"}:
        assert float((found - x).abs().max()) <= 0.5 + 1e-6
    if name not in {"CW", "APGD", "FAB"}:
        assert float((found - x).abs().max()) > 0.1
    with pytest.raises(ValueError, match=r"`inputs` must be images in \[0, 1\]"):
        attacked(model, name, x)


class Region(Target):
    """The mean logits over one half of a dense output, the half of each sample."""

    def __init__(self, index, left):
        self.index, self.left = index, left

    def evidence(self, output, rows):
        middle = output.shape[-1] // 2
        halves = output[..., :middle].mean((2, 3)), output[..., middle:].mean((2, 3))
        return torch.where(self.left[rows][:, None], *halves)

    def to(self, device):
        return Region(self.index.to(device), self.left.to(device))


def test_any_target_for_attacks_that_ask_for_all_samples():
    """What a sample is attacked by is its own target: half of it has no gradient."""
    torch.manual_seed(0)
    model = nn.Conv2d(3, 4, 3, padding=1)
    region = Region(torch.tensor([0, 1]), torch.tensor([True, False]))
    for name in ["BIM", "MIFGSM", "PIFGSM"]:
        moved = (attacked(model, name, target=region) - X).abs().sum(1)
        assert bool((moved[0, :, :16] > 0.01).all() and (moved[1, :, 17:] > 0.01).all())
        assert bool((moved[0, :, 20:] == 0).all() and (moved[1, :, :12] == 0).all()) == (name != "PIFGSM")
    assert attacked(model, "CW", target=region).shape == X.shape
    for name in ["APGD", "FAB", "Square", "SPSA", "DeepFool"]:
        with pytest.raises(ValueError, match=f"asks for all samples at once for a Region, got torchattacks.{name}"):
            attacked(model, name, target=region)


@pytest.mark.parametrize(
    ("name", "queries"), [("BIM", 1), ("SINIFGSM", 5), ("VMIFGSM", 6), ("VNIFGSM", 6), ("UPGD", 1), ("PIFGSM", 1)]
)
def test_declared_passes_are_those_that_are_run(name, queries):
    method = FundamentalAttribution(update=f"torchattacks.{name}", steps=4)
    assert method.update.passes == (queries, queries)
    model = Counter(net())
    passes = method.explain(model, X, Y).passes
    assert passes == method.passes((3, 32, 32), 5) == (model.forwards / 2, model.backwards / 2)


def test_passes_of_repeated_gradients_and_of_what_is_not_known():
    assert TorchAttacks("EOTPGD", {"eot_iter": 3}).passes == (3, 3)
    assert TorchAttacks("VNIFGSM", {"N": 2}).passes == (3, 3)
    assert TorchAttacks("CW").passes == (0, 0)
    assert not TorchAttacks("CW").guided


def test_seeds():
    model = net()
    one, two, again = (FundamentalAttribution(update="torchattacks.PGD", steps=3, seed=s)(model, X) for s in (1, 2, 1))
    assert torch.equal(one, again)
    assert not torch.equal(one, two)


def test_a_walk_that_stops_leaves_the_way_of_the_others():
    model = net()
    stopped = FundamentalAttribution(update="torchattacks.BIM", steps=5, early_stop=True).explain(model, X)
    whole = walked(model, "torchattacks.BIM", 5, goal=model(X).argmax(1))
    for sample in range(2):
        fooled = [bool(model(turn.points)[sample].argmax() != model(X)[sample].argmax()) for turn in whole]
        last = fooled.index(True) if True in fooled else 5
        torch.testing.assert_close(stopped.endpoint[sample], whole[last].points[sample], rtol=0, atol=1e-6)


def test_no_walks():
    with looking_at(net(), X[:0], Y[:0]) as view:
        assert run_torchattacks(view, X[:0], "PGD", None, Y[:0]).shape == (0, 3, 32, 32)

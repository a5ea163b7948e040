"""Against linear models, where the distance to the boundary says who withstands which eps; and over two processes."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from _reference.nets import Counter
from _reference.processes import over_two_ranks
from _reference.trace import snapshot
from lit_attr._view import Passes
from lit_attr.attacks import BIM, FGSM, PGD, Attack
from lit_attr.metrics import Outcome, RobustAccuracy, WorstCase, wilson_interval
from lit_attr.metrics.robust_accuracy import robust_accuracy, summarise, worst_case

SHARES = [[(0, 7), (7, 12)], [(12, 19), (19, 20)]]  # of 20 samples, over two processes


def linear(seed=0, features=6):
    """Logits (0, w x + b): no input clipped."""
    generator = torch.Generator().manual_seed(seed)
    model = nn.Linear(features, 2, dtype=torch.float64)
    with torch.no_grad():
        model.weight[0], model.bias[0] = 0, 0
        model.weight[1] = torch.randn(features, generator=generator, dtype=torch.float64)
        model.bias[1] = 0.1
    return model


def samples(count=20, features=6):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, features, generator=generator, dtype=torch.float64)
    return inputs, torch.randint(2, (count,), generator=generator)


def signed_margin(model, inputs, labels):
    """Positive where the prediction is right, one sample at a time."""
    weight, bias = model.weight[1].detach(), model.bias[1].detach()
    return [float((weight @ x + bias) * (1 if y else -1)) for x, y in zip(inputs, labels, strict=True)]


@pytest.mark.parametrize(("norm", "order"), [("linf", 1), ("l2", 2)])
def test_who_withstands_is_who_is_far_from_the_boundary(norm, order):
    model, (inputs, labels), eps = linear(), samples(), 0.3
    attack = FGSM(eps=eps, norm=norm)
    metric = RobustAccuracy(attack)
    for start in (0, 7, 14):
        metric.update(model, inputs[start : start + 7], labels[start : start + 7])
    reach = eps * float(model.weight[1].detach().norm(p=order))
    margins = signed_margin(model, inputs, labels)
    right, robust = sum(m > 0 for m in margins), sum(m > reach for m in margins)
    assert 0 < robust < right < 20
    found = metric.summary()
    assert float(metric.compute()) == pytest.approx(robust / 20)
    assert (found.samples, found.accuracy, found.clean_accuracy) == (20, robust / 20, right / 20)
    assert found.success_rate == pytest.approx((right - robust) / right)
    assert (found.low, found.high) == wilson_interval(robust, 20)
    assert getattr(found, norm) == pytest.approx(eps)
    assert getattr(found, f"{norm}_mean") == pytest.approx(eps)
    assert found.passes == pytest.approx((1 + 2 * right / 20, right / 20))


def test_wrong_samples_are_not_attacked_and_stay_wrong():
    model, (inputs, labels) = linear(), samples()
    margins = torch.tensor(signed_margin(model, inputs, labels))
    counter = Counter(model)
    found = robust_accuracy(counter, inputs, labels, BIM(eps=5.0, alpha=1.0, steps=3))
    right = int((margins > 0).sum())
    assert (counter.forwards, counter.backwards) == (20 + 4 * right, 3 * right)
    assert found.passes == pytest.approx((counter.forwards / 20, counter.backwards / 20))
    assert torch.equal(found.adversarial[margins <= 0], inputs[margins <= 0])
    assert not found.robust.any()
    assert torch.equal(found.linf == 0, margins <= 0)
    assert torch.equal(found.clean, margins > 0)


def test_no_attack_is_plain_accuracy_and_samples_without_a_number_are_wrong():
    model, (inputs, labels) = linear(), samples()
    metric = RobustAccuracy()
    metric.update(model, inputs, labels)
    assert float(metric.compute()) == pytest.approx(sum(m > 0 for m in signed_margin(model, inputs, labels)) / 20)

    class Broken(nn.Module):
        def forward(self, x):
            return model(x).where(torch.arange(len(x))[:, None] > 3, torch.nan)

    assert not robust_accuracy(Broken(), inputs, labels, None).clean[:4].any()


def test_worst_case_is_per_sample():
    model, (inputs, labels) = linear(), samples()
    attacks = {"one": FGSM(eps=0.1), "two": FGSM(eps=0.3, norm="l2"), "three": PGD(eps=0.05, alpha=0.02, steps=3)}
    each = [robust_accuracy(model, inputs, labels, attack) for attack in attacks.values()]
    together = worst_case(each)
    assert torch.equal(together.robust, torch.stack([one.robust for one in each]).all(0))
    for i in range(20):
        first = next((one for one in each if together.clean[i] and not one.robust[i]), each[0])
        assert torch.equal(together.adversarial[i], first.adversarial[i])
    metric = WorstCase(attacks)
    metric.update(model, inputs[:11], labels[:11])
    metric.update(model, inputs[11:], labels[11:])
    assert metric.summary().accuracy == summarise(together).accuracy
    assert metric.summary().passes.forward < together.passes.forward
    assert metric.summary().passes.backward < together.passes.backward
    right, one = torch.tensor([True, True, True, False]), torch.tensor([True, False, True, False])
    two = torch.tensor([False, True, True, False])
    assert worst_case([Outcome(right, one), Outcome(right, two)]).robust.tolist() == [False, False, True, False]


def test_from_booleans():
    metric = RobustAccuracy()
    right = torch.tensor([True, True, True, False])
    metric.update(outcome=Outcome(right, torch.tensor([True, False, False, False])))
    metric.update(
        outcome=Outcome(right[:2], right[:2], torch.tensor([0.1, 0.2]), torch.tensor([1.0, 2.0]), None, Passes(2, 1))
    )
    found = metric.summary()
    assert (found.samples, found.accuracy, found.success_rate) == (6, 0.5, 2 / 5)
    assert (found.linf, found.l2) == pytest.approx((0.2, 2.0))
    assert found.passes == pytest.approx((4 / 6, 2 / 6))


def test_nothing_is_no_number():
    found = RobustAccuracy().summary()
    assert (found.samples, found.low, found.high) == (0, 0, 1)
    assert found.accuracy != found.accuracy
    metric = RobustAccuracy("fgsm")
    model, (inputs, labels) = linear(), samples()
    metric.update(model, inputs[:0], labels[:0])
    assert metric.summary().samples == 0


@dataclass(frozen=True)
class Careless(Attack):
    """Goes where it likes."""

    eps: float = 0.1
    by: float = 0.0

    def perturb(self, view, walks, start):
        return view.inputs + self.by

    def cost(self):
        return Passes(0, 0)


@pytest.mark.parametrize(
    ("by", "message"),
    [
        (0.2, r"attack 'careless' moved a sample by 0.2 in linf, further than its eps of 0.1"),
        (0.1, r"attack 'careless' left the range \[0.0, 1.0\] of the inputs: \[1.05, 1.05\]"),
        (torch.nan, r"attack 'careless' returned NaN or infinite values"),
    ],
)
def test_attacks_that_break_their_word_are_found(by, message):
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    inputs = torch.full((2, 3, 2, 2), 0.95)
    labels = model(inputs).argmax(1)
    careless = Careless(by=by)
    # NaN is no class: ask before the model does.
    with pytest.raises(RuntimeError, match=message):
        robust_accuracy(model, inputs, labels, careless)
    robust_accuracy(model, inputs, labels, Careless(by=0.04))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x, y: RobustAccuracy("pdg"), "unknown attack 'pdg'; accepted: .*did you mean 'pgd'"),
        (lambda m, x, y: WorstCase([]), "`attacks` must be at least one attack"),
        (lambda m, x, y: worst_case([]), "`outcomes` must be those of at least one attack"),
        (lambda m, x, y: robust_accuracy(m, x, y, PGD(targeted=True)), "`attack.targeted` must be false"),
        (lambda m, x, y: robust_accuracy(m, x, y + 5, None), r"`target` must be a class index in 0\.\.1"),
        (lambda m, x, y: RobustAccuracy().update(m, x), "`outcome` must be given where one of"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call(linear(), *samples())


def test_no_trace():
    model, (inputs, labels) = linear().train(), samples()
    before = snapshot(model)
    robust_accuracy(model, inputs, labels, PGD(eps=0.1, alpha=0.05, steps=2))
    assert snapshot(model) == before


def results(rank=None):
    model, (inputs, labels) = linear(), samples()
    found = {}
    metrics = {
        "fgsm": RobustAccuracy(FGSM(eps=0.3)),
        "worst": WorstCase([FGSM(eps=0.3), BIM(eps=0.2, alpha=0.1, steps=3)]),
    }
    for name, metric in metrics.items():
        for start, stop in SHARES[rank] if rank is not None else SHARES[0] + SHARES[1]:
            metric.update(model, inputs[start:stop], labels[start:stop])
        numbers = [*metric.summary()[:-1], *metric.summary().passes, float(metric.compute())]
        own = int(metric.samples)  # its own again after the gathering
        found[name] = {"numbers": numbers, "own": own}
    return found


def worker(rank):
    Path(f"{rank}.json").write_text(json.dumps(results(rank)))


def test_two_processes_equal_one(tmp_path):
    if not (dist.is_available() and dist.is_gloo_available()):
        pytest.skip("NOT TESTED: this torch has no gloo, so accuracy over two processes is not checked")
    over_two_ranks(tmp_path, __file__, "worker")
    both = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    for name, one in results().items():
        assert [found[name]["own"] for found in both] == [12, 8]
        for found in both:
            assert found[name]["numbers"] == pytest.approx(one["numbers"], abs=1e-12), name

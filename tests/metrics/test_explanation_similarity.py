"""Similarity under change, over the inputs whose prediction held."""

import random
from dataclasses import replace

import pytest
import torch
from torch import nn

from lit_attr.attacks import PGD, get_attack
from lit_attr.attribution import Saliency
from lit_attr.corruptions import get_corruption
from lit_attr.metrics import Evaluation, ExplanationSimilarity, MetricSuite
from lit_attr.metrics._comparison import Comparison
from lit_attr.metrics._explaining import explained_by
from lit_attr.metrics._noise import Noise
from lit_attr.metrics.functional import explanation_similarity

METHOD = Saliency(signed=True)


@pytest.mark.parametrize("measure", ["topk", "pearson", "spearman", "ssim", "cosine"])
@pytest.mark.parametrize("restarts", [1, 3])
def test_against_a_plain_loop(measure, restarts, cnn, batch):
    model, images = cnn(), batch(10)[0]
    target, compare = model(images).argmax(1), Comparison(measure, "abs_sum", 0.3)
    here, expected, left_out = METHOD(model, images, target), [], 0
    for i in range(10):
        one = slice(i, i + 1)
        copies = Noise(restarts, 0.8, "auto", 1).copies(images[one])
        held = [noisy for noisy in copies if model(noisy).argmax(1) == target[one]]
        found = [float(compare(here[one], METHOD(model, x, target[one]), images[one])) for x in held]
        expected.append(min(found, default=torch.nan))
        left_out += not found
    assert 0 < left_out < 10 or restarts > 1
    settings = {"radius": 0.8, "restarts": restarts, "k": 0.3, "seed": 1}
    found = explanation_similarity(model, images, None, METHOD, measure, **settings)
    assert found.tolist() == pytest.approx(expected, nan_ok=True, abs=1e-10)
    metric = ExplanationSimilarity(measure, **settings)
    for rows in ([7, 0, 3, 4], [1], [9, 8, 6, 5, 2]):
        metric.update(model, images[rows], None, METHOD(model, images[rows]), method=METHOD)
    assert (metric.count, metric.undefined, metric.invalid) == (10 - left_out, left_out, 0)
    assert metric.coverage() == pytest.approx(1 - left_out / 10)


def test_costs_are_as_declared_and_shared(cnn, counting, batch):
    model, images, calls = counting(cnn()), batch()[0], []

    def method(net, inputs, target):
        calls.append(len(inputs))
        return inputs + 1

    alone = ExplanationSimilarity(restarts=3)
    alone.update(model, images, None, images + 1, method=method)
    assert (sum(calls), model.samples) == (4 * alone.explanations, 4 * alone.passes.forward) == (12, 16)
    model.samples = 0
    calls.clear()
    measures = ("topk", "spearman", "ssim")
    suite = MetricSuite({m: {"class": "explanation_similarity", "measure": m, "restarts": 3} for m in measures})
    suite.update(model, images, None, images + 1, method=method)
    assert (sum(calls), model.samples) == (12, 16)


class Attack:
    """Moves along random directions of the global random state."""

    def __init__(self):
        self.seen = []

    def __call__(self, model, inputs, target):
        self.seen.append((target.index.tolist(), torch.rand(1).item(), torch.is_grad_enabled(), model.training))
        return inputs + 1e-3 * torch.randn_like(inputs)


def test_an_attack(cnn, batch):
    model, images, attack = cnn().train(), batch()[0], Attack()
    metric = ExplanationSimilarity("cosine", attack, restarts=2, seed=5)
    states = torch.get_rng_state(), random.getstate()
    with torch.inference_mode():
        part = images.clone()
        metric.update(model, part, 1, METHOD(model, part, 1), method=METHOD)
        metric.update(model, part, 1, METHOD(model, part, 1), method=METHOD)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert model.training
    numbers = [number for _, number, _, _ in attack.seen]
    assert all(rest == ([1] * 4, True, False) for rest in ((i, g, t) for i, _, g, t in attack.seen))
    assert numbers[0] != numbers[1]
    assert numbers[:2] == numbers[2:]
    assert metric.count == 8
    assert 0.99 < metric.compute() <= 1
    assert metric.protocol["perturb"] == "Attack"


def test_the_worst_of_the_restarts_counts(cnn, batch):
    images = batch(12)[0]
    settings = {"measure": "cosine", "radius": 0.3}
    one, three = (explanation_similarity(cnn(), images, 0, METHOD, restarts=n, **settings) for n in (1, 3))
    assert (three <= one)[one.isfinite()].all()
    assert (three < one).any()


class Step(nn.Module):
    """Predicts class 1 for bright images; its gradient is the image."""

    def forward(self, inputs):
        bright = inputs.flatten(1).square().sum(1) / 2 - 1
        return torch.stack([torch.zeros_like(bright), bright], dim=1)


def test_only_where_the_prediction_held():
    images = torch.rand(4, 1, 6, 6, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.5
    turned = {"spearman": lambda model, inputs, target: torch.stack([inputs[0], *(inputs[1:] * 0.01)])}
    metric = ExplanationSimilarity("spearman", turned["spearman"])
    metric.update(Step(), images, None, METHOD(Step(), images), method=METHOD)
    assert (metric.count, metric.undefined) == (1, 3)
    assert metric.coverage() == 0.25
    with pytest.warns(UserWarning, match="the prediction did not hold"):
        assert metric.compute() == 1


def test_constant_maps_have_no_value(cnn, batch):
    images = batch()[0]
    metric = ExplanationSimilarity(radius=1e-6)
    metric.update(cnn(), images, 0, torch.ones_like(images), method=lambda model, inputs, target: inputs * 0)
    assert (metric.count, metric.undefined) == (0, 4)


@pytest.mark.parametrize("where", ["attribution", "output"])
def test_what_is_not_finite_is_counted_as_invalid(where, cnn, batch):
    images, net = batch()[0], cnn()

    class Broken(nn.Module):
        def forward(self, inputs):
            output = net(inputs)
            same = torch.equal(inputs, images[: len(inputs)])
            return output if same or where != "output" else output.index_fill(0, torch.tensor([2]), torch.nan)

    def method(model, inputs, target):
        found = METHOD(net, inputs, target)
        return found.index_fill(0, torch.tensor([2]), torch.nan) if where == "attribution" else found

    metric = ExplanationSimilarity(radius=1e-6)
    metric.update(Broken(), images, None, METHOD(net, images), method=method)
    assert (metric.count, metric.undefined, metric.invalid) == (3, 0, 1)


def test_settings_are_checked_and_told():
    with pytest.raises(ValueError, match="unknown attack 'nois'"):
        ExplanationSimilarity(perturb="nois")
    with pytest.raises(
        ValueError,
        match=r"`perturb` must be 'noise', an attack, a corruption, or a function of .* got None",
    ):
        ExplanationSimilarity(perturb=None)
    with pytest.raises(ValueError, match="`restarts` must be a positive integer"):
        ExplanationSimilarity(restarts=0)
    with pytest.raises(ValueError, match="`measure` is 'kendall'"):
        ExplanationSimilarity("kendall")
    assert not ExplanationSimilarity(perturb=nn.Linear(2, 2)).state_dict()
    told = ExplanationSimilarity("topk", k=100).protocol
    assert (told["k"], told["noise"], told["radius"]) == (100, "uniform", 0.02)
    assert "radius" not in ExplanationSimilarity(perturb=Attack()).protocol


def test_changed_inputs_must_have_the_shape(cnn, batch):
    images = batch()[0]
    explained = Evaluation(cnn(), images, 0).of(images, METHOD)
    with pytest.raises(ValueError, match=r"`perturb` must be a function that keeps the shape \(4, 3, 6, 6\)"):
        ExplanationSimilarity(perturb=lambda model, inputs, target: inputs[:2]).per_sample(explained)


@pytest.mark.parametrize(
    "perturb",
    ["pgd", {"class": "pgd", "eps": 0.05}, PGD(eps=0.05), "gaussian", {"class": "gaussian", "sigma": 0.1}],
    ids=str,
)
def test_attacks_and_corruptions_by_name(perturb, cnn, batch):
    """Seeds differ between restarts; samples of a batch are changed as they are alone."""
    model, images = cnn(), batch(6)[0]
    corrupting = "gaussian" in str(perturb)
    made = (get_corruption if corrupting else get_attack)(perturb)
    target, worst = model(images).argmax(1), torch.full((6,), torch.inf, dtype=torch.float64)
    here = METHOD(model, images, target)
    for seed in (4, 5):
        for i in range(6):
            one, again = images[i : i + 1], replace(made, seed=seed)
            changed = again(one) if corrupting else again(model, one, target[i : i + 1])
            if model(changed).argmax(1) == target[i]:
                after = METHOD(model, changed, target[i : i + 1])
                worst[i] = min(worst[i], Comparison("cosine", "abs_sum", 0.3)(here[i : i + 1], after, one)[0])
    expected = worst.where(worst.isfinite(), torch.nan)
    metric = ExplanationSimilarity("cosine", perturb, restarts=2, seed=4)
    found = metric.per_sample(explained_by(METHOD, model, images, target))
    torch.testing.assert_close(found, expected, equal_nan=True)
    assert bool(expected.isfinite().any())
    assert type(made).__name__ in metric.protocol["perturb"]

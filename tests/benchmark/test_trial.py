"""The parts of the score against what they are said to be."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from lit_attr._view import Passes
from lit_attr.attribution import Explanation, GradCAM, IntegratedGradients, Saliency, SmoothGrad
from lit_attr.attribution._method import About, Method
from lit_attr.benchmark._trial import WEIGHTS, Judge
from lit_attr.metrics.functional import deletion, explanation_similarity, insertion, road

IMAGES = torch.rand(6, 2, 8, 8, generator=torch.Generator().manual_seed(0))


@dataclass(frozen=True, eq=False, kw_only=True)
class Flat(Method):
    """The same everywhere."""

    ABOUT = About("nothing", "")

    def attribute(self, view):
        return Explanation(torch.ones_like(view.inputs))

    def cost(self, shape, classes):
        return Passes(0, 0)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()


def judged(methods, inputs=IMAGES, **weights):
    judge = Judge(network(), inputs, None, {**WEIGHTS, **weights}, seed=0)
    entered = [judge.enter(str(i), method) for i, method in enumerate(methods)]
    judge.measure(entered, 0, len(inputs))
    return judge, entered


def test_values_are_those_of_the_metrics():
    model, method = network(), IntegratedGradients(steps=4)
    _, (one,) = judged([method])
    found = method(model, IMAGES)
    expected = [
        insertion(model, IMAGES, None, found, "mean", 16),
        -deletion(model, IMAGES, None, found, "blur", 16),
        road(model, IMAGES, None, found),
        explanation_similarity(model, IMAGES, None, method, "spearman", reduction="sum"),
    ]
    assert one.values == pytest.approx(torch.stack(expected).numpy(), abs=1e-6)


def test_samples_add_up_in_batches(monkeypatch):
    monkeypatch.setattr("lit_attr.benchmark._trial._BATCH", 2)
    judge, (one,) = judged([Saliency()])
    again = judge.enter("again", Saliency())
    judge.measure([again], 0, 3)
    judge.measure([again], 3, 6)
    assert again.values == pytest.approx(one.values, abs=1e-6)


def test_the_parts_and_their_sum():
    judge, entered = judged([IntegratedGradients(steps=4), Saliency(), Flat()], stability=0.5, cost=0.25)
    parts = judge.parts(entered)
    values = np.stack([one.values for one in entered])[:, :-1].round(6)
    wins = np.array([[(value > values).sum(0) + ((value == values).sum(0) - 1) / 2] for value in values])
    assert parts["faithfulness"] == pytest.approx((wins[:, 0] / 2).mean(1))
    assert (parts["faithfulness"][2] == 0).all()  # what orders nothing is worst by each metric
    assert (parts["stability"][2] == 0).all()
    assert parts["cost"][:, 0] == pytest.approx([1 - math.log10(8) / 4, 1 - math.log10(2) / 4, 1])
    expected = (parts["faithfulness"] + 0.5 * parts["stability"] + 0.25 * parts["cost"]) / 1.75
    assert parts["score"] == pytest.approx(expected)


def test_stability_is_tried_with_another_seed():
    """Without noise on the input the seed alone makes the difference."""
    judge, _ = judged([])
    judge.similarity.noise = judge.similarity.noise.__class__(1, 1e-9, "auto", 0)
    entered = [judge.enter("random", SmoothGrad(samples=2)), judge.enter("not", Saliency())]
    judge.measure(entered, 0, 6)
    random, exact = (one.values[-1].mean() for one in entered)
    assert exact > 0.99
    assert random < 0.95


def test_the_price_is_that_of_all_passes():
    """Counted at the model: two explanations, the metrics, the noisy copy's prediction, and the shared clean one."""
    model, calls = network(), []
    model.register_forward_hook(lambda module, args, output: calls.append(len(args[0])))
    judge = Judge(model, IMAGES, None, WEIGHTS, seed=0)
    one = judge.enter("ig", IntegratedGradients(steps=4))
    calls.clear()
    judge.measure([one], 0, 6)
    backward = 2 * 4
    assert sum(calls) / 6 + backward <= one.trial <= sum(calls) / 6 + backward + 4  # the clean pass is told by each


def test_without_weight_stability_costs_nothing():
    judge, (one,) = judged([Saliency()], stability=0.0)
    assert (one.values[-1] == 0).all()
    with_it = judged([Saliency()])[1][0]
    assert with_it.trial - one.trial == 2 + judge.similarity.passes.forward


def test_inputs_that_are_no_images():
    torch.manual_seed(0)
    judge = Judge(nn.Linear(5, 3), torch.randn(6, 5), None, WEIGHTS, seed=0)
    one = judge.enter("ig", IntegratedGradients(steps=4))
    judge.measure([one], 0, 6)
    assert one.values.shape == (3, 6)
    assert np.isfinite(one.values).all()
    assert not one.reason


def test_a_method_that_cannot_explain_gets_a_reason():
    judge = Judge(nn.Linear(5, 3), torch.randn(6, 5), None, WEIGHTS, seed=0)
    one = judge.enter("grad_cam", GradCAM())
    judge.measure([one], 0, 6)
    assert one.reason.startswith("cannot explain this: `inputs` must be images")

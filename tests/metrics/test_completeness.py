"""Completeness: terms of additive models, explanations that know their error, and what cannot be divided."""

import pytest
import torch
from torch import nn

from lit_attr.attribution import AGI, Explanation, IntegratedGradients, Saliency
from lit_attr.metrics import Completeness
from lit_attr.metrics._evaluation import Evaluation
from lit_attr.metrics.functional import completeness


def additive(size=108):
    return nn.Sequential(nn.Flatten(), nn.Linear(size, 3, dtype=torch.float64))


@pytest.mark.parametrize("baseline", ["black", "mean", 0.4])
def test_terms_of_an_additive_model_are_complete_and_what_is_added_is_the_error(baseline, batch):
    images, _ = batch()
    model = additive()
    fill = {"black": 0.0, "mean": images.mean((2, 3), keepdim=True), 0.4: 0.4}[baseline]
    terms = (images - fill) * model[1].weight[2].detach().view(1, 3, 6, 6)
    assert float(completeness(model, images, 2, terms, baseline=baseline).max()) < 1e-12
    terms[:, 1, 2, 3] += torch.tensor([1.0, -2.0, 0.0, 0.5])
    expected = torch.tensor([1, 2, 0, 0.5], dtype=torch.float64)
    found = completeness(model, images, 2, terms, baseline=baseline)
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    change = (terms.flatten(1).sum(1) - torch.tensor([1.0, -2.0, 0.0, 0.5])).abs()
    found = completeness(model, images, 2, terms, relative=True, baseline=baseline)
    torch.testing.assert_close(found, expected / change, atol=1e-10, rtol=1e-9)


@pytest.mark.parametrize("objective", ["logit", "prob", "logprob", lambda evidence, index: evidence[:, 0] ** 2])
def test_equals_the_definition_for_every_objective(objective, cnn, batch):
    images, attribution = batch()
    model = cnn()
    with torch.no_grad():
        ends = [model(images), model(torch.zeros_like(images))]
    if callable(objective):
        values = [end[:, 0] ** 2 for end in ends]
    else:
        values = [
            {"logit": end, "prob": end.softmax(1), "logprob": end.log_softmax(1)}[objective][:, 1] for end in ends
        ]
    change = values[0] - values[1]
    expected = (attribution.flatten(1).sum(1) - change).abs()
    found = completeness(model, images, 1, attribution, objective=objective)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    found = completeness(model, images, 1, attribution, relative=True, objective=objective)
    torch.testing.assert_close(found, expected / change.abs(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", [IntegratedGradients(steps=3, baseline=0.7), AGI(classes=2, steps=3)], ids=str)
@pytest.mark.parametrize("relative", [False, True])
def test_an_explanation_tells_its_own_error_and_nothing_runs(method, relative, cnn, counting, batch):
    images, _ = batch()
    explanation = method.explain(cnn(), images, 1)
    model = counting(cnn())
    evaluation = Evaluation(model, images, 1)
    found = Completeness(relative).per_sample(evaluation.of(explanation))
    assert model.samples == 0
    error = explanation.completeness_error
    change = explanation.attribution.flatten(1).sum(1) - error
    torch.testing.assert_close(found, (error / change if relative else error).abs())
    if isinstance(method, IntegratedGradients):
        alone = completeness(cnn(), images, 1, explanation.attribution, relative, baseline=0.7)
        torch.testing.assert_close(found, alone, rtol=1e-9, atol=1e-12)


def test_an_explanation_without_an_end_point_is_held_against_the_baseline(cnn, batch):
    images, _ = batch()
    explanation = Saliency().explain(cnn(), images, 1)
    assert explanation.completeness_error is None
    found = completeness(cnn(), images, 1, explanation, baseline=0.2)
    torch.testing.assert_close(found, completeness(cnn(), images, 1, explanation.attribution, baseline=0.2))


def test_a_model_that_ignores_its_input_has_no_relative_error(batch):
    class Constant(nn.Module):
        def forward(self, inputs):
            return torch.full((len(inputs), 3), 7.0, dtype=inputs.dtype)

    images, attribution = batch()
    metric = Completeness(relative=True)
    metric.update(Constant(), images, 0, attribution)
    metric.update(Constant(), images, 0, Explanation(attribution, images, attribution.flatten(1).sum(1)))
    assert (metric.count, metric.undefined, metric.invalid) == (0, 8, 0)
    with pytest.warns(UserWarning, match="completeness leaves out samples without a value: the objective is the same"):
        assert metric.compute().isnan()
    found = completeness(Constant(), images, 0, attribution)
    torch.testing.assert_close(found, attribution.flatten(1).sum(1).abs())


def test_the_sum_is_exact_for_float32():
    """Of a million numbers whose float32 sum drifts."""
    images = torch.zeros(1, 1, 1000, 1000)
    attribution = torch.full_like(images, 0.1)
    attribution[..., 0] += 1000

    class Zero(nn.Module):
        def forward(self, inputs):
            return inputs.flatten(1)[:, :2] * 0

    expected = float(attribution.double().sum())
    assert float(completeness(Zero(), images, 0, attribution)) == pytest.approx(expected, rel=1e-12)


def test_passes_chunks_and_company(cnn, counting, batch):
    images, attribution = batch()
    model = counting(cnn())
    evaluation = Evaluation(model, images, 1)
    expected = Completeness(max_batch=3).per_sample(evaluation.of(attribution))
    assert model.samples == 4 * Completeness().passes.forward
    Completeness(relative=True).per_sample(evaluation.of(-attribution))
    assert model.samples == 4 * 2  # the same two ends
    alone = completeness(cnn(), images[1:2], 1, attribution[1:2])
    torch.testing.assert_close(alone, expected[1:2], rtol=1e-12, atol=1e-13)


def test_what_is_not_finite_is_counted(cnn, batch):
    images, attribution = batch()
    attribution[1, 0, 0, 0] = torch.inf
    metric = Completeness()
    metric.update(cnn(), images, 1, attribution)
    assert (metric.count, metric.invalid) == (3, 1)


@pytest.mark.parametrize("shape", [(2, 6), (2, 5, 3)])
def test_other_inputs(shape):
    inputs = torch.rand(shape, dtype=torch.float64)
    model = additive(inputs[0].numel())
    terms = inputs * model[1].weight[1].detach().view(1, *shape[1:])
    assert float(completeness(model, inputs, 1, terms).max()) < 1e-12


def test_settings_are_checked_and_told():
    with pytest.raises(ValueError, match="`baseline` is 'grey'"):
        Completeness(baseline="grey")
    with pytest.raises(ValueError, match=r"`objective` is 'logits'.*did you mean 'logit'"):
        Completeness(objective="logits")
    metrics = [
        Completeness(),
        Completeness(relative=True),
        Completeness(baseline="mean"),
        Completeness(objective="prob"),
    ]
    metrics += [Completeness(objective=lambda e, i: e[:, 0]), Completeness(objective=lambda e, i: e[:, 1])]
    assert len({tuple(metric._cfg.tolist()) for metric in metrics}) == len(metrics)
    assert Completeness(objective="prob").protocol["objective"] == "prob"


def test_networks_as_settings_are_not_registered():
    assert not Completeness(baseline=nn.Conv2d(3, 3, 3, padding=1), objective=nn.Linear(3, 1)).state_dict()
    assert len(list(Completeness(baseline=nn.Conv2d(3, 3, 3)).modules())) == 1

"""Subset correlation: an additive model, a slow loop, and what is removed."""

import math

import pytest
import scipy.stats
import torch
from torch import nn

from _reference.nets import Recorder
from lit_attr.metrics import SubsetCorrelation
from lit_attr.metrics._evaluation import Evaluation
from lit_attr.metrics.functional import subset_correlation

PRESETS = {
    "sensitivity_n": {},
    "faithfulness_correlation": {"sizes": (20,)},
    "mu_fidelity": {"unit": 3, "sizes": (0.3,)},
}


def additive(*shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 3, dtype=torch.float64))


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("baseline", ["black", "mean", 0.4])
def test_terms_of_an_additive_model_are_perfect(preset, baseline):
    images, model = torch.rand(3, 2, 6, 5, dtype=torch.float64), additive(2, 6, 5)
    weights = model[1].weight[2].detach().view(1, 2, 6, 5)
    fill = {"black": 0.0, "mean": images.mean((2, 3), keepdim=True), 0.4: 0.4}[baseline]
    given = {"baseline": baseline, "subsets": 20, **PRESETS[preset]}
    found = subset_correlation(model, images, 2, weights * (images - fill), preset, **given)
    torch.testing.assert_close(found, torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-9)
    gradient = weights.expand_as(images)
    found = subset_correlation(model, images, 2, gradient, preset, multiply_by_inputs=True, **given)
    torch.testing.assert_close(found, torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-9)
    found = subset_correlation(model, images, 2, -weights * (images - fill), preset, **given)
    torch.testing.assert_close(found, -torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-9)


def grid(cells, height, width):
    """The cell of each pixel, restated: cell r, c has the pixels whose r is floor(y g / H)."""
    g, h = min(cells, height), min(cells, width)
    return [[(y * g // height) * h + x * h // width for x in range(width)] for y in range(height)]


@pytest.mark.parametrize("kind", ["pearson", "spearman"])
@pytest.mark.parametrize("unit", ["pixel", "scalar", 2, 9])
def test_equals_a_slow_loop(kind, unit, cnn, batch):
    images, attribution = batch()
    model = cnn()
    settings = {"sizes": (3, 0.5), "subsets": 9, "unit": unit, "correlation": kind, "baseline": 0.3}
    if unit == 2:
        settings["sizes"] = (3, 0.25)  # of four cells
    metric = SubsetCorrelation(**settings)
    value, curve, _ = metric.read(Evaluation(model, images, 1).of(attribution))
    numbers = {"pixel": 36, "scalar": 108, 2: 4, 9: 36}[unit]
    cells = torch.tensor(grid(unit if isinstance(unit, int) else 6, 6, 6))
    for p in range(2):
        subsets = metric._removal.draw(p, numbers)
        sizes = {"pixel": (3, 18), "scalar": (3, 54), 2: (3, 1), 9: (3, 18)}[unit]
        assert torch.equal(subsets.sum(1), torch.full((9,), sizes[p]))
        for i in range(4):
            a, d = [], []
            for subset in subsets:
                gone = subset.view(3, 6, 6) if unit == "scalar" else subset[cells].expand(3, 6, 6)
                point = images[i].clone()
                point[gone] = 0.3
                with torch.no_grad():
                    d.append(float(model(images[i : i + 1])[0, 1] - model(point[None])[0, 1]))
                a.append(float(attribution[i][gone].sum()))
            reference = scipy.stats.pearsonr if kind == "pearson" else scipy.stats.spearmanr
            assert float(curve[i, p]) == pytest.approx(reference(a, d).statistic, abs=1e-9)
    torch.testing.assert_close(value, curve.mean(1))


@pytest.mark.parametrize(("unit", "count"), [("pixel", 12), ("scalar", 36), (2, 4), (3, 9), (30, 12)])
def test_units_are_removed_as_one(unit, count):
    net = Recorder(additive(3, 3, 4))
    metric = SubsetCorrelation(sizes=(1,), subsets=300, unit=unit, baseline=-1.0)
    metric.update(net, torch.ones(1, 3, 3, 4, dtype=torch.float64), 1, torch.randn(1, 3, 3, 4))
    points = net.points[1:]  # the first is the clean input
    kinds, counts = (points == -1).flatten(1).unique(dim=0, return_counts=True)
    assert len(kinds) == count  # every unit alone
    assert bool((kinds.sum(0) == 1).all())  # which together are everything, once
    assert bool((counts > 300 / count / 4).all())
    if unit != "scalar":
        assert torch.equal(points[:, 0], points[:, 1])


def test_presets_are_the_published_settings():
    mu, faithfulness = SubsetCorrelation("mu_fidelity"), SubsetCorrelation("faithfulness_correlation")
    assert mu.protocol["unit"] == "cells of a 9 x 9 grid"
    assert (mu.protocol["sizes"], mu.protocol["subsets"], mu.protocol["correlation"]) == ([0.2], 200, "spearman")
    assert (faithfulness.protocol["sizes"], faithfulness.protocol["unit"]) == ([224], "scalar")
    assert SubsetCorrelation().protocol["sizes"] == [0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8]
    mine = SubsetCorrelation("mu_fidelity", subsets=7, correlation="pearson")
    assert (mine.protocol["subsets"], mine.protocol["correlation"]) == (7, "pearson")
    assert mine.protocol["sizes"] == [0.2]


@pytest.mark.parametrize("max_batch", [1, 5, 1000])
def test_chunks_and_company_change_nothing(max_batch, cnn, counting, batch):
    images, attribution = batch()
    settings = {"sizes": (0.2, 0.6), "subsets": 6}
    expected = subset_correlation(cnn(), images, 1, attribution, **settings)
    model = counting(cnn())
    found = subset_correlation(model, images, 1, attribution, max_batch=max_batch, **settings)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    assert model.largest == max(4, min(max_batch, 4 * 6))
    assert model.samples == 4 * SubsetCorrelation(**settings).passes.forward
    alone = subset_correlation(cnn(), images[3:], 1, attribution[3:], **settings)
    torch.testing.assert_close(alone, expected[3:], rtol=0, atol=1e-10)


def test_other_attributions_and_correlations_cost_no_pass(cnn, counting, batch):
    images, attribution = batch()
    model = counting(cnn())
    evaluation = Evaluation(model, images, 1)
    for other in (attribution, -attribution):
        for kind in ("pearson", "spearman"):
            SubsetCorrelation(sizes=(0.5,), subsets=7, correlation=kind).update(model, images, 1, other, evaluation)
    assert model.samples == 4 * 8


@pytest.mark.parametrize("unit", ["pixel", "scalar", 4])
def test_a_constant_attribution_is_left_out(unit, cnn, batch):
    images, attribution = batch()
    attribution[1], attribution[2] = 0.1, 0
    metric = SubsetCorrelation(sizes=(0.1, 0.5), subsets=10, unit=unit)
    metric.update(cnn(), images, 1, attribution)
    assert (metric.count, metric.undefined, metric.invalid) == (2, 2, 0)
    with pytest.warns(UserWarning, match="subset_correlation leaves out samples without a value: all subsets"):
        assert metric.compute().isfinite()


def test_a_model_that_ignores_its_input_is_left_out(batch):
    class Constant(nn.Module):
        def forward(self, inputs):
            return torch.full((len(inputs), 3), 7.0, dtype=inputs.dtype)

    images, attribution = batch()
    metric = SubsetCorrelation(sizes=(0.5,), subsets=5)
    metric.update(Constant(), images, 0, attribution)
    assert (metric.count, metric.undefined) == (0, 4)


def test_gradient_of_a_flat_model_on_a_varied_input_counts_when_multiplied():
    """A constant gradient is no constant attribution once it is multiplied."""
    images = torch.rand(2, 1, 4, 4, dtype=torch.float64)
    model = additive(1, 4, 4)
    nn.init.ones_(model[1].weight)
    found = subset_correlation(model, images, 0, torch.ones_like(images), sizes=(0.5,), multiply_by_inputs=True)
    torch.testing.assert_close(found, torch.ones(2, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(2, 6), (2, 5, 3)])
@pytest.mark.parametrize("unit", ["pixel", "scalar"])
def test_other_inputs(unit, shape):
    inputs = torch.rand(shape, dtype=torch.float64)
    model = additive(*shape[1:])
    terms = inputs * model[1].weight[1].detach().view(1, *shape[1:])
    found = subset_correlation(model, inputs, 1, terms, subsets=9, unit=unit)
    torch.testing.assert_close(found, torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-9)


def test_settings_tell_metrics_apart():
    metrics = [SubsetCorrelation(preset) for preset in PRESETS] + [SubsetCorrelation(seed=1)]
    metrics += [SubsetCorrelation(multiply_by_inputs=True), SubsetCorrelation(baseline="mean")]
    metrics += [SubsetCorrelation(baseline=torch.zeros_like), SubsetCorrelation(baseline=torch.ones_like)]
    assert len({tuple(metric._cfg.tolist()) for metric in metrics}) == len(metrics)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"preset": "mufidelity"}, "did you mean 'mu_fidelity'"),
        ({"sizes": ()}, "`sizes` must be at least one share in"),
        ({"sizes": (0.1, 1.0)}, r"in \(0, 1\) or positive integer, got \(0.1, 1.0\)"),
        ({"sizes": (0,)}, r"in \(0, 1\) or positive integer, got \(0,\)"),
        ({"sizes": (True,)}, "`sizes` must be at least one share"),
        ({"subsets": 1}, "`subsets` must be at least 2"),
        ({"unit": "pixels"}, "did you mean 'pixel'"),
        ({"unit": 0}, "`unit` must be a positive integer"),
        ({"correlation": "kendall"}, "`correlation` is 'kendall'"),
        ({"baseline": "grey"}, "`baseline` is 'grey'"),
    ],
)
def test_settings_are_checked(given, message):
    with pytest.raises(ValueError, match=message):
        SubsetCorrelation(**given)


def test_inputs_are_checked(cnn, batch):
    images, attribution = batch()
    with pytest.raises(ValueError, match="`sizes` must be less than the number of units, 108, got 224"):
        subset_correlation(cnn(), images, 1, attribution, "faithfulness_correlation")
    with pytest.raises(ValueError, match=r"`inputs` must be images \[B, C, H, W\] for a grid, got shape \(2, 6\)"):
        subset_correlation(nn.Linear(6, 2), torch.rand(2, 6), 1, torch.rand(2, 6), "mu_fidelity")


def test_a_network_as_baseline_is_not_registered():
    assert len(list(SubsetCorrelation(baseline=nn.Conv2d(3, 3, 3)).modules())) == 1

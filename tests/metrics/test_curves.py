"""Curves of scores, against closed forms."""

import pytest
import torch
from torch import nn

from lit_attr._view import looking_at
from lit_attr.metrics.curves import AREAS, End, auc, cut_points, perturbation_curve, resampled
from lit_attr.metrics.ranking import rank_map
from lit_attr.objectives import logit, logprob, prob


def additive(features=7):
    """f(x) = sum w x; one output unit, read as the logits (0, f)."""
    model = nn.Linear(features, 1, bias=False, dtype=torch.float64)
    nn.init.normal_(model.weight, generator=torch.Generator().manual_seed(3))
    return model


def fractions(positions, steps):
    return [cut / positions for cut in cut_points(positions, steps)]


def walk(model, inputs, attribution, steps, readouts=(logit,), max_batch=None, target=1):
    with looking_at(model, inputs, target) as view, torch.no_grad():
        blank = torch.zeros_like(inputs)
        ends = [End(x, view.evidence(x, view.rows)) for x in (blank, view.inputs)]
        before = view.forwards
        ranks = rank_map(attribution)
        cuts = cut_points(ranks.shape[1:].numel(), steps)
        evidence = perturbation_curve(view, *ends, ranks, cuts, max_batch)
        rows = view.rows.repeat_interleave(len(cuts))
        read = [readout(evidence.flatten(0, 1), view.target.index[rows]) for readout in readouts]
        curves = torch.stack(read).view(len(readouts), *evidence.shape[:2])
    return curves, view.forwards - before


def test_additive_model_gives_the_sorted_cumulative_sum():
    model = additive()
    inputs = torch.rand(4, 7, dtype=torch.float64)
    attribution = inputs * model.weight.detach()
    (curve,), _ = walk(model, inputs, attribution, steps=7)
    expected = torch.cat([torch.zeros(4, 1), attribution.sort(dim=1, descending=True).values.cumsum(1)], dim=1)
    torch.testing.assert_close(curve, expected, atol=1e-12, rtol=0)
    weights = torch.arange(7, 0, -1) - 0.5  # each sorted term counts from where it enters
    area = (attribution.sort(dim=1, descending=True).values * weights).sum(1) / 7
    torch.testing.assert_close(auc(curve, fractions(7, 7)), area, atol=1e-12, rtol=0)


def test_all_readouts_come_from_the_same_passes():
    inputs, attribution = torch.rand(3, 7, dtype=torch.float64), torch.randn(3, 7)
    curves, forwards = walk(additive(), inputs, attribution, steps=5, readouts=(prob, logprob, logit))
    assert curves.shape == (3, 3, 6)
    assert forwards == 3 * 4
    torch.testing.assert_close(curves[0].log(), curves[1])
    torch.testing.assert_close(curves[2].sigmoid(), curves[0])


def test_one_step_needs_only_the_ends():
    curves, forwards = walk(additive(), torch.rand(3, 7, dtype=torch.float64), torch.randn(3, 7), steps=1)
    assert curves.shape == (1, 3, 2)
    assert forwards == 0


@pytest.mark.parametrize("max_batch", [1, 2, 5, 1000])
def test_chunk_size_changes_nothing(max_batch, cnn, counting, batch):
    images, attribution = batch(3)
    model = counting(cnn())
    expected, _ = walk(cnn(), images, attribution.sum(1, keepdim=True), 9, (prob,), target=2)
    found, _ = walk(model, images, attribution.sum(1, keepdim=True), 9, (prob,), max_batch, target=2)
    assert model.largest == max(3, min(max_batch, 3 * 8))
    torch.testing.assert_close(found, expected, atol=1e-13, rtol=0)


def test_running_out_of_memory_halves_the_chunk(cnn, batch):
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = cnn()

        def forward(self, inputs):
            if len(inputs) > 4:
                raise torch.OutOfMemoryError
            return self.model(inputs)

    images, attribution = batch(3)
    expected, _ = walk(cnn(), images, attribution.sum(1, keepdim=True), 9, (prob,), target=2)
    found, _ = walk(Small(), images, attribution.sum(1, keepdim=True), 9, (prob,), max_batch=24, target=2)
    torch.testing.assert_close(found, expected, atol=1e-13, rtol=0)


def test_points_differ_from_the_ends_only_where_they_should(batch):
    images, attribution = batch(1, channels=2, height=2, width=3)
    seen = []

    class Record(nn.Module):
        def forward(self, inputs):
            seen.append(inputs.clone())
            return inputs.flatten(1)[:, :2]

    walk(Record(), images, attribution.sum(1, keepdim=True), steps=6)
    order = attribution.sum(1).flatten().argsort(descending=True)
    for count, point in enumerate(torch.cat(seen[2:]), start=1):
        kept = torch.zeros(6, dtype=torch.bool).index_fill_(0, order[:count], True).view(1, 2, 3)
        torch.testing.assert_close(point, images[0] * kept)


def test_cut_points():
    assert cut_points(10, 4) == [0, 2, 5, 7, 10]
    assert cut_points(3, 64) == [0, 1, 2, 3]
    assert cut_points(10, 4, per_step=5) == [0, 5, 10]
    assert cut_points(10, 4, per_step=4) == [0, 4, 8, 10]
    assert cut_points(10, 4, per_step=11) == [0, 10]


def test_areas():
    curve, at = torch.tensor([[1.0, 3.0, 5.0]]), [0.0, 0.8, 1.0]
    found = {name: float(area(curve, at)) for name, area in AREAS.items()}
    assert found == pytest.approx({"trapezoid": 0.8 * 2 + 0.2 * 4, "even": 3.0, "mean": 3.0, "unit_steps": 4.0})


def test_resampling_keeps_a_curve_of_lines():
    curve, at = torch.tensor([[0.0, 1.0, 0.0], [2.0, 2.0, 4.0]]), [0.0, 0.5, 1.0]
    expected = torch.tensor([[0.0, 0.5, 1.0, 0.5, 0.0], [2.0, 2.0, 2.0, 3.0, 4.0]])
    torch.testing.assert_close(resampled(curve, at, 5), expected)
    assert torch.equal(resampled(curve, at, 3), curve)


@pytest.mark.parametrize("positions", [4, 5, 9, 49])
@pytest.mark.parametrize("steps", [1, 2, 4, 64])
def test_constant_is_integrated_exactly(positions, steps):
    at = fractions(positions, steps)
    area = auc(torch.full((2, len(at)), 0.3, dtype=torch.float64), at)
    torch.testing.assert_close(area, torch.full((2,), 0.3, dtype=torch.float64), atol=1e-15, rtol=0)


def test_line_is_integrated_exactly_on_uneven_points():
    at = [0.0, 0.1, 0.5, 1.0]
    torch.testing.assert_close(auc(torch.tensor(at), at), torch.tensor(0.5))

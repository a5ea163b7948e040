"""Gap: identities."""

import itertools

import pytest
import torch
from torch import nn

from lit_attr.metrics import Gap
from lit_attr.metrics.functional import deletion, gap, insertion


@pytest.mark.parametrize("steps", [5, 12, 64])
def test_is_insertion_minus_deletion(steps, cnn, batch):
    images, attribution = batch()
    given = (cnn(), images, None, attribution)
    torch.testing.assert_close(gap(*given, steps=steps), insertion(*given, steps=steps) - deletion(*given, steps=steps))


def test_mean_over_points_is_the_area_up_to_a_known_factor(cnn, batch):
    images, attribution = batch()
    metric = Gap(steps=12)  # 36 positions: even spacing
    metric.update(cnn(), images, None, attribution)
    torch.testing.assert_close(metric.curve().mean() * 13 / 12, metric.compute(), atol=1e-6, rtol=0)


def test_negated_order_negates_the_gap_of_an_additive_model():
    model = nn.Linear(6, 1, bias=False, dtype=torch.float64)
    inputs = torch.rand(3, 6, dtype=torch.float64)
    terms = inputs * model.weight.detach()
    found = gap(model, inputs, 1, terms, steps=6)
    torch.testing.assert_close(found, -gap(model, inputs, 1, -terms, steps=6), atol=1e-12, rtol=0)
    assert (found > 0).all()


def test_constant_model_has_no_gap(batch):
    class Constant(nn.Module):
        def forward(self, inputs):
            return torch.ones(len(inputs), 3, dtype=inputs.dtype)

    images, attribution = batch()
    assert torch.equal(gap(Constant(), images, None, attribution, steps=7), torch.zeros(4, dtype=torch.float64))


def test_the_order_of_the_terms_has_the_largest_gap_of_all_orders():
    """Oracle 1, in the additive logit itself."""
    model = nn.Linear(4, 1, bias=False, dtype=torch.float64)
    inputs = torch.rand(1, 4, dtype=torch.float64)
    best = gap(model, inputs, 1, inputs * model.weight.detach(), steps=4, readout="logit")
    orders = [torch.tensor([p]) for p in itertools.permutations(range(4))]
    others = [gap(model, inputs, 1, order, steps=4, readout="logit") for order in orders]
    torch.testing.assert_close(torch.stack(others).max(), best[0])
    assert float(torch.stack(others).min()) < float(best)

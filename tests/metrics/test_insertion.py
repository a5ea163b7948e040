"""Insertion: closed forms."""

import itertools

import pytest
import torch
from torch import nn

from lit_attr.metrics.functional import insertion


def test_additive_logit_gives_the_sigmoid_of_the_sorted_cumulative_sum():
    model = nn.Linear(6, 1, bias=False, dtype=torch.float64)
    inputs = torch.rand(3, 6, dtype=torch.float64)
    terms = inputs * model.weight.detach()
    logits = torch.cat([torch.zeros(3, 1), terms.sort(dim=1, descending=True).values.cumsum(1)], dim=1)
    expected = torch.trapezoid(logits.sigmoid(), dx=1 / 6)
    torch.testing.assert_close(insertion(model, inputs, 1, terms, steps=6), expected, atol=1e-12, rtol=0)
    torch.testing.assert_close(insertion(model, inputs, 1, terms, steps=600), expected, atol=1e-12, rtol=0)


def test_the_order_of_the_terms_is_the_best_of_all_orders():
    model = nn.Linear(4, 1, bias=False, dtype=torch.float64)
    inputs = torch.rand(1, 4, dtype=torch.float64)
    best = insertion(model, inputs, 1, inputs * model.weight.detach(), steps=4)
    others = [insertion(model, inputs, 1, torch.tensor([p]), steps=4) for p in itertools.permutations(range(4))]
    torch.testing.assert_close(torch.stack(others).max(), best[0])


def test_constant_model_gives_its_probability(batch):
    class Constant(nn.Module):
        def forward(self, inputs):
            return torch.tensor([0.0, 1.0, 2.0], dtype=inputs.dtype).expand(len(inputs), 3)

    images, attribution = batch()
    expected = torch.tensor([0.0, 1.0, 2.0]).double().softmax(0)[2].expand(4)
    torch.testing.assert_close(insertion(Constant(), images, None, attribution, steps=7), expected)


def test_normalised_images_are_refused_with_a_way_out(cnn, batch):
    images, attribution = batch()
    with pytest.raises(ValueError, match=r"`inputs` must be images in \[0, 1\], got.*give `fill` as a number"):
        insertion(cnn(), images * 4 - 2, None, attribution)
    assert insertion(cnn(), images * 4 - 2, None, attribution, fill=0.0, steps=4).shape == (4,)

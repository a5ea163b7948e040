"""Deletion: closed forms."""

import torch
from torch import nn

from lit_attr.metrics import Deletion
from lit_attr.metrics.functional import deletion


def test_additive_logit_gives_the_sigmoid_of_what_is_left():
    model = nn.Linear(6, 1, bias=False, dtype=torch.float64)
    inputs = torch.rand(3, 6, dtype=torch.float64)
    terms = inputs * model.weight.detach()
    ordered = terms.sort(dim=1, descending=True).values
    left = torch.stack([ordered[:, k:].sum(1) for k in range(7)], dim=1)
    expected = torch.trapezoid(left.sigmoid(), dx=1 / 6)
    torch.testing.assert_close(deletion(model, inputs, 1, terms, steps=6), expected, atol=1e-12, rtol=0)


def test_curve_starts_at_the_clean_score(cnn, batch):
    images, attribution = batch()
    model = cnn()
    metric = Deletion(steps=4)
    metric.update(model, images, None, attribution)
    torch.testing.assert_close(
        metric.curve()[0].double(), model(images).softmax(1).amax(1).mean().detach(), atol=1e-6, rtol=0
    )

"""KL-insertion: closed forms, references and directions."""

import math

import pytest
import torch
from torch import nn

from lit_attr.metrics import Evaluation, KLInsertion
from lit_attr.metrics.functional import insertion, kl_insertion


def test_additive_logit_in_closed_form():
    """One unit z is read as the logits (0, z): D = log(1 + e^z) - z / 2 - log 2, an even function of z."""
    model = nn.Linear(6, 1, bias=False, dtype=torch.float64)
    inputs = torch.rand(3, 6, dtype=torch.float64)
    terms = inputs * model.weight.detach()
    z = torch.cat([torch.zeros(3, 1), terms.sort(dim=1, descending=True).values.cumsum(1)], dim=1)
    expected = torch.trapezoid(nn.functional.softplus(z) - z / 2 - math.log(2), dx=1 / 6)
    torch.testing.assert_close(kl_insertion(model, inputs, 1, terms, steps=6), expected, atol=1e-12, rtol=0)


def test_a_model_of_two_classes_is_one_of_one_unit(batch, cnn):
    class Two(nn.Module):
        def __init__(self, one):
            super().__init__()
            self.one = one

        def forward(self, inputs):
            z = self.one(inputs)
            return torch.cat([z * 0, z], dim=1)

    images, attribution = batch()
    one = cnn(classes=1)
    found = kl_insertion(one, images, 1, attribution, steps=6)
    torch.testing.assert_close(found, kl_insertion(Two(one), images, 1, attribution, steps=6))


@pytest.mark.parametrize("direction", ["ref_first", "pred_first"])
@pytest.mark.parametrize("reference", ["uniform", "baseline", "original"])
def test_the_ends_of_the_curve(reference, direction, batch, cnn):
    images, attribution = batch()
    model = cnn()
    evaluation = Evaluation(model, images)
    curve = KLInsertion(0.3, 4, reference=reference, direction=direction).read(evaluation.of(attribution)).curve
    ends = [model(torch.full_like(images, 0.3)).softmax(1).detach(), model(images).softmax(1).detach()]
    compared = {"uniform": torch.full_like(ends[0], 0.2), "baseline": ends[0], "original": ends[1]}[reference]
    for place, found in zip((0, -1), ends, strict=True):
        p, q = (compared, found) if direction == "ref_first" else (found, compared)
        torch.testing.assert_close(curve[:, place], (p * (p / q).log()).sum(1), atol=1e-12, rtol=1e-9)


def test_asks_for_no_class(batch, cnn):
    images, attribution = batch()
    found = [kl_insertion(cnn(), images, target, attribution, steps=6) for target in (None, 0, 3)]
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert torch.equal(found[0], insertion(cnn(), images, 0, attribution, steps=6, readout="kl"))


def test_normalized_is_in_units_of_the_largest_entropy(batch, cnn):
    images, attribution = batch()
    plain, told = (kl_insertion(cnn(), images, 0, attribution, steps=6, normalize=n) for n in (False, True))
    torch.testing.assert_close(told * math.log(5), plain)


def test_direction_follows_the_reference():
    assert KLInsertion().higher_is_better is KLInsertion(reference="baseline").higher_is_better is True
    assert KLInsertion(reference="original").higher_is_better is False
    assert KLInsertion(reference="original").clone().higher_is_better is False
    assert KLInsertion(reference="baseline").protocol["score"] == "KL(baseline || prediction)"


def test_numbers_of_large_logits_are_finite(batch, cnn):
    images, attribution = (tensor.float() for tensor in batch())
    model = cnn(dtype=torch.float32)
    with torch.no_grad():
        model[-1].weight.mul_(1e3)
    found = kl_insertion(model, images, None, attribution, steps=6)
    assert found.isfinite().all()
    assert (found > 100).all()  # where the smallest probability is far below the smallest float32

"""Another class explained."""

import pytest
import torch
from torch import nn

from lit_attr.attribution import Saliency
from lit_attr.metrics import RandomLogit
from lit_attr.metrics.functional import random_logit
from lit_attr.metrics.similarity import spearman

METHOD = Saliency(signed=True)


def test_it_is_the_similarity_with_another_class_than_the_explained_one(cnn, batch):
    model, images = cnn(), batch(6)[0]
    target = model(images).argmax(1)
    shifts = set()
    for seed in range(30):
        found = random_logit(model, images, None, METHOD, reduction="sum", seed=seed)
        fits = [
            shift
            for shift in range(5)
            if torch.allclose(found, similarity(model, images, target, (target + shift) % 5), atol=1e-10)
        ]
        assert len(fits) == 1
        shifts.add(fits[0])
    assert shifts == {1, 2, 3, 4}


def similarity(model, images, target, other):
    return spearman(METHOD(model, images, target).sum(1), METHOD(model, images, other).sum(1))


@pytest.mark.parametrize("units", [1, 2])
def test_of_two_classes_it_is_the_other_one(units):
    model, inputs = nn.Linear(9, units).double(), torch.rand(4, 9, dtype=torch.float64)
    target, asked = torch.tensor([0, 1, 1, 0]), []

    def method(net, points, which):
        asked.append(which.index.tolist())
        return points

    metric = RandomLogit()
    metric.update(model, inputs, target, inputs, method=method)
    assert asked == [[1, 0, 0, 1]]
    assert target.tolist() == [0, 1, 1, 0]
    assert metric.compute() == pytest.approx(1)  # it ignores the class


def test_costs_are_as_declared(cnn, counting, batch):
    model, images, calls = counting(cnn()), batch()[0], []

    def method(net, inputs, target):
        calls.append(len(inputs))
        return inputs

    metric = RandomLogit()
    metric.update(model, images, None, images, method=method)
    assert (sum(calls), model.samples) == (4 * metric.explanations, 4 * metric.passes.forward) == (4, 4)


def test_split_order_and_gradient_mode_change_nothing(cnn, batch):
    model, images = cnn(), batch(6)[0]
    expected = random_logit(model, images, None, METHOD)
    metric = RandomLogit()
    with torch.inference_mode():
        for rows in ([5, 0], [1, 4, 3], [2]):
            part = images[rows]
            metric.update(model, part, None, METHOD(model, part), method=METHOD)
    assert float(metric.value_sum) == pytest.approx(float(expected.sum()), abs=1e-12)


def test_samples_without_a_value_and_broken_ones(cnn, batch):
    images = batch()[0]

    def method(model, inputs, target):
        found = inputs.clone()
        found[1], found[2] = 0, torch.nan
        return found

    metric = RandomLogit()
    metric.update(cnn(), images, None, images, method=method)
    assert (metric.count, metric.undefined, metric.invalid) == (2, 1, 1)


def test_settings():
    assert RandomLogit(seed=1).protocol == RandomLogit().protocol | {"seed": 1}
    with pytest.raises(ValueError, match="`seed` must be an integer of at least 0"):
        RandomLogit(seed=-1)
    with pytest.raises(ValueError, match="`measure` is 'l2'"):
        RandomLogit("l2")

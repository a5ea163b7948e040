"""Randomised models against a plain loop, and methods that do not look at the model."""

import copy
import math

import pytest
import torch
from torch import nn

from _reference.architectures import architecture
from _reference.trace import snapshot
from lit_attr.attribution import Saliency
from lit_attr.metrics import MPRT, Evaluation, MetricSuite
from lit_attr.metrics._comparison import Comparison
from lit_attr.metrics._randomised import randomising
from lit_attr.metrics.functional import mprt

METHOD = Saliency(signed=True)


def edges(model, inputs, target):
    """An edge detector."""
    return inputs - inputs.roll(1, -1)


def net():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 6), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(6, 5)).double()


@pytest.mark.parametrize("order", ["top_down", "bottom_up", "independent"])
@pytest.mark.parametrize("measure", ["spearman", "ssim"])
@pytest.mark.parametrize("stages", [1, 3, 4, 7])
def test_against_copies_of_the_model(order, measure, stages, batch):
    model, images = net(), batch(3)[0]
    target, compare = model(images).argmax(1), Comparison(measure, "abs_of_sum", 0.1)
    layers = [model[7], model[5], model[2], model[0]]
    if order == "bottom_up":
        layers.reverse()
    with randomising(model) as random:
        numbers = [random.layers.index(layer) for layer in layers]
    here, expected, done = METHOD(model, images, target), [], 0
    twin = copy.deepcopy(model)
    for j in range(1, stages + 1):
        until = math.ceil(j * 4 / stages)
        if until > done:
            twin = copy.deepcopy(model) if order == "independent" else twin
            with randomising(twin) as random:
                for number in numbers[done:until]:
                    random.randomise(number, "reset", 2)
                changed = copy.deepcopy(twin)
            twin, done = changed, until
        expected.append(compare(here, METHOD(twin, images, target), images))
    metric = MPRT(measure, order, stages, seed=2)
    reading = metric.read(Evaluation(model, images).of(here, METHOD))
    torch.testing.assert_close(reading.curve, torch.stack(expected, dim=1))
    torch.testing.assert_close(reading.value, torch.stack(expected, dim=1).mean(1))
    torch.testing.assert_close(mprt(model, images, None, METHOD, measure, order, stages, seed=2), reading.value)
    assert (reading.curve < 0.999).any()


@pytest.mark.parametrize("order", ["top_down", "bottom_up", "independent"])
@pytest.mark.parametrize("reinit", ["reset", "normal", "shuffle"])
@pytest.mark.parametrize("measure", ["spearman", "topk", "ssim", "cosine"])
def test_a_method_that_ignores_the_model_is_found_out(order, reinit, measure, batch):
    images = batch()[0]
    metric = MPRT(measure, order, 3, reinit)
    metric.update(net(), images, None, edges(None, images, None), method=edges)
    torch.testing.assert_close(metric.curve(), torch.ones(3))
    assert metric.compute() == pytest.approx(1)


def test_a_vision_transformer_is_random_to_the_last_parameter():
    model, images = architecture("vit"), torch.rand(2, 3, 32, 32, dtype=torch.float64)
    weights = []

    def method(net, inputs, target):
        weights.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
        return METHOD(net, inputs, target)

    before = snapshot(model)
    metric = MPRT(stages=4, reinit="normal")
    metric.update(model, images, None, METHOD(model, images), method=method)
    assert snapshot(model) == before
    own = torch.cat([p.detach().flatten() for p in model.parameters()])
    same = [float((drawn == own).double().mean()) for drawn in weights]
    constant = sum(p.numel() for p in model.parameters() if p.unique().numel() == 1) / own.numel()
    assert same == sorted(same, reverse=True)
    assert same[-1] == pytest.approx(constant)  # such as biases of zero, which have no spread
    assert metric.compute() < 0.9


def test_costs_are_as_declared_and_shared(counting, batch):
    model, images, calls = counting(net()), batch()[0], []

    def method(given, inputs, target):
        calls.append(len(inputs))
        return inputs

    metric = MPRT(stages=4)
    metric.update(model, images, None, images, method=method)
    assert (sum(calls), model.samples) == (4 * metric.explanations, 4 * metric.passes.forward) == (16, 4)
    calls.clear()
    names = {m: {"class": "mprt", "measure": m, "stages": 2} for m in ("spearman", "ssim")}
    MetricSuite(names | {"ten": {"class": "mprt"}}).update(model, images, None, images, method=method)
    assert sum(calls) == 4 * (2 + 4)  # four layers: not more than four stages differ


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_split_order_and_gradient_mode_change_nothing(context, batch):
    model, images = net(), batch(5)[0]
    expected = mprt(model, images, None, METHOD, stages=2)
    metric = MPRT(stages=2)
    with context():
        for rows in ([4, 1], [0], [2, 3]):
            part = images[rows]
            metric.update(model, part, None, METHOD(model, part), method=METHOD)
    assert float(metric.value_sum) == pytest.approx(float(expected.sum()), abs=1e-12)


def test_no_trace_of_a_failure(batch):
    def broken(model, inputs, target):
        raise ZeroDivisionError

    model, images = net().train(), batch()[0]
    before = snapshot(model)
    with pytest.raises(ZeroDivisionError):
        MPRT().update(model, images, None, images, method=broken)
    assert snapshot(model) == before


def test_samples_without_a_value_and_broken_ones(batch):
    images = batch()[0]

    def method(model, inputs, target):
        found = edges(model, inputs, target)
        found[1], found[2] = 0, torch.nan
        return found

    metric = MPRT(stages=2)
    metric.update(net(), images, None, edges(None, images, None), method=method)
    assert (metric.count, metric.undefined, metric.invalid) == (2, 1, 1)
    torch.testing.assert_close(metric.curve(), torch.ones(2))


def test_settings_are_checked_and_told(batch):
    assert MPRT(seed=3).protocol == MPRT().protocol | {"seed": 3}
    for settings, message in [
        ({"order": "down"}, "`order` is 'down'"),
        ({"reinit": "zero"}, "`reinit` is 'zero'"),
        ({"stages": 0}, "`stages` must be a positive integer"),
        ({"seed": -1}, "`seed` must be an integer of at least 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            MPRT(**settings)
    images = batch(channels=1)[0]
    with pytest.raises(ValueError, match="Flatten has no parameters that could be randomised"):
        MPRT().update(nn.Flatten(), images, None, images, method=edges)

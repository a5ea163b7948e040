"""Sensitivity against Captum and a plain loop over the same noise."""

import pytest
import torch
from captum.metrics import sensitivity_max
from torch import nn

from lit_attr.attribution import IntegratedGradients, Saliency
from lit_attr.metrics import AverageSensitivity, Evaluation, MaxSensitivity, MetricSuite
from lit_attr.metrics._noise import Noise
from lit_attr.metrics.functional import average_sensitivity, max_sensitivity

METHOD = Saliency(signed=True)
BOTH = pytest.mark.parametrize("cls", [MaxSensitivity, AverageSensitivity])


def filled(cls, model, images, target=None, method=METHOD, **settings):
    metric = cls(**{"draws": 3, "radius": 0.1} | settings)
    metric.update(model, images, target, method(model, images, target), method=method)
    return metric


def test_against_captum(cnn, batch):
    model, images = cnn(), batch()[0]
    noisy = iter(Noise(4, 0.1, "auto", 0).copies(images))
    expected = sensitivity_max(
        lambda inputs: (METHOD(model, inputs[0] if isinstance(inputs, tuple) else inputs, 2),),
        images,
        lambda inputs: (next(noisy),),
        n_perturb_samples=4,
        max_examples_per_batch=4,
    )
    torch.testing.assert_close(max_sensitivity(model, images, 2, METHOD, 4, 0.1), expected)
    assert (expected > 0).all()


def test_against_a_plain_loop(cnn, batch):
    """With the class predicted on the clean input, also where a noisy one is predicted otherwise."""
    model, images = cnn(), batch(8)[0]
    target, noise = model(images).argmax(1), Noise(5, 0.9, "auto", 2)
    assert any((model(noisy).argmax(1) != target).any() for noisy in noise.copies(images))
    shares = []
    for noisy in noise.copies(images):
        change = METHOD(model, noisy, target) - METHOD(model, images, target)
        shares.append([float(c.norm() / METHOD(model, images, target)[i].norm()) for i, c in enumerate(change)])
    largest, mean = [max(s) for s in zip(*shares, strict=True)], [sum(s) / 5 for s in zip(*shares, strict=True)]
    settings = (5, 0.9, "auto", 2)
    assert max_sensitivity(model, images, None, METHOD, *settings).tolist() == pytest.approx(largest, rel=1e-10)
    assert average_sensitivity(model, images, None, METHOD, *settings).tolist() == pytest.approx(mean, rel=1e-10)


@BOTH
def test_costs_are_as_declared(cls, cnn, counting, batch):
    model, calls = counting(cnn()), []

    def method(net, inputs, target):
        calls.append(len(inputs))
        return torch.ones_like(inputs)

    metric = cls(draws=3)
    images = batch()[0]
    metric.update(model, images, None, torch.ones_like(images), method=method)
    assert sum(calls) == 4 * metric.explanations == 12
    assert model.samples == 4 * metric.passes.forward
    assert metric.compute() == 0


def test_one_set_of_explanations_serves_both(cnn, batch):
    calls = []

    def method(model, inputs, target):
        calls.append(1)
        return METHOD(model, inputs, target)

    model, images = cnn(), batch()[0]
    names = {"max_sensitivity": {"draws": 3}, "average_sensitivity": {"draws": 3}}
    suite = MetricSuite(names | {"other": {"class": "max_sensitivity", "draws": 2}})
    suite.update(model, images, method=method)
    assert len(calls) == 1 + 3 + 2
    assert suite.compute()["max_sensitivity"] >= suite.compute()["average_sensitivity"] > 0


@BOTH
def test_split_order_and_gradient_mode_change_nothing(cls, cnn, batch):
    model, images = cnn(), batch(6)[0]
    expected = filled(cls, model, images)
    metric = cls(draws=3, radius=0.1)
    with torch.inference_mode():
        for rows in ([5, 0, 2], [1], [4, 3]):
            part = images[rows]
            metric.update(model, part, None, METHOD(model, part), method=METHOD)
    assert float(metric.value_sum) == pytest.approx(float(expected.value_sum), abs=1e-10)
    assert metric.count == 6


@BOTH
def test_scale_of_the_attribution_does_not_matter(cls, cnn, batch):
    model, images = cnn(), batch()[0]
    scaled = filled(cls, model, images, method=lambda *given: 1e-12 * METHOD(*given))
    torch.testing.assert_close(scaled.compute(), filled(cls, model, images).compute())


class Ramp(nn.Module):
    """Its gradient at dark images is zero, and so is that at noisy copies of quite dark ones."""

    def forward(self, inputs):
        bright = (inputs.flatten(1) - 0.5).relu().square().sum(1, keepdim=True)
        return torch.cat([bright, torch.zeros_like(bright)], dim=1)


@BOTH
def test_attributions_without_length(cls, batch):
    images = torch.tensor([0.1, 0.5, 0.7], dtype=torch.float64)[:, None, None, None].repeat(1, 1, 3, 3)
    metric = filled(cls, Ramp(), images, target=0, radius=0.05)
    explained = Evaluation(Ramp(), images, 0).of(METHOD(Ramp(), images, 0), METHOD)
    value = metric.per_sample(explained)
    assert value[0] == 0  # zero here and at all copies
    assert value[1].isnan()  # zero here alone
    assert value[2] > 0
    assert (metric.count, metric.undefined, metric.invalid) == (2, 1, 0)
    with pytest.warns(UserWarning, match="zero everywhere, and not that of the noisy input"):
        metric.compute()


@BOTH
@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_noisy_attributions_that_are_not_finite_are_counted_as_invalid(cls, scale, cnn, batch):
    images = batch()[0]

    def method(model, inputs, target):
        found = scale * METHOD(model, inputs, target)
        if not torch.equal(inputs, images):
            found[1] = torch.nan
        return found

    metric = filled(cls, cnn(), images, method=method)
    assert (metric.count, metric.undefined, metric.invalid) == (3, 0, 1)


@BOTH
def test_settings(cls):
    assert cls(draws=4, radius=0.5, bounds=(0, 2), seed=3).protocol["bounds"] == [0, 2]
    assert cls(seed=1).protocol != cls(seed=2).protocol
    assert cls.higher_is_better is False
    with pytest.raises(ValueError, match="`draws` must be a positive integer"):
        cls(draws=0)


def test_walks_stay_inside_the_images(cnn, batch):
    """Methods that refuse images outside [0, 1] see none."""
    images = batch()[0].round()
    assert filled(MaxSensitivity, cnn(), images, method=IntegratedGradients(steps=2, baseline="black")).count == 4
    with pytest.raises(ValueError, match=r"`inputs` must be images in \[0, 1\]"):
        filled(MaxSensitivity, cnn(), images, method=IntegratedGradients(steps=2, baseline="black"), bounds=None)

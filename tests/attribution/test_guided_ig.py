"""Guided IG against PAIR's code, what its path must be, and Integrated Gradients where they coincide."""

import numpy as np
import pytest
import saliency.core
import torch
from saliency.core import guided_ig

from _reference.architectures import architecture
from _reference.nets import Function, Recorder, linear, mlp
from lit_attr.attribution import GuidedIG, IntegratedGradients
from lit_attr.objectives import logit

TARGETS = torch.tensor([2, 0, 1])


@pytest.fixture
def x():
    return torch.rand(3, 6, dtype=torch.float64)


@pytest.fixture
def pair(monkeypatch):
    """PAIR's code, sample by sample."""
    plain = np.quantile

    def quantile(values, q, interpolation):
        return plain(values, q, method=interpolation)  # the argument's name since NumPy 1.22, the only one since 2.4

    monkeypatch.setattr(guided_ig.np, "quantile", quantile)

    def masks(net, inputs, targets, baseline=None, **settings):
        def call(points, call_model_args, expected_keys):
            points = torch.from_numpy(points).requires_grad_()
            value = logit(net(points), torch.tensor([call_model_args]))
            return {saliency.core.INPUT_OUTPUT_GRADIENTS: torch.autograd.grad(value.sum(), points)[0].numpy()}

        return torch.from_numpy(
            np.stack(
                [
                    saliency.core.GuidedIG().GetMask(row.numpy(), call, int(target), x_baseline=baseline, **settings)
                    for row, target in zip(inputs, targets, strict=True)
                ]
            )
        )

    return masks


def path(settings, net, x, target=0):
    """The points at which a model is evaluated, [steps + 1, samples, features]."""
    recorder = Recorder(net)
    GuidedIG(**settings)(recorder, x, target)
    return recorder.points.view(-1, *x.shape)


@pytest.mark.parametrize("steps", [1, 7, 50])
@pytest.mark.parametrize("fraction", [0.01, 0.25, 1.0])
@pytest.mark.parametrize("max_dist", [0.0, 0.02, 0.1, 1.0])
def test_pair(steps, fraction, max_dist, pair):
    net, x, start = mlp(48, hidden=20), torch.rand(3, 48, dtype=torch.float64), torch.rand(48, dtype=torch.float64)
    x[0, :10] = start[:10]  # nothing to go
    expected = pair(net, x, TARGETS, start.numpy(), x_steps=steps, fraction=fraction, max_dist=max_dist)
    found = GuidedIG(steps=steps, fraction=fraction, max_dist=max_dist, rule="left", baseline=start)(net, x, TARGETS)
    assert expected.any()
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def test_pair_with_its_own_settings(pair):
    net, x = mlp(48, hidden=20), torch.rand(3, 48, dtype=torch.float64)
    found = GuidedIG(preset="reference")(net, x, TARGETS)
    torch.testing.assert_close(found, pair(net, x, TARGETS), rtol=1e-9, atol=1e-11)


def test_pair_on_images_through_a_network_with_zero_gradients(pair):
    """Of a ReLU network many gradients tie at zero."""
    net, images = architecture("resnet"), torch.rand(2, 3, 32, 32, dtype=torch.float64)
    images[:, :, :8] = 0
    found = GuidedIG(steps=10, rule="left")(net, images, TARGETS[:2])
    expected = pair(net, images, TARGETS[:2], x_steps=10)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9 * float(expected.abs().max()))


@pytest.mark.parametrize("rule", ["left", "trapezoid"])
def test_no_deviation_is_integrated_gradients(rule, x):
    """Check N9."""
    net = mlp()
    found = GuidedIG(steps=9, fraction=1.0, max_dist=0.0, rule=rule, baseline=0.3)(net, x, TARGETS)
    expected = IntegratedGradients(steps=9, rule=rule, baseline=0.3)(net, x, TARGETS)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", ["left", "trapezoid"])
@pytest.mark.parametrize("settings", [{"steps": 1}, {"steps": 10, "fraction": 0.1, "max_dist": 1.0}, {}], ids=str)
def test_linear_model_is_exact(rule, settings, x):
    """Check N1, for any path."""
    net = linear(bias=True)
    found = GuidedIG(rule=rule, baseline="white", **settings).explain(net, x, TARGETS)
    torch.testing.assert_close(found.attribution, net.weight[TARGETS].detach() * (x - 1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", ["left", "trapezoid"])
def test_a_saturated_feature_gets_its_change(rule):
    """Check N4 (sensitivity a), which a gradient alone fails."""
    net = Function(lambda x: 1 - (1 - x[:, 0]).relu())
    found = GuidedIG(steps=100, rule=rule)(net, torch.tensor([[2.0]], dtype=torch.float64), 1)
    assert found.item() == pytest.approx(1, abs=2.001 / 100)


@pytest.mark.parametrize(("rule", "most"), [("left", 1e-2), ("trapezoid", 1e-4)])
def test_completeness_on_a_smooth_network(rule, most):
    """Check N7."""
    net, x = mlp(features=48), torch.rand(3, 48, dtype=torch.float64)
    found = GuidedIG(steps=200, rule=rule).explain(net, x, TARGETS)
    change = (net(x) - net(0 * x)).gather(1, TARGETS[:, None])[:, 0].detach()
    torch.testing.assert_close(found.completeness_error, found.attribution.sum(1) - change)
    assert float((found.completeness_error / change).abs().max()) <= most


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_are_equally_long_and_near_the_line(dtype):
    net, x, start = mlp(48, hidden=20).to(dtype), torch.rand(3, 48, dtype=dtype), torch.rand(48, dtype=dtype)
    points = path({"steps": 10, "max_dist": 0.05, "baseline": start}, net, x).double()
    assert torch.equal(points[0], start.double().expand(3, 48))
    torch.testing.assert_close(points[-1], x.double(), rtol=0, atol=1e-15 if dtype == torch.float64 else 1e-7)
    rounding = 1e-9 if dtype == torch.float64 else 1e-6
    left = (points - x).abs().sum(2)
    expected = left[0] * torch.linspace(1, 0, 11, dtype=torch.float64)[:, None]
    torch.testing.assert_close(left, expected, rtol=0, atol=48 * rounding)
    line = torch.arange(11)[:, None, None] / 10
    off = (points - start - line * (x - start)).abs() / (x - start).abs()
    assert float(off.max()) < 0.05 + 1e3 * rounding
    assert float(off.max()) > 0.04


def test_what_matters_least_moves_first():
    """Half the features have a tenth of the gradient: they are there before the others begin."""
    weights = torch.tensor([1.0, 10.0] * 4, dtype=torch.float64)
    x = torch.full((1, 8), 0.5, dtype=torch.float64)
    points = path({"steps": 4, "max_dist": 1.0, "fraction": 0.5}, Function(lambda x: x @ weights), x, 1)[:, 0]
    small = torch.tensor([0, 0.25, 0.5, 0.5, 0.5], dtype=torch.float64)
    torch.testing.assert_close(points[:, ::2], small[:, None].expand(5, 4))
    torch.testing.assert_close(points[:, 1::2], 0.5 - small.flip(0)[:, None].expand(5, 4))


def test_float32_is_float64_but_for_rounding():
    net, x = mlp(48, hidden=20), torch.rand(3, 48, dtype=torch.float64)
    exact = GuidedIG()(net, x.float().double(), TARGETS)
    torch.testing.assert_close(GuidedIG()(net.float(), x.float(), TARGETS).double(), exact, rtol=1e-3, atol=1e-5)


def test_a_sample_at_its_baseline_gets_nothing_and_leaves_the_others_undisturbed(x):
    start = torch.zeros_like(x)
    start[1] = x[1]
    net = mlp()
    found = GuidedIG(steps=5, baseline=start).explain(net, x, TARGETS)
    assert not found.attribution[1].any()
    assert torch.equal(found.endpoint, start)
    torch.testing.assert_close(found.attribution[[0, 2]], GuidedIG(steps=5)(net, x, TARGETS)[[0, 2]])


def test_blocks_of_walks_change_nothing():
    """Of nine samples one by one, four walk at a time."""
    net, x = mlp(), torch.rand(9, 6, dtype=torch.float64)
    found, expected = (GuidedIG(steps=5, max_batch=most).explain(net, x, TARGETS.repeat(3)) for most in (1, None))
    torch.testing.assert_close(found.attribution, expected.attribution, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.completeness_error, expected.completeness_error, rtol=0, atol=1e-12)


def test_passes_and_confidence(x):
    net = mlp()
    assert GuidedIG(rule="left").passes() == (51, 50)
    assert GuidedIG().passes() == (51, 51)
    found = GuidedIG(steps=4).explain(net, x, TARGETS)
    assert found.passes == (5, 5)
    probabilities = [net(ends).softmax(1).gather(1, TARGETS[:, None])[:, 0].detach() for ends in (0 * x, x)]
    torch.testing.assert_close(found.confidence[:, [0, -1]], torch.stack(probabilities, 1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "`steps` must be a positive integer, got 0"),
        ({"fraction": 0}, r"`fraction` must be in \(0, 1\], got 0"),
        ({"fraction": 1.5}, r"`fraction` must be in \(0, 1\], got 1.5"),
        ({"max_dist": -0.1}, r"`max_dist` must be in \[0, 1\], got -0.1"),
        ({"rule": "midpoint"}, "`rule` is 'midpoint'; accepted: left, trapezoid"),
        (
            {"baseline": "blac"},
            r"`baseline` is 'blac'; accepted: black, blur, imagenet_blur, .*, white; did you mean 'black'\?",
        ),
        ({"preset": "paper"}, "`preset` is 'paper'; accepted: reference, toolkit"),
    ],
)
def test_refused_before_there_is_a_model(settings, message):
    with pytest.raises(ValueError, match=message):
        GuidedIG(**settings)

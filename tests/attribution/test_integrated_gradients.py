import itertools

import captum.attr
import numpy as np
import pytest
import saliency.core
import torch

from _reference.architectures import architecture
from _reference.nets import Function, Recorder, linear, mlp, quadratic
from lit_attr.attribution import IntegratedGradients, Saliency
from lit_attr.attribution.path import Rule, quadrature
from lit_attr.objectives import logit

RULES = Rule.__args__
TARGETS = torch.tensor([2, 0, 1])
Q = torch.tensor([[2.0, 1.0, 0.0], [1.0, -1.0, 0.5], [0.0, 0.5, 3.0]], dtype=torch.float64)
B = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


@pytest.fixture
def x():
    return torch.rand(3, 6, dtype=torch.float64)


def relative_error(found, change):
    return float((found.completeness_error / change).abs().max())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("steps", [1, 2, 50])
@pytest.mark.parametrize("baseline", [0.0, "white", "mean", torch.full((6,), 0.3)], ids=str)
def test_linear_model_is_exact(rule, steps, baseline, x):
    """Check N1, for any rule and number of steps."""
    net = linear(bias=True)
    found = IntegratedGradients(steps=steps, rule=rule, baseline=baseline).explain(net, x, TARGETS)
    expected = net.weight[TARGETS].detach() * (x - found.endpoint)
    torch.testing.assert_close(found.attribution, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("baseline", "expected"), [(0.0, 0.0), ("black", 0.0), ("white", 1.0), (0.25, 0.25), (lambda x: x * 0 + 0.5, 0.5)]
)
def test_the_end_point_is_the_baseline(baseline, expected, x):
    found = IntegratedGradients(steps=2, baseline=baseline).explain(linear(), x, 0)
    assert torch.equal(found.endpoint, torch.full_like(x, expected))


def test_a_feature_at_its_baseline_gets_nothing(x):
    baseline = x.clone()
    baseline[:, 1:] = 0
    found = IntegratedGradients(steps=3, baseline=baseline)(mlp(), x, TARGETS)
    assert not found[:, 0].any()
    assert found[:, 1:].all()


@pytest.mark.parametrize(("rule", "steps"), [("midpoint", 1), ("trapezoid", 1), ("gauss-legendre", 1), ("midpoint", 6)])
def test_quadratic_model_is_exact(rule, steps):
    """Check N3: (x - x') * (Q (x + x') / 2 + b)."""
    x, start = torch.rand(2, 3, dtype=torch.float64), torch.rand(3, dtype=torch.float64)
    found = IntegratedGradients(steps=steps, rule=rule, baseline=start)(quadratic(Q, B), x, 1)
    torch.testing.assert_close(found, (x - start) * ((x + start) / 2 @ Q + B), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("rule", "sign"), [("left", -1), ("right", 1)])
@pytest.mark.parametrize("steps", [1, 5])
def test_one_sided_rules_miss_a_quadratic_model_by_a_known_amount(rule, sign, steps):
    """Check N3: by (x - x')' Q (x - x') / 2n in the sum."""
    x, start = torch.rand(2, 3, dtype=torch.float64), torch.rand(3, dtype=torch.float64)
    found = IntegratedGradients(steps=steps, rule=rule, baseline=start).explain(quadratic(Q, B), x, 1)
    span = x - start
    expected = sign * ((span @ Q) * span).sum(1) / (2 * steps)
    torch.testing.assert_close(found.completeness_error, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_a_saturated_feature_gets_its_change(rule):
    """Check N4 (sensitivity a), which a gradient alone fails."""
    net = Function(lambda x: 1 - (1 - x[:, 0]).relu())
    found = IntegratedGradients(steps=100, rule=rule)(net, torch.tensor([[2.0]], dtype=torch.float64), 1)
    assert found.item() == pytest.approx(1, abs=2.001 / 100)  # one node may fall on the kink


@pytest.mark.parametrize(("rule", "steps", "most"), [("gauss-legendre", 25, 1e-6), ("midpoint", 50, 1e-4)])
def test_completeness_on_a_smooth_network(rule, steps, most):
    """Check N7."""
    net, x = mlp(features=48), torch.rand(3, 48, dtype=torch.float64)
    found = IntegratedGradients(steps=steps, rule=rule).explain(net, x, TARGETS)
    change = (net(x) - net(0 * x)).gather(1, TARGETS[:, None])[:, 0].detach()
    assert relative_error(found, change) <= most


@pytest.mark.parametrize(("rule", "ratio"), [("left", 2), ("right", 2), ("trapezoid", 4), ("midpoint", 4)])
def test_order_of_accuracy(rule, ratio, x):
    """Check N8: twice the steps, half or a quarter of the error."""
    net = mlp()
    errors = [
        IntegratedGradients(steps=n, rule=rule).explain(net, x[:1], 0).completeness_error.abs().item()
        for n in (5, 10, 20, 40)
    ]
    for coarse, fine in itertools.pairwise(errors):
        assert coarse / fine == pytest.approx(ratio, rel=0.1)


@pytest.mark.parametrize("rule", RULES)
def test_points_lie_on_the_segment_at_the_nodes(rule, x):
    net, start = Recorder(linear()), torch.rand(6, dtype=torch.float64)
    method = IntegratedGradients(steps=4, rule=rule, baseline=start)
    method(net, x, TARGETS)
    nodes, _ = quadrature(rule, 4)
    expected = start + nodes[None, :, None] * (x - start)[:, None]
    torch.testing.assert_close(net.points.view(3, -1, 6), expected, rtol=0, atol=1e-14)
    assert method.passes() == (len(nodes), len(nodes))


def test_confidence_along_the_path(x):
    net = mlp()
    found = IntegratedGradients(steps=4, rule="trapezoid").explain(net, x, TARGETS)
    probabilities = [net(x * a).softmax(1).gather(1, TARGETS[:, None])[:, 0] for a in (0, 0.25, 0.5, 0.75, 1)]
    torch.testing.assert_close(found.confidence, torch.stack(probabilities, 1).detach())


@pytest.mark.parametrize("name", ["resnet", "densenet", "mobilenet", "squeezenet"])
def test_captum(name):
    net, x, targets = architecture(name), torch.rand(2, 3, 32, 32, dtype=torch.float64), torch.tensor([3, 1])
    oracle = captum.attr.IntegratedGradients(net)
    expected = oracle.attribute(x, 0.5, targets, n_steps=50, method="gausslegendre", internal_batch_size=50)
    found = IntegratedGradients(steps=50, baseline=0.5)(net, x, targets)
    assert expected.any()
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5


@pytest.mark.parametrize("name", ["resnet", "squeezenet"])
def test_published_settings(name):
    """Captum's own trapezoid on the probability, whose weights sum to 0.98."""
    net, x, targets = architecture(name), torch.rand(2, 3, 32, 32, dtype=torch.float64), torch.tensor([3, 1])
    oracle = captum.attr.IntegratedGradients(lambda inputs: net(inputs).softmax(1))
    expected = oracle.attribute(x, 0.0, targets, n_steps=50, method="riemann_trapezoid", internal_batch_size=50)
    found = IntegratedGradients(preset="reference")(net, x, targets)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-6  # its nodes are in float32


@pytest.mark.parametrize(("rule", "total"), [("captum", 0.98), ("abe", 1.02)])
def test_published_rules_are_not_complete(rule, total, x):
    net = linear()
    found = IntegratedGradients(rule=rule)(net, x, TARGETS)
    torch.testing.assert_close(found, total * x * net.weight[TARGETS].detach())


def test_pair(x):
    """PAIR's own code takes the plain mean over n points from x' to x, ends included.

    With T the trapezoid of n - 1 intervals and g the gradient that is ((n - 1) T + (x - x') (g(x') + g(x)) / 2) / n.
    """
    net, n, start = mlp(), 9, torch.full((6,), 0.2, dtype=torch.float64)

    def call(points, call_model_args, expected_keys):
        points = torch.from_numpy(points).requires_grad_()
        values = logit(net(points), torch.full((len(points),), call_model_args["class"]))
        return {saliency.core.INPUT_OUTPUT_GRADIENTS: torch.autograd.grad(values.sum(), points)[0].numpy()}

    trapezoid = IntegratedGradients(steps=n - 1, rule="trapezoid", baseline=start)(net, x, TARGETS)
    ends = [Saliency(signed=True)(net, points, TARGETS) for points in (start.expand_as(x), x)]
    expected = ((n - 1) * trapezoid + (x - start) * (ends[0] + ends[1]) / 2) / n
    for row, target, mine in zip(x, TARGETS, expected, strict=True):
        oracle = saliency.core.IntegratedGradients()
        settings = {"x_steps": n, "x_baseline": start.numpy(), "batch_size": 4}
        found = oracle.GetMask(row.numpy(), call, {"class": int(target)}, **settings)
        np.testing.assert_allclose(found, mine.numpy(), rtol=1e-6)  # it computes the points in float32


def test_a_baseline_that_asks_for_gradients_gives_a_detached_attribution(x):
    baseline = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    assert not IntegratedGradients(steps=2, baseline=baseline)(linear(), x, 0).requires_grad


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "`steps` must be a positive integer, got 0"),
        ({"rule": "simpson"}, "`rule` is 'simpson'; accepted: abe, captum, gauss-legendre, left, midpoint, right"),
        (
            {"baseline": "blac"},
            r"`baseline` is 'blac'; accepted: black, blur, imagenet_blur, .*, white; did you mean 'black'\?",
        ),
    ],
)
def test_refused_before_there_is_a_model(settings, message):
    with pytest.raises(ValueError, match=message):
        IntegratedGradients(**settings)


def test_a_baseline_that_does_not_fit_is_refused(x):
    with pytest.raises(ValueError, match=r"`baseline` must be a tensor that broadcasts to \(3, 6\), got shape \(5,\)"):
        IntegratedGradients(baseline=torch.zeros(5))(linear(), x, 0)

"""Each rule against the change it has to pass on, restated plainly; weights around it make every gradient differ."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import _get_current_dispatch_mode

from lit_attr.attribution._secant import recording, rescaling

X, REFERENCE = torch.randn(2, 3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(7)) * 1.5
WEIGHT = torch.randn(6, dtype=torch.float64, generator=torch.Generator().manual_seed(8))


def multipliers(function, inputs=X, reference=REFERENCE):
    """Of a function [N, ...] -> [N]."""
    with recording() as recorded:
        function(reference.clone().requires_grad_() * 1)
    points = inputs.clone().requires_grad_()
    with rescaling(recorded) as rescaled:
        values = function(points * 1)
    rescaled.attach(values)
    return torch.autograd.grad(values.sum(), points)[0]


def weighted(function):
    """The weighted sum of the outputs."""
    return lambda x: (function(x).flatten(1) * WEIGHT[: function(x.detach()).flatten(1).shape[1]]).sum(1)


ACTIVATIONS = {
    name: getattr(F, name)
    for name in (
        *("relu", "relu6", "hardtanh", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish"),
        *("hardsigmoid", "softplus", "sigmoid", "tanh", "logsigmoid", "tanhshrink", "hardshrink", "softshrink"),
        *("rrelu", "relu_", "leaky_relu_", "elu_", "selu_", "celu_", "hardtanh_"),
    )
} | {
    "gelu of tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu6_": lambda x: F.relu6(x, inplace=True),
    "silu_": lambda x: F.silu(x, inplace=True),
    "mish_": lambda x: F.mish(x, inplace=True),
    "hardswish_": lambda x: F.hardswish(x, inplace=True),
    "threshold_": lambda x: F.threshold(x, 0.2, -1, inplace=True),
    "tanh_": torch.tanh_,
    "abs_": torch.abs_,
    "prelu": lambda x: F.prelu(x, torch.tensor([0.3], dtype=x.dtype)),
    "clamp": lambda x: x.clamp(-0.5, 0.5),
    "square": lambda x: x**2,
    "exp": torch.exp,
    "one over": lambda x: 1 / (x.exp() + 1),
    "round": torch.round,  # its derivative is zero
    "maximum": lambda x: torch.maximum(torch.full_like(x, 0.1), x),
    "where": lambda x: torch.where(x > 0, x, -2.0),
    "module": nn.ReLU(inplace=True),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_element_by_element(name):
    function = ACTIVATIONS[name]
    change = function(X.clone()) - function(REFERENCE.clone())
    found = multipliers(weighted(lambda x: function(x.clone())))
    torch.testing.assert_close(found, WEIGHT * change / (X - REFERENCE), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("part", [lambda x: x[:, 1:4], lambda x: x[:, ::2], lambda x: x.t()[2:5]], ids=range(3))
@pytest.mark.parametrize("function", [torch.relu_, F.hardtanh_, torch.tanh_])
def test_a_part_that_is_overwritten(part, function):
    def net(x):
        whole = x.clone()
        function(part(whole))
        return whole

    expected = WEIGHT * (net(X) - net(REFERENCE)) / (X - REFERENCE)
    torch.testing.assert_close(multipliers(weighted(net)), expected, rtol=1e-12, atol=1e-14)


def test_what_is_written_later_is_not_what_was_compared():
    def net(x):
        before = x * 2
        after = before.tanh()
        before.mul_(0)
        return F.gelu(after).mul_(3)

    change = net(X) - net(REFERENCE)
    torch.testing.assert_close(multipliers(weighted(net)), WEIGHT * change / (X - REFERENCE), rtol=1e-12, atol=1e-14)


def test_the_derivative_where_both_ends_are_the_same():
    expected = WEIGHT * (1 - X.tanh() ** 2)
    torch.testing.assert_close(multipliers(weighted(torch.tanh), X, X), expected)


@pytest.mark.parametrize("size", [1e-9, 1e-3, 1, 1e3])
@pytest.mark.parametrize("distance", [1e-12, 1e-7, 1e-6, 1e-5, 1e-3])
def test_rounding_does_not_decide(size, distance):
    """A secant of neighbours in float32 would be noise; whatever the scale."""
    inputs = (X * size).float()
    reference = (inputs.double() * (1 + distance)).float()

    def net(x):
        return ((x / size).sin() * size * WEIGHT.to(x)).sum(1)

    exact = WEIGHT * (X.float().double()).cos()
    torch.testing.assert_close(multipliers(net, inputs, reference).double(), exact, rtol=2e-3, atol=2e-3)


def windows(shape, kernel, stride, padding):
    """The places of each window, by the definition."""
    starts = [range(-padding, size + padding - kernel + 1, stride) for size in shape]
    for corner in itertools.product(*starts):
        places = itertools.product(*(range(start, start + kernel) for start in corner))
        yield [p for p in places if all(0 <= at < size for at, size in zip(p, shape, strict=True))]


def pooled(inputs, reference, weights, settings):
    """Contributions of one channel: window by window, the change goes to the place of the larger end."""
    given = torch.zeros_like(inputs)
    for places, weight in zip(windows(inputs.shape, *settings), weights, strict=True):
        here, there = max(places, key=lambda p: inputs[p]), max(places, key=lambda p: reference[p])
        change = inputs[here] - reference[there]
        given[here if change >= 0 else there] += weight * change
    return given


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("settings", [(2, 2, 0), (3, 2, 1), (3, 1, 1)], ids=str)
def test_max_pooling(axes, settings):
    shape = (2, 2, *(6, 5, 4)[:axes])
    inputs, reference = torch.randn(2, *shape, dtype=torch.float64)
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[axes - 1]
    weights = torch.randn(pool(inputs, *settings).shape, dtype=torch.float64)
    found = multipliers(lambda x: (pool(x, *settings) * weights).flatten(1).sum(1), inputs, reference)
    for i, j in itertools.product(range(2), range(2)):
        expected = pooled(inputs[i, j], reference[i, j], weights[i, j].flatten(), settings)
        torch.testing.assert_close((found * (inputs - reference))[i, j], expected, rtol=0, atol=1e-13)


WHOLE = {
    "adaptive 1d": lambda x: F.adaptive_max_pool1d(x[:, None], 1).flatten(),
    "adaptive 2d": lambda x: F.adaptive_max_pool2d(x.view(-1, 1, 2, 3), 1).flatten(),
    "adaptive 3d": lambda x: F.adaptive_max_pool3d(x.view(-1, 1, 2, 3, 1), 1).flatten(),
    "amax": lambda x: x.amax(1),
    "amax of axes": lambda x: x.view(-1, 2, 3).amax((1, 2), keepdim=True).flatten(),
    "max": lambda x: x.max(1)[0],
    "max, kept": lambda x: x.max(1, keepdim=True).values[:, 0],
}


@pytest.mark.parametrize("name", WHOLE)
def test_the_largest_of_all(name):
    found = multipliers(lambda x: 2 * WHOLE[name](x)) * (X - REFERENCE)
    for i in range(len(X)):
        expected = pooled(X[i], REFERENCE[i], [2], (6, 1, 0))
        torch.testing.assert_close(found[i], expected, rtol=0, atol=1e-14)


def test_equal_largest_ones_share():
    inputs, reference = torch.tensor([[1.0, 1, 1, 0]]).double(), torch.zeros(1, 4).double()
    found = multipliers(lambda x: x.amax(1), inputs, reference)
    torch.testing.assert_close(found[0, :3], torch.ones(3).double() / 3, rtol=0, atol=1e-15)


@pytest.mark.parametrize("function", [F.softmax, F.log_softmax])
def test_softmax(function):
    found = multipliers(weighted(lambda x: function(x, 1)))
    ends = X - X.mean(1, keepdim=True), REFERENCE - REFERENCE.mean(1, keepdim=True)
    slope = WEIGHT * (function(X, 1) - function(REFERENCE, 1)) / (ends[0] - ends[1])
    torch.testing.assert_close(found, slope - slope.mean(1, keepdim=True))
    change = ((function(X, 1) - function(REFERENCE, 1)) * WEIGHT).sum(1)
    torch.testing.assert_close((found * (X - REFERENCE)).sum(1), change)


def test_masked_logits_take_the_derivative():
    """A secant between two infinities is none."""

    def net(x):
        return (x.masked_fill(torch.arange(6) > 3, -torch.inf).softmax(1) * WEIGHT).sum(1)

    points = X.clone().requires_grad_()
    (expected,) = torch.autograd.grad(net(points).sum(), points)
    torch.testing.assert_close(multipliers(net), expected)


def test_steps_that_do_not_count_get_in_nobodys_way():
    """Results that are thrown away, comparisons, and what is computed without gradients."""

    def net(x):
        x.sigmoid()
        mask = (x > 0).any(1, keepdim=True)
        with torch.no_grad():
            scale = x.relu().amax() * 0 + mask + 1
        return torch.tanh(x * 1) + 0 * scale

    change = X.tanh() - REFERENCE.tanh()
    torch.testing.assert_close(multipliers(weighted(net)), WEIGHT * change / (X - REFERENCE), rtol=1e-12, atol=1e-14)


def test_products_keep_their_derivative():
    torch.testing.assert_close(multipliers(weighted(lambda x: x * x)), WEIGHT * 2 * X)


def test_half_precision_compares_in_float32():
    inputs, reference = torch.full((1, 6), 3.0).bfloat16(), torch.full((1, 6), -1.0).bfloat16()
    found = multipliers(lambda x: (x.relu() * WEIGHT.to(x)).sum(1), inputs, reference)
    torch.testing.assert_close(found, (WEIGHT.bfloat16() * 0.75)[None])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x.relu() if x.sum() > 0 else x.tanh(), r"aten.relu.default of \[1, 6\] at the input, aten.tanh"),
        (lambda x: x.relu() if x.sum() > 0 else x, "aten.relu.* at the input, nothing at the baseline"),
        (lambda x: x if x.sum() > 0 else x.tanh(), "nothing at the input, aten.tanh.* at the baseline"),
        (lambda x: x[:, x[0] > 0].relu(), r"relu.default of \[1, 6\] at the input, aten.relu.default of \[1, 0\]"),
    ],
)
def test_a_model_that_goes_another_way_is_refused(function, message):
    ends = torch.ones(1, 6), -torch.ones(1, 6)
    with pytest.raises(ValueError, match="this model chooses its steps by what it is given: .*" + message):
        multipliers(lambda x: function(x).sum(1), *ends)


def test_nothing_watches_after_an_exception():
    def fail():
        with recording() as recorded, rescaling(recorded):
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert _get_current_dispatch_mode() is None

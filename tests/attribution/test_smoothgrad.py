import math

import captum.attr
import pytest
import torch

from _reference.architectures import architecture
from _reference.nets import Recorder, linear, mlp, quadratic
from lit_attr.attribution import Saliency, SmoothGrad

Q = torch.tensor([[2.0, 1.0, 0.0], [1.0, -1.0, 0.5], [0.0, 0.5, 3.0]], dtype=torch.float64)
B = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
X = torch.tensor([[0.1, 0.5, 0.9], [1.0, 0.0, 0.3]], dtype=torch.float64)


def evaluated(settings, inputs=X):
    """The points at which a model is evaluated, [samples of the batch, noisy copies, features]."""
    net = Recorder(quadratic(Q, B))
    SmoothGrad(**settings)(net, inputs, 1)
    return net.points.view(len(inputs), -1, inputs.shape[1])


def test_noise_has_the_mean_and_the_spread_it_should_have():
    inputs, n, sigma = torch.rand(2, 50, dtype=torch.float64), 400, 0.2
    net = Recorder(linear(50))
    SmoothGrad(samples=n, sigma=sigma)(net, inputs, 1)
    noise = net.points.view(2, n, 50) - inputs[:, None]
    count = n * 50
    assert abs(float(noise[0].mean())) < 4 * sigma / math.sqrt(count)
    assert float(noise[0].std()) == pytest.approx(sigma, abs=4 * sigma / math.sqrt(2 * count))
    within = float((noise[0].abs() < sigma).double().mean())
    assert within == pytest.approx(math.erf(2**-0.5), abs=4 * math.sqrt(0.68 * 0.32 / count))  # normal, not uniform


def test_number_of_copies():
    assert evaluated({"samples": 7}).shape == (2, 7, 3)


def test_every_sample_gets_the_same_draws():
    points = evaluated({"samples": 7})
    torch.testing.assert_close(points[0] - X[0], points[1] - X[1], rtol=0, atol=1e-15)


def test_copies_are_not_clamped():
    points = evaluated({"samples": 20, "sigma": 0.5})
    assert float(points.min()) < 0
    assert float(points.max()) > 1


def test_the_seed_decides_and_nothing_else():
    first = evaluated({"samples": 3, "seed": 1})
    torch.manual_seed(99)
    assert torch.equal(evaluated({"samples": 3, "seed": 1}), first)
    assert not torch.equal(evaluated({"samples": 3, "seed": 2}), first)


def test_a_small_variance_is_not_lost_to_rounding():
    # f = 1000 x + x^2: the gradients 1000 + 2 (x + e) have a variance of 4e-6 about a mean whose square is 1e6.
    class Steep(torch.nn.Module):
        def forward(self, x):
            return torch.stack([x * 0, 1000 * x + x**2], dim=1)[..., 0]

    settings = {"samples": 200, "sigma": 1e-3, "statistic": "variance"}
    exact = SmoothGrad(**settings)(Steep(), torch.full((1, 1), 0.5, dtype=torch.float64), 1)
    found = SmoothGrad(**settings)(Steep(), torch.full((1, 1), 0.5), 1)
    assert found.dtype == torch.float32
    assert float(found) == pytest.approx(float(exact), rel=0.05)


def test_no_noise_is_the_gradient():
    net, x = mlp(), torch.rand(2, 6, dtype=torch.float64)
    found = SmoothGrad(samples=2, sigma=0)(net, x, 0)
    torch.testing.assert_close(found, Saliency(signed=True)(net, x, 0))
    squares = SmoothGrad(samples=2, sigma=0, statistic="square")(net, x, 0)
    torch.testing.assert_close(squares, found**2)


def test_linear_model_is_exact_for_any_noise():
    net, x = linear(), torch.rand(2, 6, dtype=torch.float64)
    found = SmoothGrad(samples=3, sigma=5)(net, x, 1)
    torch.testing.assert_close(found, net.weight[1].detach().expand(2, 6), rtol=0, atol=1e-14)


STATISTICS = {
    "mean": lambda g: g.mean(1),
    "square": lambda g: (g**2).mean(1),
    "variance": lambda g: g.var(1, correction=0),
}


@pytest.mark.parametrize("statistic", STATISTICS)
def test_quadratic_model(statistic):
    """The gradient Q p + b at each recorded point p, and the statistic of those."""
    net = Recorder(quadratic(Q, B))
    found = SmoothGrad(samples=9, statistic=statistic)(net, X, 1)
    gradients = net.points.view(2, 9, 3) @ Q + B
    torch.testing.assert_close(found, STATISTICS[statistic](gradients), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["resnet", "squeezenet"])
@pytest.mark.parametrize(
    ("statistic", "kind"), [("mean", "smoothgrad"), ("square", "smoothgrad_sq"), ("variance", "vargrad")]
)
def test_captum(name, statistic, kind, monkeypatch):
    """On the same noise."""
    net, x = architecture(name), torch.rand(2, 3, 32, 32, dtype=torch.float64)
    watched, targets = Recorder(net), torch.tensor([3, 1])
    found = SmoothGrad(samples=4, statistic=statistic)(watched, x, targets)
    noise = (watched.points.view(2, 4, *x.shape[1:]) - x[:, None]).flatten(0, 1)
    monkeypatch.setattr(torch, "normal", lambda mean, deviation: mean + noise)
    oracle = captum.attr.NoiseTunnel(captum.attr.Saliency(net))
    expected = oracle.attribute(x, nt_type=kind, nt_samples=4, target=targets, abs=False)
    assert expected.any()
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-12 * float(expected.abs().max()))


def test_mean_converges_to_the_gradient_of_a_quadratic_model():
    """Check N1 of the expectation: Q x + b, with an error of sigma |Q| / sqrt(n)."""
    n, sigma = 2000, 0.3
    found = SmoothGrad(samples=n, sigma=sigma)(quadratic(Q, B), X, 1)
    error = sigma * Q.norm(dim=1) / math.sqrt(n)
    assert bool(((found - (X @ Q + B)).abs() < 4 * error).all())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 0}, "`samples` must be a positive integer, got 0"),
        ({"sigma": -0.1}, r"`sigma` must be a number of at least 0, got -0\.1"),
        ({"statistic": "var"}, "`statistic` is 'var'; accepted: mean, square, variance"),
    ],
)
def test_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SmoothGrad(**settings)

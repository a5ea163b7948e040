import pickle

import captum.attr
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from _reference.nets import Bag, Recorder, cnn, linear, mlp, quadratic
from lit_attr.attribution import ExpectedGradients, IntegratedGradients

TARGETS = torch.tensor([2, 0, 1])
Q = torch.tensor([[2.0, 1.0, 0.0], [1.0, -1.0, 0.5], [0.0, 0.5, 3.0]], dtype=torch.float64)
B = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


@pytest.fixture
def x():
    return torch.rand(3, 6, dtype=torch.float64)


@pytest.fixture
def data():
    return torch.randn(8, 6, dtype=torch.float64)


def drawn(points, x, references):
    """Which reference each point of one sample comes from, and where on its line it is, found by projection."""
    way = x - references
    share = ((points[:, None] - references) * way).sum(2) / (way**2).sum(1)
    distance = (references + share[..., None] * way - points[:, None]).norm(dim=2)
    index = distance.argmin(1)
    assert float(distance.gather(1, index[:, None]).max()) < 1e-9
    return index, share.gather(1, index[:, None])[:, 0]


@pytest.mark.parametrize("rounds", [1, 3])
def test_linear_model_is_exact(rounds, x, data):
    """Check N1: w * (x - the mean reference), where each is drawn equally often."""
    net = linear(bias=True)
    found = ExpectedGradients(samples=8 * rounds, references=data)(net, x, TARGETS)
    expected = net.weight[TARGETS].detach() * (x - data.mean(0))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("samples", [5, 8, 21])
def test_points(samples, x, data):
    """One in each part of (0, 1), references without replacement, the same for every sample."""
    net = Recorder(linear())
    ExpectedGradients(samples=samples, references=data)(net, x, TARGETS)
    found = [drawn(points, row, data) for points, row in zip(net.points.view(3, samples, 6), x, strict=True)]
    index, share = found[0]
    assert torch.equal((share * samples).floor(), torch.arange(samples, dtype=torch.float64))
    assert float((share * samples).frac().std()) > 0.1
    counts = index.bincount(minlength=8)
    assert int(counts.max()) - int(counts.min()) <= 1
    assert not torch.equal(index, index.sort().values)
    for other_index, other_share in found[1:]:
        assert torch.equal(other_index, index)
        torch.testing.assert_close(other_share, share)


def test_quadratic_model():
    """The gradient Q p + b at each recorded point p, times its own way."""
    x, data = torch.rand(2, 3, dtype=torch.float64), torch.rand(4, 3, dtype=torch.float64)
    net = Recorder(quadratic(Q, B))
    found = ExpectedGradients(samples=9, references=data, max_batch=5)(net, x, 1)
    for points, row, mine in zip(net.points.view(2, 9, 3), x, found, strict=True):
        index, _ = drawn(points, row, data)
        expected = ((row - data[index]) * (points @ Q + B)).mean(0)
        torch.testing.assert_close(mine, expected, rtol=1e-10, atol=1e-12)


def test_captum(x, data, monkeypatch):
    """Its GradientShap without noise, at the points that were drawn."""
    net = Recorder(mlp())
    found = ExpectedGradients(samples=9, references=data)(net, x, TARGETS)
    oracle = captum.attr.GradientShap(net.model)
    for points, row, target, mine in zip(net.points.view(3, 9, 6), x, TARGETS, found, strict=True):
        index, share = drawn(points, row, data)
        monkeypatch.setattr(np.random, "choice", lambda *_, index=index: index.numpy())
        monkeypatch.setattr(np.random, "uniform", lambda *_, share=share: share.numpy())
        expected = oracle.attribute(row[None], data, n_samples=9, stdevs=0.0, target=int(target))
        torch.testing.assert_close(mine, expected[0], rtol=1e-9, atol=1e-12)


def test_completeness_in_expectation(x):
    """f(x) minus the mean of f over the references, within four standard errors over independent seeds."""
    net, data, seeds = mlp(), 2 * torch.randn(30, 6, dtype=torch.float64), 100
    draws = [ExpectedGradients(samples=10, references=data, seed=s)(net, x, TARGETS).sum(1) for s in range(seeds)]
    sums = torch.stack(draws)
    logits, background = net(x).detach(), net(data).detach()
    expected = logits.gather(1, TARGETS[:, None])[:, 0] - background.mean(0)[TARGETS]
    assert bool(((sums.mean(0) - expected).abs() < 4 * sums.std(0) / seeds**0.5).all())


def test_parts_lower_the_variance(x):
    net, data, seeds = mlp(), torch.zeros(1, 6, dtype=torch.float64), 40

    def spread(samples):
        draws = [ExpectedGradients(samples=samples, references=data, seed=s)(net, 3 * x, 0) for s in range(seeds)]
        return torch.stack(draws).std(0).mean()

    assert spread(16) < spread(1) / 16**0.5 / 2


def test_one_reference_is_integrated_gradients(x):
    """Check N9."""
    net, start = mlp(), torch.rand(1, 6, dtype=torch.float64)
    found = ExpectedGradients(samples=200, references=start)(net, x, TARGETS)
    expected = IntegratedGradients(steps=200, rule="midpoint", baseline=start)(net, x, TARGETS)
    assert float((found - expected).abs().max() / expected.abs().max()) <= 1e-3


def test_a_sample_is_no_reference_of_its_own(x):
    net, other = linear(), torch.rand(1, 6, dtype=torch.float64)
    data = torch.cat([x[1:2], other])
    found = ExpectedGradients(samples=4, references=data)(net, x, TARGETS)
    weights = net.weight[TARGETS].detach()
    torch.testing.assert_close(found[1], weights[1] * (x[1] - other[0]), rtol=0, atol=1e-12)
    torch.testing.assert_close(found[0], weights[0] * (x[0] - data.mean(0)), rtol=0, atol=1e-12)
    assert not ExpectedGradients(samples=4, references=x[:1])(net, x[:1], 0).any()  # nothing is left


def test_noise_is_the_background_where_there_is_no_data():
    images, net = torch.zeros(2, 3, 8, 8, dtype=torch.float64), Recorder(cnn())
    found = ExpectedGradients(samples=400)(net, images, 1)
    assert found.shape == images.shape
    points = net.points.view(2, 400, 3, 8, 8)
    assert torch.equal(points[0], points[1])
    upper = (torch.arange(400) + 1) / 400
    noise = points[0, 200:] / (1 - upper[200:] + 0.5 / 400).view(-1, 1, 1, 1)  # the way that is left to black
    noise = noise[:150]  # where a_s is known well enough
    assert 0 <= float(noise.min()) < 0.01
    assert 0.98 < float(noise.max()) < 1.02
    assert float(noise.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(noise.std()) == pytest.approx(12**-0.5, abs=0.01)
    assert not torch.allclose(noise[0], noise[1], atol=0.1)


@pytest.mark.parametrize("max_batch", [1, 3])
def test_noise_depends_on_neither_the_batch_nor_the_chunks(max_batch):
    images, net = torch.rand(3, 3, 8, 8, dtype=torch.float64), cnn()
    expected = ExpectedGradients(samples=6)(net, images, TARGETS)
    found = ExpectedGradients(samples=6, max_batch=max_batch)(net, images[1:], TARGETS[1:])
    torch.testing.assert_close(found, expected[1:], rtol=1e-9, atol=1e-12)


def test_noise_is_for_images_only():
    with pytest.raises(ValueError, match=r"`inputs` must be images in \[0, 1\], got \[.*give `references` as a tensor"):
        ExpectedGradients()(linear(), torch.randn(3, 6, dtype=torch.float64), TARGETS)


def test_text(x):
    """Embeddings `[B, T, E]`; a token that the model ignores gets nothing."""
    embeddings, data = torch.randn(3, 5, 6, dtype=torch.float64), torch.randn(4, 5, 6, dtype=torch.float64)
    found = ExpectedGradients(samples=4, references=data)(Bag(6, ignored=[1]), embeddings, TARGETS)
    assert found.shape == embeddings.shape
    assert not found[:, 1].any()
    assert found[:, 0].all()


def test_references_by_file_and_by_function(x, data, tmp_path):
    net = mlp()
    expected = ExpectedGradients(samples=5, references=data)(net, x, TARGETS)
    save_file({"references": data}, path := tmp_path / "data.safetensors")
    for references in (path, str(path), lambda shape: data.view(-1, *shape), data.clone().requires_grad_()):
        found = ExpectedGradients(samples=5, references=references)(net, x, TARGETS)
        assert torch.equal(found, expected)
        assert not found.requires_grad


def test_the_seed_decides_and_nothing_else(x, data):
    net = mlp()
    first = ExpectedGradients(samples=3, references=data, seed=1)(net, x, TARGETS)
    torch.manual_seed(99)
    assert torch.equal(ExpectedGradients(samples=3, references=data, seed=1)(net, x, TARGETS), first)
    assert not torch.allclose(ExpectedGradients(samples=3, references=data, seed=2)(net, x, TARGETS), first)


def test_settings_with_a_tensor_are_plain(data):
    method = ExpectedGradients(references=data)
    twin = pickle.loads(pickle.dumps(method))
    assert method == ExpectedGradients(references=data)
    assert method == twin
    assert hash(method) == hash(twin)
    assert {method: 1}[twin] == 1
    others = [data + 1, data[:4], "uniform", lambda shape: data]
    assert all(method != ExpectedGradients(references=other) for other in others)
    assert method != ExpectedGradients(references=data, seed=1)
    assert method != IntegratedGradients(baseline=0.0)
    assert repr(method).startswith("ExpectedGradients(")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 0}, "`samples` must be a positive integer, got 0"),
        ({"references": "unifrom"}, "`references` must be 'uniform', a tensor, a function, or an existing file"),
        ({"references": torch.ones(4, 6, dtype=torch.uint8)}, r"`references` must be a floating tensor"),
        ({"references": torch.full((4, 6), torch.nan)}, "`references` must be finite, got NaN"),
    ],
)
def test_refused_before_there_is_a_model(settings, message):
    with pytest.raises(ValueError, match=message):
        ExpectedGradients(**settings)


@pytest.mark.parametrize("shape", [(4, 5), (4, 1, 6), (0, 6), (6,)])
def test_references_that_do_not_fit_are_refused(shape, x):
    method = ExpectedGradients(references=lambda _: torch.zeros(shape))
    with pytest.raises(ValueError, match=r"`references` must be samples \[R, 6\], got shape"):
        method(linear(), x, 0)


@pytest.mark.parametrize("tensors", [2, 0])
def test_a_file_holds_one_tensor(tensors, x, tmp_path):
    path = tmp_path / "data.safetensors"
    save_file({str(i): torch.zeros(4, 6) for i in range(tensors)}, path)
    if not tensors:
        path.write_text("not a file of tensors")
    with pytest.raises(ValueError, match="`references` must be a safetensors file with one tensor"):
        ExpectedGradients(references=path)(linear(), x, 0)

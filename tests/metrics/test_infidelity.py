"""Infidelity: closed forms, a slow loop, Captum, and what its perturbations are."""

import math

import captum.metrics
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lit_attr.metrics import Infidelity
from lit_attr.metrics._evaluation import Evaluation
from lit_attr.metrics.functional import infidelity

KINDS = {"abe": None, "yeh": None, "gaussian": 0.2, "square": 3, "subset": 0.3}


def draws(metric, count, images):
    """What perturbations keep and what they add, `[K, ...]`."""
    return [torch.stack(parts) for parts in zip(*(metric._draw(k, images) for k in range(count)), strict=True)]


def drawn(metric, images):
    """The perturbations I, `[K, B, ...]`."""
    keep, add = draws(metric, metric._samples, images)
    return images - (keep[:, None] * images + add[:, None])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("relative", [False, True])
def test_equals_a_slow_loop(kind, relative, cnn, batch):
    images, attribution = batch()
    model, metric = cnn(), Infidelity(kind, KINDS[kind], 12, relative)
    found = metric.per_sample(Evaluation(model, images, 2).of(attribution))
    changes = drawn(metric, images)
    for i in range(len(images)):
        d, a = [], []
        for k in range(12):
            with torch.no_grad():
                d.append(float(model(images[i : i + 1])[0, 2] - model(images[i : i + 1] - changes[k, i])[0, 2]))
            a.append(float((changes[k, i] * attribution[i]).sum()))
        beta = sum(p * q for p, q in zip(a, d, strict=True)) / sum(p * p for p in a)
        expected = sum((q - beta * p) ** 2 for p, q in zip(a, d, strict=True)) / 12
        if relative:
            expected /= sum(q * q for q in d) / 12
        assert float(found[i]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_equals_captum_on_the_same_perturbations(kind, cnn, batch):
    images, attribution = batch()
    model, metric = cnn(), Infidelity(kind, KINDS[kind], 10)

    def perturb(repeated):  # each sample K times in a row
        changes = drawn(metric, images).transpose(0, 1).flatten(0, 1)
        return changes, repeated - changes

    expected = captum.metrics.infidelity(
        model, perturb, images, attribution, target=1, n_perturb_samples=10, normalize=True
    )
    found = metric.per_sample(Evaluation(model, images, 1).of(attribution))
    torch.testing.assert_close(found, expected.detach(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 5, 4)])
def test_of_the_gradient_of_an_additive_model_is_zero(kind, shape):
    model = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 3, dtype=torch.float64))
    images, weights = torch.rand(2, *shape, dtype=torch.float64), model[1].weight[1].detach().view(1, *shape)
    for scale in (1, -1e-12, 1e9):
        found = infidelity(model, images, 1, (scale * weights).expand_as(images), kind, KINDS[kind], 9)
        assert float(found.max()) < 1e-25


@given(scale=st.floats(1e-30, 1e30), sign=st.sampled_from([1, -1]), seed=st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_does_not_depend_on_the_scale_of_the_attribution(scale, sign, seed):
    torch.manual_seed(seed)
    model, images, attribution = nn.Linear(12, 3), torch.rand(2, 12), torch.randn(2, 12)
    given = (model, images, None)
    expected = infidelity(*given, attribution, samples=20, relative=True)
    found = infidelity(*given, attribution * scale * sign, samples=20, relative=True)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert bool(((found >= 0) & (found <= 1)).all())


def test_without_an_attribution_nothing_is_explained(cnn, batch):
    images, _ = batch()
    zero = torch.zeros(4, 6, 6, dtype=torch.float64)
    assert torch.equal(infidelity(cnn(), images, 1, zero, samples=5, relative=True), torch.ones(4, dtype=torch.float64))
    metric, evaluation = Infidelity(samples=5), Evaluation(cnn(), images, 1)
    expected = metric._differences(evaluation).square().mean(1)
    torch.testing.assert_close(metric.per_sample(evaluation.of(zero)), expected)


def test_a_model_that_ignores_its_input_has_no_relative_infidelity(batch):
    class Constant(nn.Module):
        def forward(self, inputs):
            return torch.full((len(inputs), 3), 7.0, dtype=inputs.dtype)

    images, attribution = batch()
    assert torch.equal(infidelity(Constant(), images, 0, attribution, samples=4), torch.zeros(4, dtype=torch.float64))
    metric = Infidelity(samples=4, relative=True)
    metric.update(Constant(), images, 0, attribution)
    assert (metric.count, metric.undefined, metric.invalid) == (0, 4, 0)
    with pytest.warns(UserWarning, match="infidelity leaves out samples without a value: no perturbation changes"):
        assert metric.compute().isnan()


def test_noisy_black_replaces_a_third_of_the_scalars_or_all(batch):
    images = torch.ones(1, 3, 40, 40)
    for kind, count in (("abe", 1600), ("yeh", 4800)):
        keep, add = draws(Infidelity(kind), 100, images)
        assert torch.equal((keep == 0).flatten(1).sum(1), torch.full((100,), count))
        assert bool((add[keep == 1] == 0).all())
        values = add[keep == 0]
        assert 0.49 < float((values == 0).float().mean()) < 0.51  # half of the normal numbers are positive
        assert 0 <= float(values.min()) <= float(values.max()) <= 1
        assert float(values[values > 0].mean()) == pytest.approx(0.2 * (2 / math.pi) ** 0.5, rel=0.01)
        changed = (keep == 0).float().mean(0)  # each scalar as often as another
        assert bool(((changed - count / 4800).abs() < 0.25).all())


def test_gaussian_noise_has_the_deviation_and_is_not_clipped():
    keep, add = draws(Infidelity("gaussian", 0.3), 50, torch.rand(1, 3, 20, 20))
    assert bool((keep == 1).all())
    assert float(add.std()) == pytest.approx(0.3, rel=0.02)
    assert float(add.mean()) == pytest.approx(0, abs=0.01)


def test_squares_are_all_equally_likely():
    keep, add = draws(Infidelity("square", 2), 4000, torch.rand(1, 2, 3, 3))
    assert bool((add == 0).all())
    assert torch.equal(keep[:, 0], keep[:, 1])
    found, counts = keep[:, 0].flatten(1).unique(dim=0, return_counts=True)
    assert len(found) == 9 + 4  # 3 x 3 of one pixel, 2 x 2 of four
    assert sorted((found == 0).sum(1).tolist()) == [1] * 9 + [4] * 4
    expected = 4000 / 13
    assert bool(((counts - expected).abs() < 5 * expected**0.5).all())


def test_a_square_larger_than_the_image_is_cut_to_it():
    keep, _ = draws(Infidelity("square", 50), 300, torch.rand(1, 1, 2, 5))
    assert set((keep == 0).flatten(1).sum(1).tolist()) == {1, 4}


def test_subset_is_zero_where_chosen():
    keep, add = draws(Infidelity("subset", 0.25), 30, torch.rand(1, 2, 4, 4))
    assert bool((add == 0).all())
    assert torch.equal((keep == 0).flatten(1).sum(1), torch.full((30,), 8))
    assert (draws(Infidelity("subset", 1e-6), 1, torch.rand(1, 5))[0] == 0).sum() == 1


@pytest.mark.parametrize("max_batch", [1, 3, 1000])
def test_chunks_and_company_change_nothing(max_batch, cnn, counting, batch):
    images, attribution = batch()
    expected = infidelity(cnn(), images, 1, attribution, samples=7)
    model = counting(cnn())
    found = infidelity(model, images, 1, attribution, samples=7, max_batch=max_batch)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=0)
    assert model.largest == max(4, min(max_batch, 4 * 7))  # the clean pass is one batch
    assert model.samples == 4 * Infidelity(samples=7).passes.forward
    alone = infidelity(cnn(), images[2:3], 1, attribution[2:3], samples=7)
    torch.testing.assert_close(alone, expected[2:3], rtol=1e-11, atol=0)


def test_other_attributions_and_the_relative_value_cost_no_pass(cnn, counting, batch):
    images, attribution = batch()
    model = counting(cnn())
    evaluation = Evaluation(model, images, 1)
    for other in (attribution, -attribution, attribution.square()):
        for relative in (False, True):
            Infidelity(samples=7, relative=relative).update(model, images, 1, other, evaluation)
    assert model.samples == 4 * 8


def test_a_map_without_channels_counts_for_each(cnn, batch):
    images, attribution = batch()
    flat = attribution.sum(1)
    full = flat[:, None].expand_as(images)
    found = infidelity(cnn(), images, 1, flat, samples=6)
    torch.testing.assert_close(found, infidelity(cnn(), images, 1, full, samples=6))


@pytest.mark.parametrize("shape", [(2, 6), (2, 5, 3)])
@pytest.mark.parametrize("kind", ["abe", "yeh", "gaussian", "subset"])
def test_other_inputs(kind, shape):
    model = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape[1:]), 3))
    assert infidelity(model, torch.rand(shape), None, torch.randn(shape), kind, samples=4).isfinite().all()


def test_a_sample_that_is_not_finite_is_counted(cnn, batch):
    images, attribution = batch()
    attribution[1, 0, 0, 0] = torch.nan
    attribution[2, 0, 0, 0] = torch.inf
    metric = Infidelity(samples=4)
    metric.update(cnn(), images, 1, attribution)
    assert (metric.count, metric.invalid, metric.undefined) == (2, 2, 0)


def test_protocol_tells_settings_apart():
    metrics = [Infidelity(kind, amount) for kind, amount in KINDS.items()]
    metrics += [Infidelity(relative=True), Infidelity(samples=9), Infidelity(seed=1), Infidelity("abe", 0.5)]
    assert len({repr(metric.protocol) for metric in metrics}) == len(metrics)
    assert Infidelity("square", 3).protocol["amount"] == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"perturbation": "squares"}, r"`perturbation` is 'squares'.*did you mean 'square'"),
        ({"samples": 0}, "`samples` must be a positive integer, got 0"),
        ({"perturbation": "abe", "amount": 1.5}, r"`amount` must be in \(0, 1\], got 1.5"),
        ({"perturbation": "subset", "amount": 0.0}, r"`amount` must be in \(0, 1\], got 0.0"),
        ({"perturbation": "square", "amount": 2.5}, "`amount` must be a positive integer, got 2.5"),
        ({"perturbation": "gaussian", "amount": -1.0}, "`amount` must be a positive number, got -1.0"),
        ({"perturbation": "gaussian", "amount": "0.1"}, r"`amount` must be a positive number, got 0\.1"),
        ({"max_batch": 0}, "`max_batch` must be a positive integer"),
    ],
)
def test_settings_are_checked(given, message):
    with pytest.raises(ValueError, match=message):
        Infidelity(**given)


def test_inputs_are_checked(cnn, batch):
    images, attribution = batch()
    with pytest.raises(ValueError, match=r"`inputs` must be images in \[0, 1\].*take another perturbation"):
        infidelity(cnn(), images * 3, 1, attribution, samples=2)
    with pytest.raises(ValueError, match=r"`inputs` must be images \[B, C, H, W\] for squares, got \[B, 6\]"):
        infidelity(nn.Linear(6, 2), torch.rand(2, 6), 1, torch.rand(2, 6), "square", samples=2)


def test_perturbed_inputs_keep_the_memory_format(cnn, batch):
    class Watching(nn.Module):
        def __init__(self):
            super().__init__()
            self.model, self.formats = cnn(), []

        def forward(self, inputs):
            self.formats.append(inputs.is_contiguous(memory_format=torch.channels_last))
            return self.model(inputs)

    images, attribution = batch()
    model = Watching()
    found = infidelity(model, images.to(memory_format=torch.channels_last), 1, attribution, samples=5)
    assert all(model.formats)
    torch.testing.assert_close(found, infidelity(cnn(), images, 1, attribution, samples=5))

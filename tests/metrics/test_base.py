"""What all metrics have in common: sums and counts, and no trace of the model."""

import pickle
import random

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics import MetricCollection

from lit_attr._view import Passes
from lit_attr.attribution import Explanation
from lit_attr.metrics import METRICS, AttributionMetric, Deletion, Evaluation, Gap, Insertion, _precision, available
from lit_attr.metrics._base import Reading

NAMES = ["deletion", "gap", "insertion"]


def small(name):
    return METRICS.build(name, {"steps": 6})


def test_available():
    assert available() == METRICS.names()
    assert set(NAMES) < set(available())


def test_builds_from_plain_settings():
    built = METRICS.build_all({"insertion": {"steps": 32}, "white": {"class": "gap", "fill": "white"}})
    assert isinstance(built["insertion"], Insertion)
    assert built["insertion"].protocol["steps"] == 32
    assert built["white"].protocol["metric"] == "gap"


def test_unknown_names_and_settings():
    with pytest.raises(ValueError, match=r"unknown metric 'insertoin'; accepted: .*did you mean 'insertion'"):
        METRICS.build("insertoin")
    with pytest.raises(ValueError, match=r"metric 'gap' has no setting 'step'.*did you mean 'steps'"):
        METRICS.build("gap", {"step": 3})


@pytest.mark.parametrize("name", NAMES)
def test_flags(name):
    cls = METRICS.get(name)
    assert cls.full_state_update is False
    assert cls.is_differentiable is False
    assert cls.higher_is_better is (name != "deletion")
    assert len([c for c in cls.__mro__ if issubclass(c, AttributionMetric)]) <= 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("parts", [[4, 2, 4, 1], [11], [1] * 11], ids=str)
def test_split_and_order_change_nothing(name, parts, cnn, batch):
    images, attribution = batch(11)
    model, order = cnn(), torch.randperm(11, generator=torch.Generator().manual_seed(4))
    metric, expected = small(name), small(name).per_sample(Evaluation(model, images).of(attribution))
    for part in order.split(parts):
        metric.update(model, images[part], None, attribution[part])
    assert metric.count == 11
    assert float(metric.value_sum / 11) == pytest.approx(float(expected.mean()), abs=1e-12)
    assert float(metric.compute()) == pytest.approx(float(expected.mean()), abs=1e-7)
    error = expected.std() / 11**0.5
    torch.testing.assert_close(metric.standard_error(), error.float())
    assert metric.compute().dtype == metric.curve().dtype == torch.float32


def test_shared_evaluation_gives_the_same_and_costs_once(cnn, counting, batch):
    images, attribution = batch()
    model, metrics = counting(cnn()), [small(name) for name in NAMES]
    evaluation = Evaluation(model, images)
    for metric in metrics:
        metric.update(model, images, None, attribution, evaluation=evaluation)
        alone = small(METRICS.name_of(metric))
        alone.update(model.model, images, None, attribution)
        assert torch.equal(alone.compute(), metric.compute())
        metric.per_sample(evaluation.of(attribution))  # for a table of samples: nothing runs again
    assert model.samples == 4 * (2 * 5 + 2)


def test_evaluation_of_another_batch_is_refused(cnn, batch):
    images, attribution = batch()
    model = cnn()
    with pytest.raises(ValueError, match="`evaluation` is of another model, batch, target or masks"):
        small("gap").update(model, images, 1, attribution, evaluation=Evaluation(model, images))


@pytest.mark.parametrize("name", NAMES)
def test_call_updates_once(name, cnn, counting, batch):
    images, attribution = batch()
    model, metric = counting(cnn()), small(name)
    value = metric(model, images, None, attribution)
    assert model.samples == 4 * metric.passes.forward
    assert metric.count == 4
    torch.testing.assert_close(value, metric.compute())
    metric(model, images[:1], None, attribution[:1])
    assert metric.count == 5


class Constant(nn.Module):
    def forward(self, inputs):
        return torch.ones(len(inputs), 3, dtype=inputs.dtype)


def test_collection_keeps_metrics_with_equal_first_batch_apart(cnn, batch):
    images, attribution = batch()
    collection = MetricCollection({"ins": Insertion(steps=6), "del": Deletion(steps=6), "same": Insertion(steps=6)})
    collection.update(Constant(), images, 0, attribution)
    assert collection.compute()["ins"] == collection.compute()["del"]
    assert sorted(map(sorted, collection.compute_groups.values())) == [["del"], ["ins", "same"]]
    collection.update(cnn(), images, 0, attribution)
    for name, cls in {"ins": Insertion, "same": Insertion, "del": Deletion}.items():
        alone = cls(steps=6)
        for model in (Constant(), cnn()):
            alone.update(model, images, 0, attribution)
        assert torch.equal(collection.compute()[name], alone.compute())


def test_configuration_is_told_apart_byte_by_byte():
    metrics = [Insertion(), Deletion(), Gap(), Insertion(steps=63), Insertion("white"), Insertion(0.0), Insertion(0.5)]
    metrics += [Insertion(lambda x: x), Insertion(lambda x: -x)]
    told = [tuple(metric._cfg.tolist()) for metric in metrics]
    assert len(set(told)) == len(metrics)
    assert all(0 <= byte < 256 for bytes_ in told for byte in bytes_)
    assert torch.equal(Insertion(max_batch=3)._cfg, Insertion()._cfg)


@pytest.mark.parametrize("name", NAMES)
def test_clone_and_pickle_keep_the_sums_and_hold_no_model(name, cnn, batch):
    images, attribution = batch()
    metric = small(name)
    metric.update(cnn(), images, None, attribution)
    for copy in (metric.clone(), pickle.loads(pickle.dumps(metric))):
        assert torch.equal(copy.compute(), metric.compute())
        copy.update(cnn(), images, None, -attribution)
        assert copy.count == 8
    metric.persistent(True)
    assert set(metric.state_dict()) == set(metric._defaults)
    assert not list(metric.parameters())
    assert len(list(metric.modules())) == 1
    metric.reset()
    assert metric.count == 0


def test_module_as_fill_is_not_registered():
    assert not Insertion(fill=nn.Conv2d(3, 3, 3, padding=1)).state_dict()


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_runs_in_any_gradient_mode(context, cnn, batch):
    images, attribution = batch()
    expected = small("gap")
    expected.update(cnn(), images, None, attribution)
    metric, model = small("gap"), cnn()
    with context():
        inputs, maps = images.clone(), attribution.clone()  # inference tensors under inference_mode
        metric.update(model, inputs, None, maps)
        assert torch.equal(metric.compute(), expected.compute())
    metric.update(model, inputs, None, maps)
    assert metric.count == 8
    assert torch.equal(metric.compute(), expected.compute())


def test_leaves_no_trace_in_model_and_random_state(batch):
    images, attribution = batch()
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Flatten(), nn.Linear(64, 5)]
    model = nn.Sequential(*layers).double().train()
    layers[1].eval()
    layers[0].weight.requires_grad_(False)
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    flags = [module.training for module in model.modules()], [p.requires_grad for p in model.parameters()]
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    metric = small("gap")
    metric.update(model, images, None, attribution)
    first = metric.compute()
    metric.update(model, images, None, attribution)
    assert torch.equal(metric.compute(), first)  # no dropout
    assert ([module.training for module in model.modules()], [p.requires_grad for p in model.parameters()]) == flags
    assert all(torch.equal(buffer, buffers[name]) for name, buffer in model.named_buffers())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)
    assert random.getstate() == python_state


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_attribution_that_is_not_finite_is_skipped_and_counted(name, bad, cnn, batch):
    images, attribution = batch()
    expected, metric = small(name), small(name)
    expected.update(cnn(), images[1:], None, attribution[1:])
    attribution[0, 1, 2, 3] = bad
    metric.update(cnn(), images, None, attribution)
    with pytest.warns(UserWarning, match=f"{name}: 3 samples used, 1 skipped for NaN or infinity"):
        assert float(metric.compute()) == pytest.approx(float(expected.compute()), abs=1e-7)
    torch.testing.assert_close(metric.curve(), expected.curve())
    assert (metric.count, metric.invalid) == (3, 1)
    value, curve, _ = metric.read(Evaluation(cnn(), images).of(attribution))
    assert value.isnan().tolist() == curve.isnan().all(1).tolist() == [True, False, False, False]


def test_output_that_is_not_finite_is_skipped_and_counted(cnn, batch):
    class Broken(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = cnn()

        def forward(self, inputs):
            dark = inputs.flatten(1).mean(1) < 0.25
            return self.model(inputs).masked_fill(dark[:, None], torch.nan)

    images, attribution = batch()
    images[2] *= 0.1
    metric = Insertion(fill="white", steps=4)
    metric.update(Broken(), images, 0, attribution)
    assert (metric.count, metric.invalid) == (3, 1)
    with pytest.warns(UserWarning, match="1 skipped"):
        assert metric.compute().isfinite()


def test_constant_attribution_is_used_and_counted(cnn, batch):
    images, attribution = batch()
    attribution[1] = 0.0
    metric = small("insertion")
    metric.update(cnn(), images, None, attribution)
    assert (metric.count, metric.constant, metric.invalid) == (4, 1, 0)
    assert metric.compute().isfinite()


def test_padding_is_left_out(cnn, batch):
    images, attribution = batch()
    expected, metric = small("gap"), small("gap")
    expected.update(cnn(), images[:3], None, attribution[:3])
    metric.update(cnn(), images, None, attribution, valid=torch.tensor([True, True, True, False]))
    assert metric.count == 3
    assert float(metric.value_sum) == pytest.approx(float(expected.value_sum), abs=1e-12)
    assert metric.invalid == 0
    with pytest.raises(ValueError, match=r"`valid` must be a bool tensor \[4\], got torch.bool \(3,\)"):
        metric.update(cnn(), images, None, attribution, valid=torch.ones(3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"`valid` must be a bool tensor \[4\], got torch.int64 \(4,\)"):
        metric.update(cnn(), images, None, attribution, valid=torch.ones(4, dtype=torch.long))


def test_empty_batch_adds_nothing_and_runs_nothing(cnn, counting, batch):
    images, attribution = batch()
    model, metric = counting(cnn()), small("gap")
    metric.update(model, images[:0], None, attribution[:0])
    assert model.samples == 0
    with pytest.warns(UserWarning, match="gap: 0 samples used, 0 skipped") as caught:
        assert metric.compute().isnan()
    assert len(caught) == 1
    assert metric.per_sample(Evaluation(model, images[:0]).of(attribution[:0])).shape == (0,)


def test_compute_before_update_is_nan_with_one_warning():
    with pytest.warns(UserWarning, match="before the ``update`` method") as caught:
        assert small("gap").compute().isnan()
    assert len(caught) == 1


def test_standard_error_of_one_sample_is_nan(cnn, batch):
    images, attribution = batch(1)
    metric = small("gap")
    metric.update(cnn(), images, None, attribution)
    assert metric.standard_error().isnan()
    assert metric.compute().isfinite()


def test_sums_are_float64_except_where_the_device_has_none(monkeypatch):
    monkeypatch.setattr(_precision, "WITHOUT_FLOAT64", ("meta",))
    metric = small("gap")
    assert metric.value_sum.dtype == metric.curve_sum.dtype == torch.float64
    metric.to("cpu")
    metric.half()
    assert metric.value_sum.dtype == torch.float64
    metric.to("meta")
    assert {getattr(metric, name).dtype for name in metric._defaults} == {torch.float32, torch.int64}
    assert metric.count.dtype == torch.int64


def test_size_mismatch_is_refused_before_anything_runs(cnn, counting, batch):
    images, attribution = batch()
    model, metric = counting(cnn()), small("gap")
    with pytest.raises(ValueError, match=r"`attribution` must be .* got \(4, 3, 6, 5\) for inputs \(4, 3, 6, 6\)"):
        metric.update(model, images, None, attribution[..., :5])
    assert model.samples == 0
    assert metric.count == 0


def test_coverage_is_the_share_with_a_value(cnn, batch):
    images, attribution = batch()
    images[0], images[1:] = 0.25, 0.75
    attribution[3] = torch.nan
    metric = OfBright()
    metric.update(cnn(), images, None, attribution)
    torch.testing.assert_close(metric.coverage(), torch.tensor(2 / 3))
    assert OfBright().coverage().isnan()


class Sum(AttributionMetric):
    """A metric without a curve, as others may write it."""

    higher_is_better = True

    def __init__(self):
        super().__init__({}, Passes(0, 0))

    def measure(self, explained):
        return Reading(explained.positions.flatten(1).sum(1))


def test_metric_without_a_curve(cnn, counting, batch):
    images, attribution = batch()
    model, metric = counting(cnn()), Sum()
    metric.update(model, images, None, attribution)
    torch.testing.assert_close(metric.compute(), attribution.flatten(1).sum(1).mean().float())
    assert metric.protocol == {"metric": "sum"}
    assert model.samples == 0
    with pytest.raises(AttributeError, match="curve_sum"):
        metric.curve()


class OfBright(AttributionMetric):
    """Has no value for dark samples."""

    UNDEFINED = "the sample is dark"
    higher_is_better = True

    def __init__(self):
        super().__init__({}, Passes(0, 0), points=2)

    def measure(self, explained):
        light = explained.evaluation.inputs.flatten(1).mean(1)
        return Reading(light, torch.stack([light, 2 * light], dim=1), light > 0.5)


def test_samples_without_a_value_are_counted_apart_from_broken_ones(cnn, batch):
    images = torch.full((5, 3, 6, 6), 0.75, dtype=torch.float64)
    images[1:3] = 0.25
    attribution = batch(5)[1]
    attribution[2:4, 0, 0, 0] = torch.nan
    metric = OfBright()
    metric.update(cnn(), images, None, attribution)
    assert (metric.count, metric.undefined, metric.invalid) == (2, 1, 2)
    with pytest.warns(UserWarning, match="ofbright leaves out samples without a value: the sample is dark; see"):
        assert metric.compute() == 0.75
    torch.testing.assert_close(metric.curve(), torch.tensor([0.75, 1.5]))
    value = metric.per_sample(Evaluation(cnn(), images).of(attribution))
    assert value.isnan().tolist() == [False, True, True, True, False]


def test_groups_by_confidence(cnn, batch):
    """Each group is what the metric finds over its samples alone, and all of them are the mixture."""
    images, attribution = batch(12)
    model = cnn()
    sure = Evaluation(model, images).confidence
    low, high = sure.sort().values[[3, 8]].tolist()  # an edge belongs to the group above it
    metric = small("gap").split_by_confidence(low, high)
    for part in torch.arange(12).split(5):
        metric.update(model, images[part], None, attribution[part])
    found = metric.summaries()
    assert list(found) == ["all", f"below_{low:g}", f"from_{low:g}_below_{high:g}", f"from_{high:g}"]
    groups = [sure < low, (sure >= low) & (sure < high), sure >= high]
    assert [summary.samples for summary in found.values()] == [12, 3, 5, 4]
    for summary, which in zip(found.values(), [torch.ones(12, dtype=torch.bool), *groups], strict=True):
        alone = small("gap")
        alone.update(model, images[which], None, attribution[which])
        torch.testing.assert_close(summary.value, alone.compute())
        torch.testing.assert_close(summary.standard_error, alone.standard_error())
        torch.testing.assert_close(summary.curve, alone.curve())
    assert torch.equal(metric.compute(), found["all"].value)
    assert metric.protocol["confidence_edges"] == [low, high]
    assert not torch.equal(metric._cfg, small("gap")._cfg)


def test_a_group_without_samples_is_nan(cnn, batch):
    metric = small("gap").split_by_confidence(1e-6)
    metric.update(cnn(), batch()[0], None, batch()[1])
    below = metric.summaries()["below_1e-06"]
    assert (below.samples, bool(below.value.isnan()), bool(below.curve.isnan().all())) == (0, True, True)


@pytest.mark.parametrize("edges", [(0.0,), (1.0,), (0.7, 0.5), (0.5, 0.5), (float("nan"),)])
def test_edges_are_checked(edges):
    with pytest.raises(ValueError, match=r"`edges` must be ascending numbers between 0 and 1, got \("):
        small("gap").split_by_confidence(*edges)


def test_a_split_after_an_update_is_refused(cnn, batch):
    metric = small("gap")
    metric.update(cnn(), batch()[0], None, batch()[1])
    with pytest.raises(ValueError, match="gap has samples already"):
        metric.split_by_confidence(0.5)


def test_an_explanation_is_taken_for_its_attribution(cnn, batch):
    images, attribution = batch()
    one, other = small("gap"), small("gap")
    one.update(cnn(), images, None, attribution)
    other.update(cnn(), images, None, Explanation(attribution))
    assert torch.equal(one.compute(), other.compute())

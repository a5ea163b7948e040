"""The base of metrics, on some of them and on toys; what it promises for each is in `test_all_metrics.py`."""

import pytest
import torch
from torch import nn

from lit_attr._view import Passes
from lit_attr.attribution import Explanation
from lit_attr.baselines import Sample
from lit_attr.metrics import METRICS, AttributionMetric, Deletion, Evaluation, Gap, Insertion, _precision, available
from lit_attr.metrics._base import Reading


def small(name):
    return METRICS.build(name, {"steps": 6})


def test_available():
    assert available() == METRICS.names()
    assert {"deletion", "gap", "insertion"} <= set(available())


def test_which_direction_is_better():
    assert (Insertion.higher_is_better, Deletion.higher_is_better, Gap.higher_is_better) == (True, False, True)


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


@pytest.mark.parametrize(
    ("name", "setting", "value"),
    [
        ("average_drop", "keep", "half"),
        ("average_drop", "fill", None),
        ("explanation_similarity", "radius", "small"),
        ("explanation_similarity", "seed", None),
        ("infidelity", "amount", "third"),
        ("infidelity", "amount", True),
        ("infidelity", "seed", 1.5),
        ("insertion", "fill", None),
        ("max_sensitivity", "seed", -1),
        ("mprt", "k", "all"),
        ("road", "noise", "some"),
        ("road", "percentages", 50),
        ("road", "seed", -1),
        ("sic", "seed", "x"),
        ("sic", "thresholds", 0.5),
        ("subset_correlation", "seed", 0.5),
        ("subset_correlation", "sizes", 0.5),
        ("subset_correlation", "sizes", ["few"]),
    ],
)
def test_a_setting_of_another_kind_is_named_with_what_is_accepted(name, setting, value):
    """As a config may have it, in which nothing checks the types of a metric's settings."""
    with pytest.raises(ValueError, match=rf"^`{setting}` must be .*, got "):
        METRICS.build(name, {setting: value})


def test_an_attribution_that_is_no_tensor_is_refused(cnn, batch):
    images, attribution = batch()
    with pytest.raises(ValueError, match="`attribution` must be a tensor, or the Explanation of a method, got ndarray"):
        small("gap").update(cnn(), images, 1, attribution.numpy())


def test_shared_evaluation_gives_the_same_and_costs_once(cnn, counting, batch):
    images, attribution = batch()
    model, metrics = counting(cnn()), [small(name) for name in ("deletion", "gap", "insertion")]
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


def test_configuration_is_told_apart_byte_by_byte():
    metrics = [Insertion(), Deletion(), Gap(), Insertion(steps=63), Insertion("white"), Insertion(0.0), Insertion(0.5)]
    metrics += [Insertion(lambda x: x), Insertion(lambda x: -x)]
    middle = torch.zeros(1, 99, 99)  # of which `repr` shows the corners
    middle[0, 50, 50] = 1
    metrics += [Insertion(fill) for images in (torch.zeros(1, 99, 99), middle) for fill in (images, (0.0, images))]
    metrics += [Insertion(Sample(images[None])) for images in (torch.zeros(1, 99, 99), middle)]
    told = [tuple(metric._cfg.tolist()) for metric in metrics]
    assert len(set(told)) == len(metrics)
    assert all(0 <= byte < 256 for bytes_ in told for byte in bytes_)
    assert torch.equal(Insertion(max_batch=3)._cfg, Insertion()._cfg)


def test_module_as_fill_is_not_registered():
    assert not Insertion(fill=nn.Conv2d(3, 3, 3, padding=1)).state_dict()


def test_samples_that_are_not_finite_are_told(cnn, batch):
    images, attribution = batch()
    attribution[0, 1, 2, 3] = torch.nan
    metric = small("gap")
    metric.update(cnn(), images, None, attribution)
    with pytest.warns(UserWarning, match="gap: 3 samples used, 1 skipped for NaN or infinity"):
        assert metric.compute().isfinite()
    value, curve, _ = metric.read(Evaluation(cnn(), images).of(attribution))
    assert value.isnan().tolist() == curve.isnan().all(1).tolist() == [True, False, False, False]


def test_nothing_but_empty_batches_is_nan_with_one_warning(cnn, batch):
    images, attribution = batch()
    metric = small("gap")
    metric.update(cnn(), images[:0], None, attribution[:0])
    with pytest.warns(UserWarning, match="gap: 0 samples used, 0 skipped") as caught:
        assert metric.compute().isnan()
    assert len(caught) == 1


def test_padding_must_be_told_in_bools(cnn, batch):
    images, attribution = batch()
    metric = small("gap")
    with pytest.raises(ValueError, match=r"`valid` must be a bool tensor \[4\], got torch.bool \(3,\)"):
        metric.update(cnn(), images, None, attribution, valid=torch.ones(3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"`valid` must be a bool tensor \[4\], got torch.int64 \(4,\)"):
        metric.update(cnn(), images, None, attribution, valid=torch.ones(4, dtype=torch.long))


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
    with pytest.raises(ValueError, match="sum has no curve"):
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
    told = (
        "ofbright leaves out samples without a value: the sample is dark; see `undefined`; 2 more are skipped for NaN"
    )
    with pytest.warns(UserWarning, match=told):
        assert metric.compute() == 0.75
    torch.testing.assert_close(metric.curve(), torch.tensor([0.75, 1.5]))
    summary = metric.summaries()["all"]
    assert (summary.samples, summary.undefined, summary.invalid) == (2, 1, 2)
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


def test_an_edge_that_has_no_exact_number_belongs_to_the_group_above():
    """In float32 the confidence is the number nearest to 0.7, which is below the one of float64."""

    class Sure(nn.Module):
        def forward(self, inputs):
            return torch.tensor([0.7, 0.3]).log().expand(len(inputs), 2)

    images = torch.rand(3, 1, 2, 2)
    assert float(Evaluation(Sure(), images).confidence[0]) == float(torch.tensor(0.7)) < 0.7
    metric = METRICS.build("gini").split_by_confidence(0.7)
    metric.update(Sure(), images, None, images)
    assert metric.count.tolist() == [0, 3]


def test_a_group_without_samples_is_nan(cnn, batch):
    metric = small("gap").split_by_confidence(1e-6)
    metric.update(cnn(), batch()[0], None, batch()[1])
    below = metric.summaries()["below_1e-06"]
    assert (below.samples, bool(below.value.isnan()), bool(below.curve.isnan().all())) == (0, True, True)


@pytest.mark.parametrize("edges", [(0.0,), (1.0,), (0.7, 0.5), (0.5, 0.5), (float("nan"),), ("0.7",), ((0.5, 0.7),)])
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


def test_what_was_read_can_be_added_later(cnn, batch):
    """Value, curve and group of each sample are all that the sums are made of."""
    images, attribution = batch(6)
    attribution[2] = torch.nan
    model = cnn()
    evaluation = Evaluation(model, images)
    edge = float(evaluation.confidence.median())
    at_once, later = small("gap").split_by_confidence(edge), small("gap").split_by_confidence(edge)
    at_once.update(model, images, None, attribution)
    explained = evaluation.of(attribution)
    later.tally(later.read(explained), explained.finite, explained.constant, evaluation.confidence)
    for name, state in at_once.metric_state.items():
        assert torch.equal(state, later.metric_state[name]), name
    with pytest.raises(ValueError, match="`confidence` must be given for a metric that keeps samples apart"):
        later.tally(later.read(explained), explained.finite, explained.constant)

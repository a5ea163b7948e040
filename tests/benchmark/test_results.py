"""Results: the long table, summaries and groups, against the metric classes and by hand."""

from collections import Counter

import pytest
import torch

from _reference.comparing import EDGES, KEYS, Counting, benchmark, images, run
from lit_attr.attribution import IntegratedGradients, Saliency
from lit_attr.benchmark import Store, collect
from lit_attr.metrics import METRICS, Complexity, Gini, Insertion


@pytest.fixture
def results(tmp_path):
    samples, store = run(tmp_path)
    return collect(benchmark(), store, samples, EDGES)


def test_groups_are_those_of_the_metric(results):
    model, x, method = Counting(), images(), IntegratedGradients(steps=3)
    for label, metric in benchmark().metrics.items():
        metric.split_by_confidence(*EDGES)
        metric.update(model, x, None, method(model, x), method=method)
        for group, expected in metric.summaries().items():
            found = results.summaries["ig", label][group]
            assert torch.equal(found.value, expected.value)
            assert found.samples == expected.samples
            if expected.curve is not None:
                assert torch.equal(found.curve, expected.curve)
    assert results.groups == ["all", "below_0.54", "from_0.54"]


def test_the_long_table_has_a_row_for_all(results):
    rows = list(results.rows())
    assert len(rows) == len(KEYS) * 3 * 4
    assert Counter((row["sample"], row["method"], row["metric"]) for row in rows).most_common(1)[0][1] == 1
    assert {row["method"]: row["kind"] for row in rows} == {"saliency": "method", "ig": "method", "random": "control"}
    evidence = Counting()(images()).detach().softmax(1)
    for place, sample in enumerate(results.samples):
        assert sample.confidence == pytest.approx(float(evidence[place].max()))
        assert sample.prediction == str(int(evidence[place].argmax()))
        assert sample.label == f"label{place}"
        assert sample.group == ("from_0.54" if sample.confidence >= 0.54 else "below_0.54")
    mean = {}
    for row in rows:
        mean.setdefault((row["method"], row["metric"]), []).append(row["value"])
    for pair, values in mean.items():
        assert sum(values) / len(values) == pytest.approx(float(results.summaries[pair]["all"].value))


class Odd(Saliency):
    """Zero for the first sample, NaN for the second."""

    def attribute(self, view):
        found = super().attribute(view)
        found.attribution[view.inputs.flatten(1).sum(1) == images()[0].sum()] = 0
        found.attribution[view.inputs.flatten(1).sum(1) == images()[1].sum()] = torch.nan
        return found


def test_what_has_no_value_says_why(tmp_path):
    asked = benchmark(methods={"odd": Odd()}, controls={}, metrics={"gini": Gini(), "insertion": Insertion(steps=4)})
    samples, store = run(tmp_path, asked=asked)
    results = collect(asked, store, samples)
    rows = {(row["sample"], row["metric"]): row for row in results.rows()}
    assert rows["sample0", "gini"]["status"] == "undefined"
    assert rows["sample0", "gini"]["value"] is None
    assert rows["sample0", "insertion"]["status"] == "ok"
    assert rows["sample0", "insertion"]["constant"] is True
    assert rows["sample1", "gini"]["status"] == rows["sample1", "insertion"]["status"] == "invalid"
    assert rows["sample2", "gini"]["status"] == "ok"
    summary = results.summaries["odd", "gini"]["all"]
    assert (summary.samples, summary.undefined, summary.invalid) == (5, 1, 1)
    assert results.groups == ["all"]


def test_every_metric_without_masks_survives_the_disk(tmp_path):
    skipped = {"attribution_localisation", "mask_auc", "mask_topk", "pointing_game", "relevance_mass", "relevance_rank"}
    few = {"infidelity": {"samples": 2}, "subset_correlation": {"subsets": 4}, "mprt": {}, "random_logit": {}}
    names = [name for name in ("complexity", "gini", "completeness", *few) if name in METRICS.names()]
    assert skipped.isdisjoint(names)
    asked = benchmark(metrics={name: METRICS.build(name, few.get(name)) for name in names}, controls={})
    samples, store = run(tmp_path, asked=asked, size=7)
    results, model, x, method = collect(asked, store, samples), Counting(), images(), IntegratedGradients(steps=3)
    for name in names:
        metric = METRICS.build(name, few.get(name))
        metric.update(model, x, None, method.explain(model, x), method=method)
        expected, found = metric.summaries()["all"], results.summaries["ig", name]["all"]
        assert torch.equal(found.value.nan_to_num(-5), expected.value.nan_to_num(-5)), name
        assert (found.samples, found.undefined, found.invalid) == expected[2:3] + expected[4:], name


def test_results_of_another_folder_are_missing(tmp_path):
    samples, _ = run(tmp_path)
    with pytest.raises(RuntimeError, match="results of saliency are missing"):
        collect(benchmark(), Store(tmp_path / "elsewhere", {"model": "counting"}), samples)


def test_speed_leaves_out_the_first_batch(results, tmp_path):
    store = Store(tmp_path, {"model": "counting"})
    identity = benchmark().identities["ig"]
    facts = [shard.facts for shard in store.shards() if shard.method == identity]
    assert Counter(fact["warm"] for fact in facts) == {False: 1, True: 2}
    warm = [fact for fact in facts if fact["warm"]]
    expected = sum(fact["batch_size"] for fact in warm) / sum(fact["seconds"] for fact in warm)
    assert results.speed["ig"].per_second == pytest.approx(expected)
    assert results.speed["ig"].told == "batches of 3 on cpu"
    assert results.speed["ig"].peak_memory is None


def test_maps_of_the_drawn_samples(results):
    ((key, (image, maps)),) = results.maps.items()
    assert key == KEYS[0]
    assert torch.equal(image, images()[0])
    assert set(maps) == {"saliency", "ig", "random"}
    expected = IntegratedGradients(steps=3)(Counting(), images()[:1])[0]
    assert torch.allclose(maps["ig"], expected, atol=1e-12)


def test_complexity_of_controls_is_asked(tmp_path):
    asked = benchmark(methods={}, metrics={"complexity": Complexity()})
    samples, store = run(tmp_path, asked=asked)
    assert {row["method"] for row in collect(asked, store, samples).rows()} == {"random"}

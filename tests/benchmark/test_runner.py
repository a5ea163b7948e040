"""The runner: values are those of the metrics, and nothing is computed twice, wherever a run was stopped."""

import os
import random
import signal

import pytest
import torch

from _reference import processes
from _reference.comparing import EDGES, KEYS, Counting, StoppedError, batches, benchmark, images, run
from lit_attr._checks import ArgumentError
from lit_attr.attribution import ConfusionFeature, IntegratedGradients, Saliency
from lit_attr.benchmark import Batch, Benchmark, Store, collect
from lit_attr.benchmark.controls import MaskMap, OracleMap, RandomMap
from lit_attr.benchmark.runner import measure
from lit_attr.metrics import (
    AverageSensitivity,
    Completeness,
    Gap,
    Infidelity,
    Insertion,
    KLGap,
    MaxSensitivity,
    PointingGame,
    RelevanceMass,
)
from lit_attr.targets import PixelTarget, RegionTarget


def killed_in_the_run(folder, stop):
    run(folder, Counting(stop, lambda: os.kill(os.getpid(), signal.SIGKILL)))


def rows(samples, store, asked=None):
    return list(collect(asked or benchmark(), store, samples, EDGES).rows())


def cost_of(asked, size=3, keys=KEYS):
    """Images that the model sees in a whole run."""
    model = Counting()
    for batch in batches(size, keys):
        measure(asked, model, batch)
    return model.images


def cost_of_the_rest(before):
    """Images that must be seen when the shards `before` are there: of all that is missing, and no more."""
    there = {(shard.method, sample) for shard in before for sample in shard.samples}
    model = Counting()
    for batch in batches():
        left = {}
        for name, identity in benchmark().identities.items():
            (shard,) = [s for s in measure(benchmark(), Counting(), batch) if s.method == identity]
            if (identity, shard.samples[0]) not in there:
                left[name] = identity
        full = benchmark()
        part = {
            "methods": {name: item for name, item in full.methods.items() if name in left},
            "controls": {name: item for name, item in full.controls.items() if name in left},
        }
        if left:
            measure(benchmark(**part), model, batch)
    return model.images


def test_values_are_those_of_the_metrics(tmp_path):
    samples, store = run(tmp_path)
    results = collect(benchmark(), store, samples)
    model, x = Counting(), images()
    for name, method in benchmark().methods.items():
        for label, metric in benchmark().metrics.items():
            metric.update(model, x, None, method(model, x), method=method)
            summary = results.summaries[name, label]["all"]
            assert torch.equal(summary.value, metric.compute()), (name, label)
            assert summary.samples == len(KEYS)
            assert torch.equal(summary.standard_error, metric.standard_error())
    assert [sample.key for sample in results.samples] == KEYS


@pytest.mark.parametrize("size", [1, 2, 7])
def test_results_do_not_depend_on_the_batches(tmp_path, size):
    expected, found = rows(*run(tmp_path / "3")), rows(*run(tmp_path / "other", size=size))
    for one, other in zip(found, expected, strict=True):
        assert one == {**other, **{name: pytest.approx(other[name], abs=1e-12) for name in ("value", "confidence")}}


def test_a_finished_run_makes_no_pass(tmp_path):
    expected = rows(*run(tmp_path))
    model = Counting()
    assert rows(*run(tmp_path, model)) == expected
    assert model.images == 0


@pytest.mark.parametrize("stop", [0, 1, 2, 5, 9, 14, 20, 27, 33, 40])
def test_a_stopped_run_goes_on_where_it_was(tmp_path, stop):
    expected = rows(*run(tmp_path / "whole"))
    with pytest.raises(StoppedError):
        run(tmp_path / "stopped", Counting(stop))
    before = list(Store(tmp_path / "stopped", {"model": "counting"}).shards())
    model = Counting()
    assert rows(*run(tmp_path / "stopped", model)) == expected
    assert model.images == cost_of_the_rest(before)


def test_a_run_that_was_killed_goes_on_where_it_was(tmp_path):
    expected, counted = rows(*run(tmp_path / "whole")), Counting()
    run(tmp_path / "counted", counted)
    stop = random.SystemRandom().randrange(counted.passes)
    killed = processes.run(tmp_path, __file__, "killed_in_the_run", "killed", stop)
    assert killed.statuses == [-signal.SIGKILL], killed.stderr
    before = list(Store(tmp_path / "killed", {"model": "counting"}).shards())
    model = Counting()
    assert rows(*run(tmp_path / "killed", model)) == expected, f"killed before pass {stop}"
    assert model.images == cost_of_the_rest(before), f"killed before pass {stop}"


def test_more_samples_and_metrics_add_what_is_new(tmp_path):
    few = benchmark(metrics={"insertion": Insertion(steps=4)})
    run(tmp_path, asked=few, keys=KEYS[:4])
    model = Counting()
    samples, store = run(tmp_path, model, asked=few, size=7)
    assert model.images == cost_of(few, keys=KEYS[4:])
    both = benchmark(metrics={"insertion": Insertion(steps=4), "infidelity": Infidelity(samples=3)})
    only = benchmark(metrics={"infidelity": Infidelity(samples=3)})
    model = Counting()
    samples, store = run(tmp_path, model, asked=both)
    assert model.images == cost_of(only)
    assert rows(samples, store, both) == rows(*run(tmp_path / "once", asked=both), both)


def test_other_settings_and_other_data_are_computed_anew(tmp_path):
    run(tmp_path)
    model = Counting()
    other = benchmark(methods={"ig": IntegratedGradients(steps=4)})
    run(tmp_path, model, asked=other)
    assert model.images == cost_of(benchmark(methods={"ig": IntegratedGradients(steps=4)}, controls={}))
    model, store = Counting(), Store(tmp_path, {"model": "counting"})
    changed = [batch._replace(inputs=batch.inputs + 1e-9) for batch in batches()]
    samples = benchmark().run(model, changed, KEYS, store)
    assert model.images == cost_of(benchmark())
    assert len(rows(samples, store)) == len(KEYS) * 3 * 4


def test_max_batch_is_no_other_setting(tmp_path):
    run(tmp_path)
    model = Counting()
    smaller = {"saliency": Saliency(max_batch=1), "ig": IntegratedGradients(steps=3, max_batch=2)}
    run(tmp_path, model, asked=benchmark(methods=smaller))
    assert model.images == 0


def test_time_left_is_that_of_the_declared_passes(tmp_path):
    asked = benchmark()
    shape, classes = (1, 4, 4), 3
    cost = {}
    for name in asked.identities:
        passes = asked.passes(name, shape, classes)
        cost[name] = passes.forward + 2 * passes.backward
    # By hand: insertion 3, deletion 3, sensitivity two more explanations.
    assert cost == {"saliency": 6 + 3 * 3, "ig": 6 + 3 * 9, "random": 6}
    assert asked.common(asked.metrics) == (5, 0)  # once for all methods: clean, filled, infidelity 3
    ticks, seen = iter(range(0, 1000, 10)), []
    run(tmp_path, report=seen.append, clock=lambda: float(next(ticks)))
    total = (5 + sum(cost.values())) * len(KEYS)
    assert (seen[0].done, seen[0].total, seen[0].seconds_left) == (0, total, None)
    done, order = 0, [(name, size) for size in (3, 3, 1) for name in asked.identities]
    for count, (progress, (name, size)) in enumerate(zip(seen[1:], order, strict=True), start=2):
        done += (cost[name] + (5 if name == "saliency" else 0)) * size
        assert progress.at == name
        assert progress.done == done
        assert progress.seconds_left == pytest.approx(10 * count * (total - done) / done)


class Weighed(Counting):
    """Counts passes as the forecast does: a backward pass as two."""

    def forward(self, x):
        found = super().forward(x)
        if found.requires_grad:
            found.register_hook(self._back)
        return found

    def _back(self, gradient):
        self.images += 2 * len(gradient)


MANY = {
    "insertion": Insertion(steps=4),
    "gap": Gap(steps=4),
    "kl_gap": KLGap(steps=4),
    "f_gap": Gap(ConfusionFeature(restarts=2, steps=2), steps=4),
    "infidelity": Infidelity(samples=3),
    "relative": Infidelity(samples=3, relative=True),
    "max_sensitivity": MaxSensitivity(draws=2, bounds=None),
    "average_sensitivity": AverageSensitivity(draws=2, bounds=None),
}


def test_the_bar_counts_what_is_made(tmp_path):
    """Work that metrics and methods share is counted once, also where a run goes on with more metrics and samples."""
    few, many = {name: MANY[name] for name in ("insertion", "infidelity")}, benchmark(metrics=MANY)
    for asked, keys in ((benchmark(metrics=few), KEYS[:3]), (benchmark(metrics=few), KEYS[:6]), (many, KEYS)):
        model, seen = Weighed(), []
        run(tmp_path, model, asked=asked, keys=keys, report=seen.append)
        assert seen[-1].done == seen[0].total == model.images


def test_a_resumed_run_forecasts_what_is_left(tmp_path):
    run(tmp_path, keys=KEYS[:3])
    seen = []
    run(tmp_path, report=seen.append)
    whole = []
    run(tmp_path / "whole", report=whole.append)
    assert seen[0].total == pytest.approx(whole[0].total * 4 / 7)
    assert seen[-1].done == seen[-1].total


def test_control_maps_are_not_asked_what_only_explanations_know(tmp_path):
    asked = benchmark(metrics={"completeness": Completeness(), "insertion": Insertion(steps=4)})
    samples, store = run(tmp_path, asked=asked)
    found = {(row["method"], row["metric"]) for row in rows(samples, store, asked)}
    assert ("ig", "completeness") in found
    assert ("random", "completeness") not in found
    assert ("random", "insertion") in found


def test_masks_reach_the_metrics():
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[:, :2] = True
    batch = Batch(images()[:2], KEYS[:2], None, masks)
    asked = Benchmark({"saliency": Saliency()}, {"pointing": PointingGame()})
    (shard,) = measure(asked, Counting(), batch)
    expected = PointingGame()
    model = Counting()
    expected.update(model, batch.inputs, None, Saliency()(model, batch.inputs), masks=masks)
    assert float(shard.tensors[f"value/{shard.items[0]}"].mean()) == float(expected.compute())


def test_causes_are_for_localisation_and_the_oracle_and_masks_for_the_rest():
    masks, causes = torch.zeros(2, 4, 4, dtype=torch.bool), torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[:, :2], causes[:, 1:] = True, True
    batch = Batch(images()[:2], KEYS[:2], None, masks, causes=causes)
    asked = Benchmark({}, {"mass": RelevanceMass()}, {"mask": MaskMap(), "oracle": OracleMap()})
    for part in (batch, batch.take([1])):
        mask, oracle = (shard.tensors[f"value/{shard.items[0]}"] for shard in measure(asked, Counting(), part))
        torch.testing.assert_close(mask, torch.full_like(mask, 0.5))
        torch.testing.assert_close(oracle, torch.ones_like(oracle))
    other = Batch(images()[:2], KEYS[:2], None, masks)
    samples = [measure(asked_of(), Counting(), one)[0].samples for one in (batch, other)]
    assert not set(samples[0]) & set(samples[1])  # measured anew, where other causes are known


def test_what_explains_again_is_not_asked_of_maps_that_stay_where_they_are():
    metrics = {"insertion": Insertion(steps=2), "stable": MaxSensitivity(draws=1)}
    asked = Benchmark({"saliency": Saliency()}, metrics, {"mask": MaskMap(), "random": RandomMap()})
    assert {name: list(asked.items(name)) for name in asked.identities} == {
        "saliency": ["insertion", "stable"],
        "mask": ["insertion"],
        "random": ["insertion", "stable"],
    }


def asked_of():
    return Benchmark({}, {"mass": RelevanceMass()}, {"mask": MaskMap()})


class Pixels(torch.nn.Module):
    def forward(self, x):
        return torch.cat([x, 1 - x], dim=1)


def test_a_part_of_a_batch_has_its_part_of_any_target():
    labels = torch.randint(0, 2, (3, 4, 4))
    whole = Batch(images()[:3], KEYS[:3], PixelTarget(labels))
    part, by_hand = whole.take([2, 0]), Batch(images()[[2, 0]], [KEYS[2], KEYS[0]], PixelTarget(labels[[2, 0]]))
    assert list(part.keys) == list(by_hand.keys)
    asked = Benchmark({"ig": IntegratedGradients(steps=3)}, {"insertion": Insertion(steps=4)})
    (found,), (expected,) = (measure(asked, Pixels(), batch) for batch in (part, by_hand))
    (item,) = expected.items
    assert torch.equal(found.tensors[f"value/{item}"], expected.tensors[f"value/{item}"])
    assert found.facts["predictions"] is None  # of a target that compares no classes nothing is predicted
    assert bool(found.tensors["confidence"].isnan().all())


def test_a_part_of_regions_is_one_of_regions():
    """Its metrics ask for them, and the layer that explains is looked for as in a whole batch."""
    masks = torch.zeros(3, 4, 4, dtype=torch.bool)
    masks[0, 0], masks[1, 1], masks[2, 2] = True, True, True
    whole = Batch(images()[:3], KEYS[:3], RegionTarget(torch.tensor([0, 1, 1]), masks, masks.roll(1, 1), "prob"))
    part = whole.take([2, 0]).target
    assert isinstance(part, RegionTarget)
    assert part.index.tolist() == [1, 0]
    assert part.score == "prob"
    assert torch.equal(part.mask, masks[[2, 0]])
    assert torch.equal(part.others, masks.roll(1, 1)[[2, 0]])
    pixels = Batch(images()[:3], KEYS[:3], PixelTarget(masks.long())).take([1]).target
    assert pixels.dense is PixelTarget.dense


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"methods": {}, "controls": {}}, "`methods` must be at least one, got none"),
        ({"metrics": {}}, "`metrics` must be at least one, got none"),
        ({"controls": {"ig": RandomMap()}}, "`controls` must be named otherwise than the methods, got ig"),
    ],
)
def test_refused(settings, message):
    with pytest.raises(ArgumentError, match=message):
        benchmark(**settings)

"""What every metric promises; `_reference/metrics.py` lists who takes part."""

import inspect
import pickle

import pytest
import torch
from torch import nn
from torchmetrics import MetricCollection

from _reference.metrics import (
    ALL,
    METHOD,
    OF_CLASSES,
    SMALL,
    TARGET,
    UNDEFINED_WHERE_CONSTANT,
    UNDEFINED_WHERE_ZERO,
    build,
    explained,
    needs,
    samples,
    seen,
    update,
)
from _reference.nets import Counter, cnn
from _reference.trace import snapshot
from lit_attr import metrics
from lit_attr.metrics import METRICS, AttributionMetric, Evaluation, MetricSuite, functional

# What `compute` says of samples that were left out is tested in `test_base.py`.
pytestmark = pytest.mark.filterwarnings("ignore:.*(skipped for NaN|leaves out samples):UserWarning")

WITH_CHUNKS = [name for name in ALL if "max_batch" in inspect.signature(METRICS.get(name)).parameters]


def values(metric, model, batch, target=TARGET):
    """What the metric finds of each sample, `[B]`."""
    name = METRICS.name_of(metric)
    needed = needs(name, batch)
    model, target = seen(name, model, batch, target)
    evaluation = Evaluation(model, batch.images, target, needed.get("masks"))
    return metric.per_sample(evaluation.of(batch.attribution, needed.get("method")))


def assert_same_states(one, other, tolerance=1e-11):
    for name in other._defaults:
        found, expected = getattr(one, name), getattr(other, name)
        torch.testing.assert_close(found, expected, rtol=0, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


class Flat(nn.Module):
    """Says the same of every sample."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(2, 2)  # there is something to randomise

    def forward(self, inputs):
        return inputs.flatten(1)[:, :1] * 0 + torch.tensor([0.0, 1.0, 2.0], dtype=inputs.dtype)


class Broken(nn.Module):
    """NaN for all samples that have a very bright pixel, whatever else is changed in them."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, inputs):
        marked = (inputs > 0.95).flatten(1).any(1)
        return self.model(inputs) * torch.where(marked, torch.nan, 1.0)[:, None]  # NaN gradients too


@pytest.mark.parametrize("name", ALL)
def test_flags(name):
    cls = METRICS.get(name)
    assert cls.full_state_update is False
    assert cls.is_differentiable is False
    assert isinstance(build(name).higher_is_better, bool)
    assert len([c for c in cls.__mro__ if issubclass(c, AttributionMetric)]) <= 2


@pytest.mark.parametrize("name", ALL)
def test_is_public_and_has_a_function_of_its_settings(name):
    assert METRICS.get(name).__name__ in metrics.__all__
    assert name in functional.__all__
    function, cls = getattr(functional, name), METRICS.get(name)
    assert function.__module__ == cls.__module__
    # How samples are put together is nothing to a function of each.
    settings = [str(p) for name, p in inspect.signature(cls).parameters.items() if name != "aggregate"]
    taken = [str(p) for p in inspect.signature(function).parameters.values()]
    assert taken[len(taken) - len(settings) :] == settings


@pytest.mark.parametrize("name", ALL)
def test_the_function_gives_the_values_of_the_class(name):
    model = cnn()
    batch = explained(name, model, samples())
    function, maps = getattr(functional, name), batch.attribution.sum(1)
    asked, target = seen(name, model, batch)
    given = {"inputs": batch.images, "maps": maps, "model": asked, "target": target, "method": METHOD}
    given |= {"attribution": batch.attribution, "masks": batch.masks}
    first = {key: given[key] for key in inspect.signature(function).parameters if key in given}
    found = function(**first, **SMALL.get(name, {}))
    torch.testing.assert_close(found, values(build(name), model, batch), equal_nan=True)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("parts", [[4, 2, 4, 1], [11], [1] * 11], ids=str)
def test_split_and_order_change_nothing(name, parts):
    batch, model = samples(11), cnn()
    order = torch.randperm(11, generator=torch.Generator().manual_seed(4))
    metric, expected = build(name), values(build(name), model, batch)
    for part in order.split(parts):
        update(metric, model, batch.part(part))
    used = expected[expected.isfinite()]
    assert len(used) > 3
    assert (metric.count, metric.undefined, metric.invalid) == (len(used), 11 - len(used), 0)
    assert float(metric.value_sum / metric.count) == pytest.approx(float(used.mean()), abs=1e-11)
    torch.testing.assert_close(metric.compute(), used.mean().float())
    torch.testing.assert_close(metric.standard_error(), (used.std() / len(used) ** 0.5).float())
    assert metric.compute().dtype == torch.float32


@pytest.mark.parametrize("name", ALL)
def test_values_differ_between_samples(name):
    """A metric that says the same of everything would pass most of these tests."""
    model = cnn()
    found = values(build(name), model, explained(name, model, samples(11)))
    assert len(set(found[found.isfinite()].tolist())) > 1


@pytest.mark.parametrize("name", ALL)
def test_one_sample_alone_is_what_it_is_among_others(name):
    batch, model = samples(), cnn()
    together = values(build(name), model, batch)
    for i in range(4):
        alone = values(build(name), model, batch.part(slice(i, i + 1)))
        torch.testing.assert_close(alone, together[i : i + 1], rtol=1e-9, atol=1e-11, equal_nan=True)


@pytest.mark.parametrize("name", WITH_CHUNKS)
@pytest.mark.parametrize("max_batch", [1, 3, 1000])
def test_chunk_size_changes_nothing_and_is_held(name, max_batch):
    batch, model = samples(), Counter(cnn())
    found = values(build(name, max_batch=max_batch), model, batch)
    expected = values(build(name), model.model, batch)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11, equal_nan=True)
    assert model.largest <= max(4, max_batch)  # the clean pass and an explanation take the batch as it comes
    assert torch.equal(build(name, max_batch=3)._cfg, build(name)._cfg)


@pytest.mark.parametrize("name", ALL)
def test_counted_passes_are_the_declared_ones(name):
    batch, model, metric = samples(), Counter(cnn()), build(name)
    update(metric, model, batch)
    again = [metric.explanations * count for count in METHOD.passes()]
    assert model.forwards == 4 * (metric.passes.forward + again[0])
    assert model.backwards == 4 * (metric.passes.backward + again[1])
    asked, target = seen(name, model, batch)
    metric(asked, batch.images, target, batch.attribution, **needs(name, batch))
    assert model.forwards == 2 * 4 * (metric.passes.forward + again[0])  # called, it updates once
    assert metric.count + metric.undefined == 8


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_attribution_that_is_not_finite_is_skipped_and_counted(name, bad):
    batch, model = samples(), cnn()
    batch.attribution[0, 1, 2, 3] = bad
    metric = update(build(name), model, batch)
    expected = update(build(name), model, batch.part(slice(1, 4)))
    assert (metric.invalid, expected.invalid) == (1, 0)
    metric.invalid.zero_()
    assert_same_states(metric, expected)
    assert values(metric, model, batch)[0].isnan()


@pytest.mark.parametrize("name", [name for name in ALL if sum(build(name).passes)])
def test_output_that_is_not_finite_is_skipped_and_counted(name):
    batch, model = samples(), Broken(cnn())
    batch.images.mul_(0.9)
    batch.images[2, :, :2, :] = 0.975
    metric = update(build(name), model, batch)
    expected = update(build(name), model, batch.part([0, 1, 3]))
    assert metric.invalid == 1
    metric.invalid.zero_()
    assert_same_states(metric, expected)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("value", [0.0, 0.7])
def test_constant_attribution_is_counted(name, value):
    batch, model = samples(), cnn()
    batch.attribution[1] = value
    metric, others = update(build(name), model, batch), update(build(name), model, batch.part([0, 2, 3]))
    assert metric.invalid == 0
    used = 0 if name in (UNDEFINED_WHERE_CONSTANT if value else UNDEFINED_WHERE_ZERO) else 1
    assert (metric.count - others.count, metric.constant, metric.undefined - others.undefined) == (used, used, 1 - used)
    assert metric.compute().isfinite()


@pytest.mark.parametrize("name", ALL)
def test_padding_is_left_out(name):
    batch, model = samples(), cnn()
    valid = torch.tensor([True, True, True, False])
    assert_same_states(update(build(name), model, batch, valid=valid), update(build(name), model, batch.part(slice(3))))


@pytest.mark.parametrize("name", ALL)
def test_an_empty_batch_adds_nothing_and_runs_nothing(name):
    batch, model, metric = samples(), Counter(cnn()), build(name)
    update(metric, model, batch.part(slice(0)))
    assert model.forwards == 0
    assert_same_states(metric, build(name))
    assert values(metric, model, batch.part(slice(0))).shape == (0,)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_runs_in_any_gradient_mode(name, context):
    batch, model = samples(), cnn()
    expected, metric = update(build(name), model, batch), build(name)
    with context():
        inside = type(batch)(*(tensor.clone() for tensor in batch))  # inference tensors under inference_mode
        update(metric, model, inside)
        assert_same_states(metric, expected)
    update(metric, model, inside)
    assert metric.count == 2 * expected.count
    torch.testing.assert_close(metric.compute(), expected.compute())


@pytest.mark.parametrize("name", ALL)
def test_leaves_no_trace_in_model_and_random_state(name):
    batch, model = samples(), cnn().train()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    before, given = snapshot(model), [tensor.clone() for tensor in batch]
    first, second = (update(build(name), model, batch) for _ in range(2))
    assert snapshot(model) == before
    assert all(torch.equal(tensor, kept) for tensor, kept in zip(batch, given, strict=True))
    assert_same_states(first, second, tolerance=0)  # no dropout, the same draws


@pytest.mark.parametrize("name", ALL)
def test_clone_and_pickle_keep_the_sums_and_hold_no_model(name):
    batch, model = samples(), cnn()
    metric = update(build(name), model, batch)
    for copy in (metric.clone(), pickle.loads(pickle.dumps(metric))):
        assert_same_states(copy, metric, tolerance=0)
        assert copy.protocol == metric.protocol
        update(copy, model, batch)
        assert copy.count == 2 * metric.count
    metric.persistent(True)
    assert set(metric.state_dict()) == set(metric._defaults)
    assert not list(metric.parameters())
    assert len(list(metric.modules())) == 1
    metric.reset()
    assert_same_states(metric, build(name), tolerance=0)


@pytest.mark.parametrize("name", ALL)
def test_protocol_names_the_metric_and_is_plain_data(name):
    protocol = build(name).protocol
    assert protocol["metric"] == name
    kinds = (str, int, float, bool, type(None))

    def plain(value):
        if isinstance(value, list | tuple):
            return all(map(plain, value))
        return all(map(plain, value.values())) if isinstance(value, dict) else isinstance(value, kinds)

    assert plain(protocol)


def test_configurations_are_told_apart_byte_by_byte():
    told = [tuple(build(name)._cfg.tolist()) for name in ALL]
    assert len(set(told)) == len(ALL)
    assert all(0 <= byte < 256 for bytes_ in told for byte in bytes_)


def test_a_collection_keeps_metrics_apart_that_found_the_same():
    """A model that says the same of everything, with which many metrics are equal after the first batch."""
    batch, models = samples(), (Flat(), cnn())
    given = {"masks": batch.masks, "method": METHOD}
    collection = MetricCollection({name: build(name) for name in OF_CLASSES} | {"twin": build("insertion")})
    for model in models:
        collection.update(model, batch.images, TARGET, batch.attribution, **given)
    groups = sorted(map(sorted, collection.compute_groups.values()))
    assert groups == sorted([["insertion", "twin"], *([name] for name in OF_CLASSES if name != "insertion")])
    for name in OF_CLASSES:
        alone = build(name)
        for model in models:
            update(alone, model, batch)
        torch.testing.assert_close(collection.compute()[name], alone.compute(), equal_nan=True)


def test_in_a_suite_each_is_what_it_is_alone():
    batch, model = samples(7), cnn()
    suite = MetricSuite({name: build(name) for name in OF_CLASSES})
    for rows in torch.arange(7).split(4):
        part = batch.part(rows)
        suite.update(model, part.images, TARGET, part.attribution, method=METHOD, masks=part.masks)
    for name in OF_CLASSES:
        assert_same_states(suite[name], update(build(name), model, batch))


@pytest.mark.parametrize("name", ALL)
def test_groups_by_confidence(name):
    """Each group is what the metric finds over its samples alone, and all of them are the mixture."""
    batch, model = samples(12), cnn()
    asked, target = seen(name, model, batch)
    sure = Evaluation(asked, batch.images, target).confidence
    edge = float(sure.sort().values[5])  # it belongs to the group above it
    metric = build(name).split_by_confidence(edge)
    for rows in torch.arange(12).split(5):
        update(metric, model, batch.part(rows))
    parts = {"all": sure > 0, f"below_{edge:g}": sure < edge, f"from_{edge:g}": sure >= edge}
    assert [int(which.sum()) for which in parts.values()] == [12, 5, 7]
    for label, summary in metric.summaries().items():
        alone = update(build(name), model, batch.part(parts.pop(label)))
        torch.testing.assert_close(summary, alone.summaries()["all"], equal_nan=True)
    assert not parts

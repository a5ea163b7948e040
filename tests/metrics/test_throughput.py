"""Samples per second, by a clock that the test turns."""

import pytest
import torch

from lit_attr.metrics import Throughput, throughput


@pytest.fixture
def clock(monkeypatch):
    """`clock.now` is what `perf_counter` tells."""

    class Clock:
        now = 0.0

    found = Clock()
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: found.now)
    return found


def run(metric, clock, batches):
    for size, seconds in batches:
        clock.now += 100  # outside
        with metric.measure(torch.rand(size, 3)):
            clock.now += seconds


def test_samples_over_seconds_after_the_warmup(clock):
    metric = Throughput(warmup=2)
    run(metric, clock, [(4, 50.0), (4, 50.0), (4, 2.0), (4, 1.0), (1, 0.5)])
    assert metric.samples == 9
    assert metric.compute().per_device == pytest.approx(9 / 3.5)  # not the mean of rates
    assert metric.compute().total == metric.compute().per_device
    assert metric.compute().peak_memory.isnan()
    assert metric.protocol == {
        "metric": "throughput",
        "warmup": 2,
        "batch_size": 1,
        "dtype": "torch.float32",
        "device": "cpu",
    }


def test_what_was_warm_stays_warm(clock):
    metric = Throughput(warmup=1)
    run(metric, clock, [(4, 1.0), (4, 1.0)])
    metric.reset()
    assert metric.samples == 0
    run(metric, clock, [(6, 2.0)])
    assert metric.compute().per_device == 3


def test_of_two_processes_the_longer_one_counts(clock):
    """As the states are reduced: samples and seconds by their sum, the longest time by its maximum."""
    one, other = Throughput(warmup=0), Throughput(warmup=0)
    run(one, clock, [(8, 2.0)])
    run(other, clock, [(4, 4.0)])
    one.update(1, 1.0, peak_memory=500)
    other.update(1, 1.0, peak_memory=700)
    both = Throughput()
    both.update(1, 0.0)  # torchmetrics warns of a result before any update
    for name, reduce in both._reductions.items():
        setattr(both, name, reduce(torch.stack([getattr(one, name), getattr(other, name)])))
    found = both.compute()
    assert found.per_device == pytest.approx((8 + 4 + 2) / 8)
    assert found.total == pytest.approx((8 + 4 + 2) / 5)
    assert found.peak_memory == 700


def test_a_batch_that_fails_or_is_empty_does_not_count(clock):
    metric = Throughput(warmup=0)
    with pytest.raises(ZeroDivisionError), metric.measure(torch.rand(4, 3)):
        _ = 1 / 0
    run(metric, clock, [(0, 1.0)])
    assert metric.samples == 0


def test_no_time_is_no_rate(clock):
    metric = Throughput(warmup=0)
    run(metric, clock, [(4, 0.0)])
    assert metric.compute().per_device.isnan()
    assert metric.compute().total.isnan()


def test_the_device_is_waited_for_on_both_sides(clock, monkeypatch):
    waited = []
    monkeypatch.setattr(throughput, "_wait", lambda device: waited.append(clock.now))
    metric = Throughput(warmup=0)
    clock.now = 5.0
    with metric.measure(torch.rand(2, 3)):
        clock.now = 7.0
    assert waited == [5.0, 7.0]


def test_call_adds_once():
    metric = Throughput()
    assert metric(4, 2.0).per_device == 2
    assert metric(4, 4.0).per_device == 1
    assert metric.compute().per_device == pytest.approx(8 / 6)
    assert metric.higher_is_better is True


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="`warmup` must be an integer of at least 0"):
        Throughput(warmup=-1)
    with pytest.raises(ValueError, match="`samples` must be a positive integer"):
        Throughput().update(0, 1.0)
    with pytest.raises(ValueError, match="`seconds` must be a number of at least 0"):
        Throughput().update(1, -1.0)

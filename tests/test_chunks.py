import pytest
import torch

from lit_attr._checks import ArgumentError
from lit_attr._chunks import default_chunk, in_chunks

SAMPLE = torch.zeros(1, 3)


def chunks(total, max_batch):
    found = []
    in_chunks(total, SAMPLE, max_batch, lambda start, stop: found.append((start, stop)))
    return found


class Device:
    """Holds `capacity` variants: more run out of memory. Keeps what was done and what was tried."""

    def __init__(self, *capacities):
        self.capacities = list(capacities)
        self.done, self.tried = [], []

    def work(self, start, stop):
        self.tried.append(stop - start)
        capacity = self.capacities.pop(0) if len(self.capacities) > 1 else self.capacities[0]
        if stop - start > capacity:
            raise torch.OutOfMemoryError("out of memory")
        self.done.extend(range(start, stop))


@pytest.mark.parametrize("total", [0, 1, 2, 7, 16, 100])
@pytest.mark.parametrize("size", [1, 2, 3, 16, 1000, None])
def test_every_variant_once_in_order_in_even_chunks(total, size):
    found = chunks(total, size)
    assert [i for start, stop in found for i in range(start, stop)] == list(range(total))
    lengths = [stop - start for start, stop in found]
    limit = size or default_chunk(SAMPLE)
    assert len(lengths) == -(-total // limit)
    if lengths:
        assert max(lengths) <= limit
        assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize("capacity", [1, 2, 3, 5, 9, 10, 40])
def test_out_of_memory_halves_and_repeats_nothing(capacity):
    device = Device(capacity)
    in_chunks(40, SAMPLE, 16, device.work)
    assert device.done == list(range(40))


def test_the_chunk_that_failed_is_halved_not_the_limit_it_did_not_reach():
    device = Device(5)
    in_chunks(8, SAMPLE, 1000, device.work)
    assert device.tried == [8, 4, 4]


def test_memory_that_shrinks_midway():
    device = Device(8, 8, 2)
    in_chunks(32, SAMPLE, 8, device.work)
    assert device.done == list(range(32))
    assert device.tried[:4] == [8, 8, 8, 4]


@pytest.mark.parametrize("total", [1, 3])
def test_a_single_variant_that_does_not_fit_is_an_error(total):
    device = Device(0)
    with pytest.raises(torch.OutOfMemoryError, match="out of memory"):
        in_chunks(total, SAMPLE, None, device.work)
    assert device.tried[-1] == 1
    assert len(device.tried) == (1 if total == 1 else 2)


def test_other_errors_pass_at_once():
    calls = []

    def work(start, stop):
        calls.append(start)
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        in_chunks(4, SAMPLE, 2, work)
    assert calls == [0]


@pytest.mark.parametrize("bad", [0, -1, 2.0, True])
def test_max_batch_is_checked(bad):
    with pytest.raises(ArgumentError, match="`max_batch` must be a positive integer, got"):
        chunks(4, bad)


@pytest.mark.parametrize(
    ("shape", "chunk"), [((1, 3), 64), ((1, 3, 224, 224), 13), ((1, 3, 4000, 4000), 1), ((0, 3), 1)]
)
def test_default_on_a_cpu(shape, chunk):
    assert default_chunk(torch.empty(shape)) == chunk


def test_default_on_a_gpu_is_larger():
    assert default_chunk(torch.empty(1, 3, 224, 224, device="meta")) == 222

"""Shares of a data set: every sample once, the same number of batches everywhere."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import TensorDataset

from lit_attr.datamodules import ImageDataModule
from lit_attr.datamodules._distributed import ExactSampler, equal_batches


@pytest.mark.parametrize(("size", "world_size"), [(9, 2), (10, 3), (2, 2), (7, 4)])
def test_shares_hold_every_sample_once(size, world_size):
    data = TensorDataset(torch.arange(size))
    shares = [ExactSampler(data, world_size, rank) for rank in range(world_size)]
    assert sorted(index for share in shares for index in share) == list(range(size))
    assert [len(share) for share in shares] == [len(list(share)) for share in shares]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("size", range(4, 40))
@pytest.mark.parametrize("world_size", [2, 3, 4])
def test_all_processes_have_as_many_batches(size, world_size):
    batch_size = equal_batches(size, world_size, 4)
    shares = {len(range(rank, size, world_size)) for rank in range(world_size)}
    assert 1 <= batch_size <= 5
    assert len({-(-share // batch_size) for share in shares}) == 1


def test_largest_batch_size_that_fits_is_taken():
    assert equal_batches(8, 2, 4) == 4
    assert equal_batches(9, 2, 4) == 3
    assert equal_batches(25, 2, 4) == 5  # shares of 13 and 12: neither 4, 3, 2 nor 1 will do


def test_every_process_needs_a_sample():
    line = r"^`trainer.devices` must be at most the number of samples to evaluate \(2\), got 3 processes$"
    with pytest.raises(ValueError, match=line):
        ExactSampler(TensorDataset(torch.arange(2)), 3, 0)


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_data_module_shares_its_evaluation_sets(stage):
    seen = []
    for rank in range(2):
        data = ImageDataModule("digits", batch_size=16)
        data.setup(stage)
        data.trainer = SimpleNamespace(world_size=2, global_rank=rank)
        loader = data.val_dataloader() if stage == "validate" else data.test_dataloader()
        seen.append((len(loader), sum(len(labels) for _, labels in loader)))
    dataset = data.val_dataset if stage == "validate" else data.test_dataset
    assert seen[0][0] == seen[1][0]
    assert seen[0][1] + seen[1][1] == len(dataset)

"""What all data modules have from their base."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import TensorDataset

from lit_attr.datamodules._loaders import Loaders


class Own(TensorDataset):
    """With a way of its own to make batches."""

    def collate(self, items):
        return [int(item[0]) for item in items]


def module(size=10, kind=TensorDataset, batch_size=4, rank=None):
    found = Loaders()
    found.batch_size, found.num_workers = batch_size, 0
    found.train_dataset = found.val_dataset = found.test_dataset = kind(torch.arange(size))
    if rank is not None:
        found.trainer = SimpleNamespace(world_size=2, global_rank=rank)
    return found


def test_a_data_set_makes_its_own_batches():
    assert list(module(kind=Own).val_dataloader()) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_single_training_batch_is_kept():
    assert len(module(size=3).train_dataloader()) == 1
    assert len(module(size=10).train_dataloader()) == 2


@pytest.mark.parametrize("stage", ["val", "test"])
def test_shares_of_evaluation_hold_every_sample_once(stage):
    shares = [getattr(module(11, Own, rank=rank), f"{stage}_dataloader")() for rank in (0, 1)]
    batches = [list(share) for share in shares]
    assert sorted(index for share in batches for found in share for index in found) == list(range(11))
    assert len(batches[0]) == len(batches[1])


@pytest.mark.parametrize("stage", ["train", "val", "test", "predict"])
def test_before_setup(stage):
    found = Loaders()
    with pytest.raises(RuntimeError, match="call setup"):
        getattr(found, f"{stage}_dataloader")()

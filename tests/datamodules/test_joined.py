import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from lit_attr.datamodules._joined import the_loader, with_more

SET = TensorDataset(torch.arange(10))
MORE = TensorDataset(torch.arange(10, 13))


def test_all_samples_are_shuffled_together():
    loader = with_more(DataLoader(SET, batch_size=4, shuffle=True, drop_last=True), MORE)
    batches = [batch.tolist() for (batch,) in loader]
    assert [len(batch) for batch in batches] == [4, 4, 4]
    found = [number for batch in batches for number in batch]
    assert len(set(found)) == 12
    assert found != sorted(found)


def test_the_settings_are_kept():
    def collate(items):
        return torch.stack([item[0] for item in items]) * 2

    own = torch.Generator().manual_seed(3)
    old = DataLoader(SET, batch_size=7, collate_fn=collate, timeout=0, num_workers=0, generator=own)
    loader = with_more(old, MORE)
    assert [batch.tolist() for batch in loader] == [list(range(0, 14, 2)), list(range(14, 26, 2))]
    assert loader.generator is own
    assert loader.num_workers == 0


@pytest.mark.parametrize(
    ("loader", "got"),
    [
        ([DataLoader(SET)], "list"),
        (DataLoader(SET, batch_size=None), "DataLoader with SequentialSampler"),
        (DataLoader(SET, sampler=WeightedRandomSampler([1.0] * 10, 10)), "DataLoader with WeightedRandomSampler"),
        (DataLoader(SET, sampler=RandomSampler(SET, replacement=True)), "DataLoader with RandomSampler"),
        (DataLoader(SET, sampler=RandomSampler(SET, num_samples=3)), "DataLoader with RandomSampler"),
        (DataLoader(SET, batch_sampler=BatchSampler(SequentialSampler(SET), 2, False)), "DataLoader with Seq"),
    ],
)
def test_other_loaders_are_refused(loader, got):
    with pytest.raises(ValueError, match=f"`base` must be a data module with one training DataLoader .*, got {got}"):
        the_loader(loader)

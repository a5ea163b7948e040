"""Samples of whatever holds data."""

import lightning as L
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lit_attr.benchmark._samples import take

INPUTS, LABELS = torch.arange(20.0).view(20, 1), torch.arange(20)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(TensorDataset(INPUTS, LABELS))


class Module(L.LightningDataModule):
    def setup(self, stage):
        assert stage == "validate"
        self.data = TensorDataset(INPUTS, LABELS)

    def val_dataloader(self):
        return [DataLoader(self.data, batch_size=4), DataLoader(self.data)]


@pytest.mark.parametrize(
    "data",
    [
        (INPUTS, LABELS),
        [(INPUTS[:6], LABELS[:6]), (INPUTS[6:], LABELS[6:])],
        [{"image": INPUTS, "label": LABELS}],
        DataLoader(Stream(), batch_size=4),
        iter([(INPUTS, LABELS), "never asked for"]),
    ],
)
def test_the_first_samples_with_their_labels(data):
    found = take(data, 9, seed=0)
    assert torch.equal(found.inputs, INPUTS[:9])
    assert torch.equal(found.labels, LABELS[:9])


@pytest.mark.parametrize("data", [DataLoader(TensorDataset(INPUTS, LABELS), batch_size=4, shuffle=True), Module()])
def test_a_data_set_with_numbers_is_drawn_from_by_the_seed(data):
    one, same, other = (take(data, 9, seed) for seed in (0, 0, 1))
    assert torch.equal(one.inputs, same.inputs)
    assert not torch.equal(one.inputs, other.inputs)
    assert len(set(one.labels.tolist())) == 9
    assert torch.equal(one.inputs[:, 0].long(), one.labels)
    assert len(take(data, 99, 0).inputs) == 20


def test_no_random_number_is_drawn_from_the_global_state():
    before = torch.get_rng_state()
    take(DataLoader(Stream(), batch_size=4), 9, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("data", [INPUTS, [INPUTS], [(INPUTS, LABELS.float())], [(INPUTS, LABELS[:, None])]])
def test_without_class_indices_there_are_no_labels(data):
    found = take(data, 5, seed=0)
    assert found.labels is None
    assert torch.equal(found.inputs, INPUTS[:5])


@pytest.mark.parametrize(
    ("data", "message"),
    [(7, "got int"), ([], "got no sample"), (INPUTS[:0], "got no sample"), (["x"], "got a batch with str")],
)
def test_other_data_is_refused(data, message):
    with pytest.raises(ValueError, match=r"`data` must be a tensor .*" + message):
        take(data, 5, seed=0)

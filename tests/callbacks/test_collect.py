"""The chosen samples, and what is made of a batch."""

from types import SimpleNamespace

import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset

from _reference.foreign import Foreign, Stripes, trainer
from _reference.squares import loader as squares
from lit_attr.callbacks._collect import choose, class_name, gather, own_samples, validation_loader


def stand_in(tmp_path, loader, rank=0, ranks=1):
    """A Trainer in validation, as far as it is asked."""
    return SimpleNamespace(
        testing=False,
        val_dataloaders=loader,
        global_rank=rank,
        world_size=ranks,
        precision_plugin=trainer(tmp_path).precision_plugin,
        strategy=SimpleNamespace(batch_to_device=lambda batch, device, dataloader_idx: batch),
    )


def test_choice_is_seeded_private_and_without_repetition():
    before = torch.get_rng_state()
    chosen = choose(100, 10, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert chosen == choose(100, 10, seed=3) != choose(100, 10, seed=4)
    assert len(set(chosen)) == 10
    assert sorted(choose(4, 10, seed=0)) == [0, 1, 2, 3]


def test_more_samples_keep_those_of_fewer():
    assert choose(100, 20, seed=0)[:10] == choose(100, 10, seed=0)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_ranks_share_the_chosen_samples(tmp_path, ranks):
    module, loader = Foreign(), DataLoader(Stripes(9), batch_size=4)
    chosen, seen = choose(9, 5, seed=0), {}
    for rank in range(ranks):
        one = stand_in(tmp_path, loader, rank, ranks)
        for samples in own_samples(one, module, chosen, size=2):
            assert len(samples.order) <= 2
            for place, number, image, label in zip(*samples[:4], strict=True):
                assert place not in seen
                seen[place] = number
                assert torch.equal(image, Stripes(9)[number][0])
                assert label == number % 2
    assert [seen[place] for place in range(5)] == chosen


class Stream(IterableDataset):
    def __iter__(self):
        return iter(())


@pytest.mark.parametrize("loaders", [DataLoader(Stream()), [], [[1, 2]]], ids=["iterable", "none", "no loader"])
def test_loaders_without_numbered_samples_are_refused(loaders):
    with pytest.raises(TypeError, match="map-style data set"):
        validation_loader(SimpleNamespace(testing=False, val_dataloaders=loaders))


def test_first_of_several_loaders_is_taken():
    first, second = DataLoader(Stripes(4)), DataLoader(Stripes(5))
    assert validation_loader(SimpleNamespace(testing=False, val_dataloaders=[first, second])) is first


def collected(tmp_path, batch):
    """What becomes of a batch that a loader's `collate_fn` makes."""
    loader = DataLoader(Stripes(4), collate_fn=lambda items: batch)
    (samples,) = own_samples(stand_in(tmp_path, loader), Foreign(), [0, 1], size=2)
    return samples


@pytest.mark.parametrize(
    ("batch", "got"),
    [
        (torch.zeros(2), "got Tensor of nothing"),
        ({"image": torch.zeros(2), "class": 1}, "got a mapping with image, class"),
        ((torch.zeros(2), "a"), "got tuple of Tensor, str"),
    ],
)
def test_batches_without_inputs_and_labels_are_refused(tmp_path, batch, got):
    with pytest.raises(TypeError, match=rf"a validation batch must be a tuple \(inputs, labels\) .*{got}"):
        collected(tmp_path, batch)


@pytest.mark.parametrize("keys", [("image", "label"), ("pixel_values", "labels"), ("x", "y"), ("images", "targets")])
def test_batches_as_mappings(tmp_path, keys):
    samples = collected(tmp_path, dict(zip(keys, (torch.rand(2, 1, 4, 4), torch.tensor([2, 0])), strict=True)))
    assert samples.labels.tolist() == [2, 0]


MASK = torch.tensor([[[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 1, 1, 0]]]).repeat(2, 1, 1)
BOX = torch.tensor([[1.0, 1.0, 3.0, 4.0], [1.0, 0.5, 3.0, 4.0]])


@pytest.mark.parametrize("mask", [MASK, MASK.bool(), MASK[:, None] * 255], ids=["numbers", "bool", "with channel"])
def test_masks_of_the_object(tmp_path, mask):
    images, labels = torch.rand(2, 1, 4, 4), torch.tensor([2, 0])
    for batch in ({"image": images, "label": labels, "mask": mask}, (images, labels, mask)):
        assert torch.equal(collected(tmp_path, batch).masks, MASK.bool())


def test_boxes_become_masks(tmp_path):
    batch = {"image": torch.rand(2, 1, 4, 4), "label": torch.tensor([2, 0]), "box": BOX}
    assert torch.equal(collected(tmp_path, batch).masks, MASK.bool())


def test_other_third_parts_of_a_batch_are_no_masks(tmp_path):
    images, labels = torch.rand(2, 1, 4, 4), torch.tensor([2, 0])
    for batch in ((images, labels), (images, labels, torch.arange(2)), (images, labels, "a")):
        assert collected(tmp_path, batch).masks is None


ONE_HOT = torch.tensor([[0, 0, 1], [1, 0, 0]])


@pytest.mark.parametrize("labels", [ONE_HOT, ONE_HOT.float(), torch.tensor([[2], [0]]), torch.tensor([2, 0]).int()])
def test_forms_of_labels(tmp_path, labels):
    assert collected(tmp_path, (torch.rand(2, 1, 4, 4), labels)).labels.tolist() == [2, 0]


@pytest.mark.parametrize("labels", [torch.tensor([[1, 0, 1], [0, 1, 0]]), torch.rand(2, 3), torch.rand(2)])
def test_labels_that_are_no_classes_are_refused(tmp_path, labels):
    with pytest.raises(
        TypeError, match=r"labels of a validation batch must be class indices \[B\], or one-hot .* got "
    ):
        collected(tmp_path, (torch.rand(2, 1, 4, 4), labels))


def test_one_process_gathers_its_own():
    assert gather([1, 2]) == [1, 2]


def test_class_names_where_there_are_any():
    named = class_name(SimpleNamespace(datamodule=SimpleNamespace(class_names=("cat", "dog"))))
    assert [named(0), named(1), named(2)] == ["cat", "dog", "2"]
    assert class_name(SimpleNamespace(datamodule=None))(1) == "1"


def dense(tmp_path, loader, chosen, size=4):
    return list(own_samples(stand_in(tmp_path, loader), Foreign(), chosen, size, dense=True))


def test_labels_of_pixels_only_where_they_are_asked_for(tmp_path):
    (samples,) = dense(tmp_path, squares(), [0, 1])
    assert samples.labels.shape == (2, 16, 24)
    assert samples.labels.dtype == torch.long
    with pytest.raises(TypeError, match=r"labels .* must be class indices \[B\]"):
        list(own_samples(stand_in(tmp_path, squares()), Foreign(), [0], size=1))


def test_images_of_one_size_are_explained_together_and_none_is_filled_up(tmp_path):
    loader = squares(sizes=((16, 24), (16, 24), (12, 20)))
    found = dense(tmp_path, loader, [0, 1, 2, 3, 5])
    assert [samples.numbers for samples in found] == [[0, 1], [2], [3], [5]]
    assert [tuple(samples.images.shape[2:]) for samples in found] == [(16, 24), (12, 20), (16, 24), (12, 20)]


def test_masks_of_another_size_are_refused(tmp_path):
    items = [(torch.rand(3, 8, 8), torch.zeros(4, 4, dtype=torch.long))]
    with pytest.raises(TypeError, match=r"masks of the images' size \[B, H, W\]; got images \(1, 3, 8, 8\)"):
        dense(tmp_path, DataLoader(items), [0])

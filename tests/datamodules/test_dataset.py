"""Items of a data set, and the split."""

import numpy as np
import pytest
import torch
from PIL import Image

from lit_attr.datamodules import ImageReadError
from lit_attr.datamodules._dataset import ImageDataset, LabelledImages, stratified_split, with_channels
from lit_attr.datamodules.augmentation import evaluation_transform

TRANSFORM = evaluation_transform(4, margin=False)


def test_items_from_memory():
    images = torch.arange(3, dtype=torch.uint8).view(3, 1, 1, 1).expand(3, 1, 4, 4)
    dataset = ImageDataset(LabelledImages(images, torch.tensor([5, 6, 7])), torch.tensor([2, 0]), 1, TRANSFORM)
    assert len(dataset) == 2
    assert dataset.labels.tolist() == [7, 5]
    image, label = dataset[0]
    assert torch.equal(image, torch.full((1, 4, 4), 2 / 255))
    assert label == 7
    assert isinstance(label, int)


def test_items_from_files_and_a_broken_one(tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.fromarray(np.full((4, 4), 51, dtype=np.uint8)).save(good)
    bad.write_bytes(good.read_bytes()[:50])
    dataset = ImageDataset(LabelledImages([str(good), str(bad)], torch.tensor([0, 1])), torch.arange(2), 3, TRANSFORM)
    torch.testing.assert_close(dataset[0][0], torch.full((3, 4, 4), 0.2))
    with pytest.raises(ImageReadError, match=r"bad\.png"):
        dataset[1]


def test_with_channels():
    grey = torch.tensor([[[10, 20]]], dtype=torch.uint8)
    assert with_channels(grey, 3).tolist() == [[[10, 20]]] * 3
    assert with_channels(with_channels(grey, 3), 3).tolist() == [[[10, 20]]] * 3
    red = torch.tensor([200, 0, 0], dtype=torch.uint8).view(3, 1, 1)
    assert abs(int(with_channels(red, 1)) - 0.299 * 200) < 1


@pytest.mark.parametrize("fraction", [0.1, 0.15, 0.5, 0.9])
def test_split_is_stratified_and_complete(fraction, rng_untouched):
    labels = torch.arange(101) % 7
    rest, part = stratified_split(labels, fraction, seed=0)
    assert torch.cat([rest, part]).sort().values.tolist() == list(range(101))
    assert len(part) == int(101 * fraction + 0.5)
    for label, count in enumerate(labels.bincount().tolist()):
        assert abs(int((labels[part] == label).sum()) - fraction * count) < 1 + 1e-9


def test_split_depends_on_the_seed_alone(rng_untouched):
    labels = torch.arange(100) % 10
    first = stratified_split(labels, 0.2, seed=3)[1]
    assert torch.equal(first, stratified_split(labels, 0.2, seed=3)[1])
    assert not torch.equal(first, stratified_split(labels, 0.2, seed=4)[1])

"""Images with masks as items and as batches; a wrong mask is named by its file."""

import pytest
import torch
from PIL import Image

from _reference.fake_data import palette_png
from lit_attr.datamodules import MaskError
from lit_attr.datamodules._masked import MaskedDataset, MaskedImages
from lit_attr.datamodules.joint import joint_evaluation_transform

MEAN = (0.25, 0.5, 0.75)


def dataset(source, indices=(0, 1), classes=3, size=None, with_cause=True):
    return MaskedDataset(
        source,
        torch.tensor(indices),
        num_classes=classes,
        ignore_index=255,
        mean=MEAN,
        transform=joint_evaluation_transform(size),
        with_cause=with_cause,
    )


def memory():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, 3, 4, 6), dtype=torch.uint8, generator=generator)
    masks = torch.randint(0, 3, (3, 4, 6), dtype=torch.uint8, generator=generator)
    return MaskedImages(images, masks, masks > 1)


def files(folder, mask, size=(6, 4)):
    Image.new("RGB", size, (10, 20, 30)).save(folder / "i.png")
    palette_png(folder / "m.png", mask)
    return MaskedImages([str(folder / "i.png")], [str(folder / "m.png")])


def test_from_memory():
    source = memory()
    data = dataset(source, indices=(2, 0))
    assert len(data) == 2
    image, mask, cause = data[0]
    torch.testing.assert_close(image, source.images[2] / 255)
    assert mask.dtype == torch.int64
    assert torch.equal(mask, source.masks[2].long())
    assert torch.equal(cause, source.causes[2])
    assert len(dataset(source, with_cause=False)[0]) == 2


def test_from_files(tmp_path):
    source = files(tmp_path, [[0, 1, 2, 255, 0, 0]] * 4)
    image, mask = dataset(source, [0])[0]
    assert (image[:, 0, 0] * 255).round().tolist() == [10, 20, 30]
    assert mask.tolist() == [[0, 1, 2, 255, 0, 0]] * 4


def test_a_label_that_is_no_class_is_named_with_its_file(tmp_path):
    source = files(tmp_path, [[0, 1, 2, 3, 0, 0]] * 4)
    with pytest.raises(MaskError, match=r"mask '.*m\.png' has the class 3; accepted: 0\.\.2, and 255 where"):
        dataset(source, [0])[0]


def test_a_mask_of_another_size_is_named_with_its_file(tmp_path):
    source = files(tmp_path, [[0, 1]])
    with pytest.raises(MaskError, match=r"mask '.*m\.png' has \(1, 2\) pixels .*, its image \(4, 6\)"):
        dataset(source, [0])[0]


def test_batches_of_different_sizes_are_filled_up_and_ignored():
    data = dataset(memory())
    items = [
        (torch.full((3, 2, 5), 0.9), torch.ones(2, 5, dtype=torch.long)),
        (torch.zeros(3, 4, 3), torch.zeros(4, 3).long()),
    ]
    images, masks = data.collate(items)
    assert images.shape == (2, 3, 4, 5)
    assert torch.equal(images[0, :, :2], items[0][0])
    assert torch.equal(images[1, :, :, :3], items[1][0])
    assert torch.equal(images[0, :, 2:], torch.tensor(MEAN).view(3, 1, 1).expand(3, 2, 5))
    assert masks[0].tolist() == [[1] * 5] * 2 + [[255] * 5] * 2
    assert masks[1].tolist() == [[0, 0, 0, 255, 255]] * 4


def test_batches_of_one_size_are_stacked():
    data = dataset(memory())
    parts = data.collate([data[0], data[1]])
    for part, *items in zip(parts, data[0], data[1], strict=True):
        assert torch.equal(part, torch.stack(items))

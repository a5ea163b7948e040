"""The data module of segmentation: arguments, parts, batches, and runs of a Trainer."""

import dataclasses
import os
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from _reference.fake_data import write_masked, write_voc
from _reference.foreign import trainer
from lit_attr.datamodules import ImageReadError, JointAugmentation, MaskError, SegmentationDataModule
from lit_attr.modules import Segmenter


def folder(root, classes=2, **settings):
    return SegmentationDataModule("folder", str(root), classes=classes, **{"size": 12, "crop": 8, **settings})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "pascal"}, "`dataset` is 'pascal'; accepted: folder, sbd, scenes, voc, voc_sbd"),
        ({"classes": 3}, "`classes` must be None for scenes, which has its own, got 3"),
        ({"dataset": "folder"}, "`classes` must be the number of classes, or their names, for a folder, got None"),
        ({"dataset": "folder", "classes": 0}, "`classes` must be a positive integer, got 0"),
        ({"dataset": "folder", "classes": 2, "masks": "masks"}, "`masks` must be a folder below root, with {part}"),
        ({"ignore_index": 2}, r"`ignore_index` must be no class \(0\.\.2\), got 2"),
        ({"size": 0}, "`size` must be a positive integer, got 0"),
        ({"crop": -1}, "`crop` must be a positive integer, got -1"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer, got 0"),
        ({"eval_batch_size": 0}, "`eval_batch_size` must be a positive integer, got 0"),
        ({"num_workers": -1}, "`num_workers` must be a number of at least 0, got -1"),
        ({"val_fraction": 1.0}, r"`val_fraction` must be in \(0, 1\), got 1.0"),
        ({"joint_augment": {"flip": 2}}, r"`flip` must be in \[0, 1\], got 2"),
    ],
)
def test_wrong_arguments(settings, message):
    with pytest.raises(ValueError, match=message):
        SegmentationDataModule(**settings)


@pytest.mark.parametrize(
    ("dataset", "size", "crop", "classes"),
    [("scenes", None, None, 3), ("voc", 520, 480, 21), ("voc_sbd", 520, 480, 21)],
)
def test_attributes_need_no_files(dataset, size, crop, classes):
    data = SegmentationDataModule(dataset)
    assert (data.size, data.crop, data.num_classes, data.channels) == (size, crop, classes, 3)


def test_names_of_a_folders_classes():
    assert folder("x", classes=["road", "car"]).class_names == ("road", "car")
    assert folder("x", classes=2).class_names == ("0", "1")


def test_scenes():
    data = SegmentationDataModule(batch_size=16)
    data.prepare_data()
    data.setup()
    images, masks, causes = next(iter(data.val_dataloader()))
    assert (images.shape, images.dtype) == ((16, 3, 64, 64), torch.float32)
    assert 0 <= images.min() <= images.max() <= 1
    assert (masks.shape, masks.dtype) == ((16, 64, 64), torch.int64)
    assert (causes.shape, causes.dtype) == ((16, 64, 64), torch.bool)
    assert (causes | (masks == 0)).all()
    assert (causes & (masks == 0)).flatten(1).any(1).all()
    assert len(data.test_dataset[0]) == 3
    assert len(data.train_dataset[0]) == 2


def test_only_training_images_are_augmented():
    plain, turned = SegmentationDataModule(), SegmentationDataModule(joint_augment=JointAugmentation(flip=1.0))
    for data in (plain, turned):
        data.setup()
    for a, b in zip(turned.train_dataset[0], plain.train_dataset[0], strict=True):
        assert torch.equal(a, b.flip(-1))
    for a, b in zip(turned.val_dataset[0], plain.val_dataset[0], strict=True):
        assert torch.equal(a, b)


def test_voc(tmp_path):
    write_voc(tmp_path)
    data = SegmentationDataModule("voc", str(tmp_path), size=12, crop=10, batch_size=2)
    data.prepare_data()
    data.setup()
    images, masks = next(iter(data.train_dataloader()))
    assert images.shape == (2, 3, 10, 10)
    assert masks.shape == (2, 10, 10)
    found = list(data.val_dataloader())
    assert [image.shape for image, _ in found] == [(1, 3, 12, 16), (1, 3, 12, 20)]  # one at a time, nothing filled up
    assert all((mask[:, 0] == 255).all() and mask[:, 1:].max() <= 20 for _, mask in found)
    assert [len(image) for image, _ in data.test_dataloader()] == [1, 1]  # of the validation part


def test_larger_batches_of_different_sizes(tmp_path):
    write_voc(tmp_path)
    data = SegmentationDataModule("voc", str(tmp_path), size=12, eval_batch_size=2)
    data.setup("validate")
    [(images, masks)] = list(data.val_dataloader())
    assert images.shape == (2, 3, 12, 20)
    assert (masks[0, :, 16:] == 255).all()


def test_held_out_share_follows_the_seed(tmp_path):
    write_masked(tmp_path, {"train": 10})

    def parts(**settings):
        data = folder(tmp_path, val_fraction=0.3, **settings)
        data.prepare_data()
        data.setup()
        return [part.indices.tolist() for part in (data.train_dataset, data.val_dataset, data.test_dataset)]

    train, val, test = parts()
    assert (len(train), len(val)) == (7, 3)
    assert sorted(train + val) == list(range(10))
    assert val == test
    assert parts() == [train, val, test]
    assert parts(seed=5) != [train, val, test]


def test_too_few_images_to_hold_any_out(tmp_path):
    write_masked(tmp_path, {"train": 2})
    with pytest.raises(ValueError, match="`val_fraction` must be such that some image is left for val"):
        folder(tmp_path).setup("fit")


def test_a_wrong_label_is_named_with_its_file_from_a_worker(tmp_path):
    write_masked(tmp_path, {"train": 4, "val": 2}, classes=5)
    data = folder(tmp_path, num_workers=1)
    data.setup("validate")
    with pytest.raises(MaskError, match=r"mask '.*val/masks/0\.png' has the class \d; accepted: 0\.\.1, and 255"):
        list(data.val_dataloader())


def test_a_broken_mask_is_named(tmp_path):
    write_masked(tmp_path, {"train": 4, "val": 1})
    (tmp_path / "val" / "masks" / "0.png").write_bytes(b"")
    data = folder(tmp_path)
    data.setup("validate")
    with pytest.raises(ImageReadError, match=r"cannot read mask '.*0\.png': the file is empty"):
        list(data.val_dataloader())


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_processes_share_the_evaluation_sets(stage):
    seen = []
    for rank in range(3):
        data = SegmentationDataModule("scenes", batch_size=16)
        data.setup(stage)
        data.trainer = SimpleNamespace(world_size=3, global_rank=rank)
        loader = data.val_dataloader() if stage == "validate" else data.test_dataloader()
        seen.append((len(loader), [image.numpy().tobytes() for images, *_ in loader for image in images]))
    assert len({batches for batches, _ in seen}) == 1
    assert len({image for _, images in seen for image in images}) == sum(len(images) for _, images in seen) == 256


def test_predict(tmp_path):
    for name, size in {"a.png": (9, 12), "b.png": (20, 10)}.items():
        Image.new("RGB", size, (255, 0, 0)).save(tmp_path / name)
    data = SegmentationDataModule("voc", os.devnull, size=10, predict_path=str(tmp_path), batch_size=4)
    found = trainer(tmp_path).predict(Segmenter("small_segmenter", 21), datamodule=data)
    assert [batch["prediction"].shape for batch in found] == [(1, 13, 10), (1, 10, 20)]
    with pytest.raises(ValueError, match="`predict_path` must be given to predict"):
        SegmentationDataModule().setup("predict")


def test_fit_and_rebuild_from_the_checkpoint(tmp_path):
    augment = JointAugmentation(flip=0.5, scale=(0.9, 1.1), jitter=0.1)
    data = SegmentationDataModule(batch_size=4, crop=32, joint_augment=augment, download=True)
    run = trainer(tmp_path, max_epochs=1, limit_train_batches=2, limit_val_batches=1)
    run.fit(Segmenter("small_segmenter", 3), datamodule=data)
    run.save_checkpoint(tmp_path / "x.ckpt")
    stored = torch.load(tmp_path / "x.ckpt", weights_only=True)["datamodule_hyper_parameters"]
    assert stored["joint_augment"] == dataclasses.asdict(augment)
    rebuilt = SegmentationDataModule.load_from_checkpoint(tmp_path / "x.ckpt", weights_only=True)
    assert (rebuilt.joint_augment, rebuilt.crop, rebuilt.download) == (augment, 32, False)

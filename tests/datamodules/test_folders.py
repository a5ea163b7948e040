"""Folders of classes, and what is wrong with them."""

import pytest

from lit_attr.datamodules._catalog import SOURCES
from lit_attr.datamodules._folders import ImageNet

FOLDER, IMAGENET = SOURCES["folder"], SOURCES["imagenet"]


@pytest.fixture
def two_classes(monkeypatch):
    """ImageNet with two classes instead of a thousand."""
    monkeypatch.setattr(ImageNet, "class_names", lambda self, root: ("tench", "goldfish"))


def test_labels_follow_the_names_of_the_folders(tmp_path, write_tree):
    write_tree(tmp_path, {"train": {"dog": 1, "cat": 2}, "val": {"dog": 1}})
    (tmp_path / "train" / ".hidden").mkdir()
    (tmp_path / "train" / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "train" / "cat" / "._0.png").write_text("left by another system")
    assert FOLDER.class_names(tmp_path) == ("cat", "dog")
    assert FOLDER.parts(tmp_path) == ("train", "val")
    train = FOLDER.load(tmp_path, "train")
    assert train.labels.tolist() == [0, 0, 1]
    assert [path.split("train")[-1][1:] for path in train.images] == ["cat/0.png", "cat/1.png", "dog/0.png"]
    assert FOLDER.load(tmp_path, "val").labels.tolist() == [1]  # a class may be absent there and keeps its index


def test_validation_alone_can_be_loaded(tmp_path, write_tree):
    write_tree(tmp_path, {"val": {"a": 1, "b": 1}})
    assert FOLDER.load(tmp_path, "val").labels.tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"`root` must be a folder with train/<class>/<image>"):
        FOLDER.load(tmp_path, "train")


def test_missing_root(tmp_path):
    message = rf"`root` must be a folder with train/<class>/<image>.*, got {tmp_path}/none"
    with pytest.raises(ValueError, match=message):
        FOLDER.prepare(tmp_path / "none")
    with pytest.raises(ValueError, match=message):
        FOLDER.class_names(tmp_path / "none")


def test_images_without_class_folders(tmp_path, write_tree):
    write_tree(tmp_path, {"train": {"": 2}})
    with pytest.raises(ValueError, match="`root` must be a folder with train/<class>/<image>"):
        FOLDER.prepare(tmp_path)


def test_empty_class(tmp_path, write_tree):
    write_tree(tmp_path, {"train": {"a": 1, "b": 0}})
    with pytest.raises(
        ValueError, match=rf"`root/train` must be folders that hold images .* got no image in {tmp_path}/train/b"
    ):
        FOLDER.load(tmp_path, "train")


def test_empty_part(tmp_path, write_tree):
    write_tree(tmp_path, {"train": {"a": 1}})
    (tmp_path / "test").mkdir()
    with pytest.raises(ValueError, match=rf"got no image in {tmp_path}/test"):
        FOLDER.load(tmp_path, "test")


def test_unknown_class_in_validation(tmp_path, write_tree):
    write_tree(tmp_path, {"train": {"a": 1}, "val": {"a": 1, "b": 1}})
    with pytest.raises(ValueError, match="`root/val` must be divided into the classes of root/train, got a folder b"):
        FOLDER.load(tmp_path, "val")


def test_imagenet_folders(tmp_path, write_tree, two_classes):
    write_tree(tmp_path, {"train": {"n02": 2, "n01": 1}, "val": {"n01": 1, "n02": 1}})
    IMAGENET.prepare(tmp_path)
    assert IMAGENET.parts(tmp_path) == ("train", "val")
    assert IMAGENET.load(tmp_path, "train").labels.tolist() == [0, 1, 1]
    assert IMAGENET.load(tmp_path, "val").labels.tolist() == [0, 1]


def test_imagenet_says_which_files_it_needs(tmp_path, write_tree, two_classes):
    files = r"train/<wnid>.*ILSVRC2012_img_train\.tar, ILSVRC2012_img_val\.tar and ILSVRC2012_devkit_t12\.tar\.gz"
    with pytest.raises(ValueError, match=files):
        IMAGENET.prepare(tmp_path)
    write_tree(tmp_path, {"val": {"n01": 1, "n02": 1}})
    IMAGENET.prepare(tmp_path)  # enough to evaluate on
    with pytest.raises(ValueError, match=files):
        IMAGENET.load(tmp_path, "train")


def test_imagenet_with_a_subset_of_the_classes(tmp_path, write_tree):
    write_tree(tmp_path, {"train": {"n01": 1, "n02": 1}})
    with pytest.raises(ValueError, match=r"of 1000 classes.*with 2 class folders .*`dataset: folder`"):
        IMAGENET.prepare(tmp_path)


def test_imagenet_unpacks_what_is_missing(tmp_path, monkeypatch, write_tree, two_classes):
    calls = []

    def unpack(root, split):
        calls.append(split)
        write_tree(root, {split: {"n01": 1, "n02": 1}})

    monkeypatch.setattr("torchvision.datasets.ImageNet", unpack)
    write_tree(tmp_path, {"train": {"n01": 1, "n02": 1}})
    for part in ("train", "val"):
        (tmp_path / f"ILSVRC2012_img_{part}.tar").touch()
    IMAGENET.prepare(tmp_path)
    IMAGENET.prepare(tmp_path)
    assert calls == ["val"]

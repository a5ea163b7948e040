"""VOC, SBD without VOC's validation images, and folders; what is missing is said."""

from pathlib import Path

import pytest
from torchvision import datasets

from _reference.fake_data import write_masked, write_sbd, write_voc
from lit_attr.datamodules._segmentation_sources import MaskFolder, Sbd, Voc
from lit_attr.datamodules.masks import read_mask
from lit_attr.datamodules.reading import read_image


def ids(found):
    assert [Path(path).stem for path in found.images] == [Path(path).stem for path in found.masks]
    return [Path(path).stem for path in found.images]


def readable(found):
    for image, mask in zip(found.images, found.masks, strict=True):
        assert read_image(image, 3).shape[1:] == read_mask(mask).shape


def test_voc(tmp_path):
    write_voc(tmp_path)
    source = Voc()
    source.prepare(tmp_path, download=False)
    assert source.parts(tmp_path) == ("train", "val")
    assert ids(source.load(tmp_path, "train")) == ["v1", "v2", "v3"]
    assert ids(source.load(tmp_path, "val")) == ["v4", "v5"]
    readable(source.load(tmp_path, "val"))
    assert len(source.class_names) == 21
    assert (source.class_names[0], source.class_names[15], source.class_names[20]) == (
        "background",
        "person",
        "tvmonitor",
    )


def test_sbd_leaves_out_the_images_that_voc_is_validated_by(tmp_path):
    write_voc(tmp_path)
    write_sbd(tmp_path)
    source = Sbd()
    source.prepare(tmp_path, download=False)
    assert ids(source.load(tmp_path, "train")) == ["s1", "v1"]  # without v4
    assert ids(source.load(tmp_path, "val")) == ["s2", "s3"]  # without v5
    readable(source.load(tmp_path, "train"))


def test_voc_and_what_sbd_has_beyond_it(tmp_path):
    write_voc(tmp_path)
    write_sbd(tmp_path)
    source = Sbd(with_voc=True)
    train = source.load(tmp_path, "train")
    assert ids(train) == ["v1", "v2", "v3", "s1", "s2", "s3"]
    assert "VOC2012" in train.masks[0]  # of an image in both, VOC's own mask
    assert ids(source.load(tmp_path, "val")) == ["v4", "v5"]
    assert not set(ids(train)) & set(ids(source.load(tmp_path, "val")))


def test_the_list_of_voc_alone_is_enough_for_sbd(tmp_path):
    write_sbd(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"val\.txt': the list .* of VOC this one file is enough"):
        Sbd().prepare(tmp_path, download=False)
    lists = tmp_path / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("v4\nv5\n")
    Sbd().prepare(tmp_path, download=False)
    assert ids(Sbd().load(tmp_path, "train")) == ["s1", "v1"]


@pytest.mark.parametrize(("source", "name"), [(Voc(), "Pascal VOC 2012"), (Sbd(), "the Semantic Boundaries Dataset")])
def test_nothing_is_downloaded_unasked(tmp_path, monkeypatch, source, name):
    for module in ("voc", "sbd"):
        monkeypatch.setattr(f"torchvision.datasets.{module}.download_and_extract_archive", forbidden)
    with pytest.raises(FileNotFoundError, match=f"{name} is not in '.*'; `--data.download true` downloads it there"):
        source.prepare(tmp_path, download=False)


def forbidden(*_, **__):
    raise AssertionError("a download")


def test_download_where_it_is_asked_for(tmp_path, monkeypatch):
    """Once: torchvision would fail on its own folders the second time."""
    asked = []
    monkeypatch.setattr(
        "torchvision.datasets.voc.download_and_extract_archive",
        lambda *a, **k: [asked.append("voc"), write_voc(tmp_path)],
    )

    class Downloaded(datasets.SBDataset):
        def __init__(self, root, image_set, mode, download):
            if download:
                asked.append("sbd")
                write_sbd(root.parent)
            super().__init__(root, image_set, mode)

    monkeypatch.setattr(datasets, "SBDataset", Downloaded)
    for _ in range(2):
        Sbd().prepare(tmp_path, download=True)
        Voc().prepare(tmp_path, download=True)
    assert asked == ["voc", "sbd"]


def test_a_failed_download_is_said(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.datasets.voc.download_and_extract_archive", fail)
    with pytest.raises(OSError, match=r"Pascal VOC 2012 is not in '.*' and cannot be downloaded: no route to host"):
        Voc().prepare(tmp_path, download=True)


def folder(**patterns):
    return MaskFolder(class_names=("a", "b"), **patterns)


def test_folder(tmp_path):
    write_masked(tmp_path, {"train": 3, "test": 1})
    source = folder()
    source.prepare(tmp_path, download=False)
    assert source.parts(tmp_path) == ("train", "test")
    assert ids(source.load(tmp_path, "train")) == ["0", "1", "2"]
    readable(source.load(tmp_path, "test"))


def test_folders_of_another_layout(tmp_path):
    patterns = {"images": "{part}", "masks": "{part}_masks"}
    write_masked(tmp_path, {"train": 2, "val": 1}, **patterns)
    source = folder(**patterns)
    assert source.parts(tmp_path) == ("train", "val")
    assert ids(source.load(tmp_path, "val")) == ["0"]


def test_masks_lie_as_deep_as_their_images(tmp_path):
    write_masked(tmp_path, {"train": 1}, images="{part}/images/berlin", masks="{part}/masks/berlin")
    found = folder().load(tmp_path, "train")
    assert found.masks == [str(tmp_path / "train" / "masks" / "berlin" / "0.png")]


def test_an_image_without_a_mask_is_named(tmp_path):
    write_masked(tmp_path, {"train": 2})
    (tmp_path / "train" / "masks" / "1.png").unlink()
    with pytest.raises(ValueError, match=r"`masks` must be one for each image, .*got none for .*images/1\.png"):
        folder().load(tmp_path, "train")


def test_a_missing_or_empty_folder(tmp_path):
    with pytest.raises(ValueError, match="`root` must be a folder with train/images/ and train/masks/"):
        folder().prepare(tmp_path, download=False)
    with pytest.raises(ValueError, match="`root` must be a folder with train/images/ and train/masks/"):
        folder().load(tmp_path, "val")
    (tmp_path / "val" / "images").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"`root` must be a folder with images .*, got no image in"):
        folder().load(tmp_path, "val")


def test_a_folder_is_not_downloaded(tmp_path):
    with pytest.raises(ValueError, match="`download` must be false for a folder, got True"):
        folder().prepare(tmp_path, download=True)

"""Masks and explanations of a segmenter, as they are on the disk."""

import csv

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file

from _reference.foreign import trainer
from _reference.squares import Colours, Squares
from lit_attr.attribution import HiResCAM
from lit_attr.callbacks import ExplanationWriter
from lit_attr.callbacks._segments import Written, write_segments
from lit_attr.datamodules import SegmentationDataModule, read_mask
from lit_attr.modules import Segmenter
from lit_attr.regions import RegionChoice
from lit_attr.targets import RegionTarget

FOUND = ["0.png.mask.png", "sub/1.png.mask.png"]


def model():
    return Segmenter(Colours(), num_classes=3, mean=[0.0, 0, 0], std=[1.0, 1, 1])


@pytest.fixture
def images(tmp_path):
    """Two images of other sizes than those that are predicted on, one in a folder below."""
    (tmp_path / "images/sub").mkdir(parents=True)
    for i, (name, size) in enumerate([("0.png", (48, 32)), ("sub/1.png", (36, 24))]):
        array = (Squares(6)[i][0].permute(1, 2, 0) * 255).byte().numpy()
        Image.fromarray(array).resize(size).save(tmp_path / "images" / name)
    return tmp_path / "images"


def predict(tmp_path, images, **settings):
    writer = ExplanationWriter(folder=str(tmp_path / "out"), **settings)
    data = SegmentationDataModule("folder", classes=3, size=16, predict_path=str(images))
    trainer(tmp_path, writer).predict(model(), data, return_predictions=False)
    data.setup("predict")
    with (tmp_path / "out/predictions.csv").open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}, data.predict_dataset


def test_masks_have_the_size_of_the_files_and_are_masks_to_train_on(tmp_path, images):
    rows, dataset = predict(tmp_path, images, method=None)
    out = tmp_path / "out"
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png")) == FOUND
    assert list(out.rglob("*.safetensors")) == []
    for name, image, size in (dataset[i] for i in range(2)):
        logits = F.interpolate(model().eval()(image[None]).detach(), size, mode="bilinear", align_corners=False)
        assert torch.equal(read_mask(out / f"{name}.mask.png"), logits[0].argmax(0))
        with Image.open(out / f"{name}.mask.png") as file:
            assert file.mode == "P"
        confidence = float(logits.softmax(1).amax(1).mean())
        assert float(rows[name]["confidence"]) == pytest.approx(confidence, abs=1e-5)
    assert [(rows[name]["prediction"], rows[name]["class_name"]) for name in ("0.png", "sub/1.png")] == [
        ("1", "1"),
        ("1 2", "1, 2"),
    ]


def test_each_predicted_class_is_explained_over_its_region(tmp_path, images):
    _, dataset = predict(tmp_path, images, method="hires_cam", regions=RegionChoice(score="prob"))
    out = tmp_path / "out"
    shown = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert shown == sorted([*FOUND, "0.png.1_1.png", "sub/1.png.1_1.png", "sub/1.png.2_2.png"])
    for name, image, _ in (dataset[i] for i in range(2)):
        stored, called = load_file(out / f"{name}.safetensors"), model().eval()(image[None]).argmax(1)
        classes = stored["classes"].tolist()
        assert classes == ([1] if name == "0.png" else [1, 2])
        for place, index in enumerate(classes):
            assert torch.equal(stored["masks"][place].bool(), called[0] == index)
            expected = HiResCAM()(model(), image[None], RegionTarget(index, called == index, score="prob"))
            torch.testing.assert_close(stored["attribution"][place], expected[0])


def test_nothing_but_background_is_a_prediction(tmp_path):
    logits = torch.tensor([2.0, 0.0, 0.0])[None, :, None, None].expand(1, 3, 4, 6)
    row = write_segments(
        tmp_path / "a.png", str, Written(["a.png"], torch.rand(1, 3, 4, 6), logits, None), RegionChoice()
    )
    assert (row["prediction"], row["class_name"]) == ("", "")
    assert not read_mask(tmp_path / "a.png.mask.png").any()


def test_finished_images_are_left_out(tmp_path, images, capsys):
    predict(tmp_path, images, method=None)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")}
    rows, _ = predict(tmp_path, images, method=None)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")} == before
    assert len(rows) == 2
    with pytest.raises(ValueError, match="holds predictions with other method"):
        predict(tmp_path, images, method="hires_cam")

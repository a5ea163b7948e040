"""Predictions written image by image, and taken up again where a run was killed."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from _reference.fake_data import write_images
from _reference.foreign import trainer
from lit_attr.attribution import FastIG
from lit_attr.callbacks import ExplanationWriter
from lit_attr.datamodules import ImageDataModule
from lit_attr.modules import Classifier

TRAIN = Path(__file__).parents[2] / "train.py"


def module(seed=0):
    torch.manual_seed(seed)
    return Classifier("cifar_resnet8", num_classes=10, mean=[0.5], std=[0.5])


def data(folder, **settings):
    return ImageDataModule("digits", size=16, batch_size=2, predict_path=str(folder), **settings)


def predict(tmp_path, writer=None, model=None, images="images"):
    writer = writer or ExplanationWriter("fast_ig", folder=str(tmp_path / "out"))
    runner = trainer(tmp_path, writer)
    runner.predict(model or module(), data(tmp_path / images), return_predictions=False)
    return tmp_path / "out"


def lines(folder):
    with (folder / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "images", 5)
    (tmp_path / "images/bad.png").write_text("no image")
    return tmp_path / "images"


@pytest.mark.filterwarnings("ignore:unreadable")
def test_every_image_has_its_files_and_line(tmp_path, images):
    model = module()
    out = predict(tmp_path, model=model)
    rows = {row["name"]: row for row in lines(out)}
    assert sorted(rows) == ["0.png", "1.png", "2.png", "3.png", "4.png", "bad.png"]
    source = data(images)
    source.setup("predict")
    for name, image in (source.predict_dataset[i] for i in range(5)):
        stored = load_file(out / f"{name}.safetensors")
        logits = model.eval()(image[None])[0].detach()
        assert torch.allclose(stored["logits"], logits, atol=1e-5)
        assert rows[name]["prediction"] == str(int(logits.argmax()))
        assert float(rows[name]["confidence"]) == pytest.approx(float(logits.softmax(0).max()), abs=1e-5)
        expected = FastIG()(model, image[None])[0]
        assert torch.allclose(stored["attribution"], expected, atol=1e-5)
        assert (out / f"{name}.png").stat().st_size > 0


def test_unreadable_image_is_reported_once_and_does_not_stop_the_rest(tmp_path, images):
    with pytest.warns(UserWarning, match=r"unreadable: 1 of the images: bad\.png \(not an image of a known format\)"):
        out = predict(tmp_path)
    assert [row["name"] for row in lines(out) if row["error"]] == ["bad.png"]
    assert len(list(out.glob("*.safetensors"))) == 5


@pytest.mark.filterwarnings("ignore:unreadable")
def test_second_run_redoes_nothing_but_what_failed_or_is_new(tmp_path, images):
    out = predict(tmp_path)
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("*.safetensors")}
    (images / "bad.png").unlink()
    write_images(images, 7)
    predict(tmp_path)
    after = {path.name: path.stat().st_mtime_ns for path in out.glob("*.safetensors")}
    assert {name: after[name] for name in before} == before
    assert len(after) == 7
    assert sorted(row["name"] for row in lines(out) if not row["error"]) == [f"{i}.png" for i in range(7)]


@pytest.mark.filterwarnings("ignore:unreadable")
def test_line_that_a_kill_has_cut_is_dropped_and_done_again(tmp_path, images):
    out = predict(tmp_path)
    text = (out / "predictions.csv").read_text().splitlines(keepends=True)
    (out / "predictions.csv").write_text("".join(text[:3]) + text[3][:4])
    predict(tmp_path)
    assert [row["name"] for row in lines(out)] == [f"{i}.png" for i in range(5)] + ["bad.png"]


@pytest.mark.filterwarnings("ignore:unreadable")
@pytest.mark.parametrize("other", ["method", "weights", "images"])
def test_folder_of_other_predictions_is_refused(tmp_path, images, other):
    out = predict(tmp_path)
    write_images(tmp_path / "more", 1)
    settings = {
        "method": {"writer": ExplanationWriter("saliency", folder=str(out))},
        "weights": {"model": module(seed=1)},
        "images": {"images": "more"},
    }[other]
    with pytest.raises(ValueError, match=f"holds predictions with other {other}"):
        predict(tmp_path, **settings)


@pytest.mark.slow
def test_killed_run_goes_on_where_it_was(tmp_path):
    write_images(tmp_path / "images", 40)
    checkpoint = tmp_path / "model.ckpt"
    runner = trainer(tmp_path)
    runner.strategy.connect(module())
    runner.save_checkpoint(checkpoint, weights_only=True)
    out = tmp_path / "out"
    command = [
        *(sys.executable, str(TRAIN), "predict", "--ckpt_path", str(checkpoint), "--trainer.accelerator", "cpu"),
        *("--data.predict_path", str(tmp_path / "images"), "--data.batch_size", "2", "--writer.folder", str(out)),
        *("--writer.method", '{"class": "ig", "steps": 100}'),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while len(list(out.glob("*.safetensors"))) < 4 and time.monotonic() < deadline and running.poll() is None:
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    finished = {row["name"] for row in lines(out)}
    assert 2 <= len(finished) < 40
    before = {name: (out / f"{name}.safetensors").stat().st_mtime_ns for name in finished}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert [row["name"] for row in lines(out)] == sorted(f"{i}.png" for i in range(40))
    assert {name: (out / f"{name}.safetensors").stat().st_mtime_ns for name in finished} == before

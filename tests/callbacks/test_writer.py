"""Predictions written image by image, and taken up again where a run was killed."""

import csv
import os
import time
from pathlib import Path

import lightning as L
import pytest
import torch
from safetensors.torch import load_file

from _reference.fake_data import write_images, write_tree
from _reference.foreign import trainer
from _reference.processes import Process, command
from _reference.trace import snapshot
from lit_attr.attribution import FastIG, IntegratedGradients
from lit_attr.callbacks import ExplanationWriter
from lit_attr.datamodules import ImageDataModule
from lit_attr.modules import Classifier


def module(seed=0):
    torch.manual_seed(seed)
    return Classifier("cifar_resnet8", num_classes=10, mean=[0.5], std=[0.5])


def data(folder, **settings):
    return ImageDataModule("digits", size=16, batch_size=2, predict_path=str(folder), **settings)


def predict(tmp_path, writer=None, model=None, images="images", ckpt_path=None):
    writer = writer or ExplanationWriter("fast_ig", folder=str(tmp_path / "out"))
    runner = trainer(tmp_path, writer)
    source = data(tmp_path / images)
    runner.predict(model or module(), source, return_predictions=False, ckpt_path=ckpt_path)
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
    for name, image, _ in (source.predict_dataset[i] for i in range(5)):
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


def test_folder_of_other_lines_is_refused(tmp_path, images):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/predictions.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"`writer.folder` must be a folder without a predictions.csv that is not our"):
        predict(tmp_path)
    assert (tmp_path / "out/predictions.csv").read_text() == "a,b\n1,2\n"


def test_output_among_the_images_is_refused(tmp_path, images):
    """The next run would take its pictures for images."""
    with pytest.raises(ValueError, match=rf"`writer.folder` must be outside of the predicted folder {images}"):
        predict(tmp_path, ExplanationWriter("fast_ig", folder=str(images / "out")))
    assert not (images / "out").exists()


def test_nothing_in_the_model_changes(tmp_path, images):
    (images / "bad.png").unlink()
    model = module().train()
    model.model.bn1.eval()
    before = snapshot(model)
    predict(tmp_path, ExplanationWriter("smoothgrad", folder=str(tmp_path / "out")), model)
    after = snapshot(model)
    assert [key for key in before if before[key] != after[key]] == ["torch"]  # a seed for the data loader; see below


def test_no_random_number_is_drawn(tmp_path):
    write_images(tmp_path / "images", 3)
    states = []
    for callbacks in ([], [ExplanationWriter("smoothgrad", folder=str(tmp_path / "out"))]):
        model = module()
        trainer(tmp_path, *callbacks).predict(model, data(tmp_path / "images"), return_predictions=False)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


class Counted(Classifier):
    """Knows how many images it was shown."""

    def predict_step(self, batch, batch_idx):
        self.shown = getattr(self, "shown", 0) + len(batch.names)
        return super().predict_step(batch, batch_idx)


def saved(tmp_path, name, seed=0):
    runner = trainer(tmp_path)
    runner.strategy.connect(module(seed))
    runner.save_checkpoint(tmp_path / name, weights_only=True)
    return tmp_path / name


def counted():
    return Counted("cifar_resnet8", num_classes=10, mean=[0.5], std=[0.5])


def test_finished_images_are_not_even_read_where_the_checkpoint_is_expected(tmp_path):
    write_images(tmp_path / "images", 3)
    checkpoint, writer = saved(tmp_path, "a.ckpt"), ExplanationWriter("fast_ig", folder=str(tmp_path / "out"))
    predict(tmp_path, writer, counted(), ckpt_path=checkpoint)
    write_images(tmp_path / "images", 5)
    unknown, known = counted(), counted()
    predict(tmp_path, writer, unknown, ckpt_path=checkpoint)
    assert unknown.shown == 5  # read, but not explained again
    write_images(tmp_path / "images", 6)
    writer.expect(checkpoint)
    predict(tmp_path, writer, known, ckpt_path=checkpoint)
    assert known.shown == 1
    assert [row["name"] for row in lines(tmp_path / "out")] == [f"{i}.png" for i in range(6)]


def test_expectation_holds_for_one_run(tmp_path):
    write_images(tmp_path / "images", 2)
    checkpoint, writer = saved(tmp_path, "a.ckpt"), ExplanationWriter("fast_ig", folder=str(tmp_path / "out"))
    writer.expect(checkpoint)
    predict(tmp_path, writer, ckpt_path=checkpoint)
    again = counted()
    predict(tmp_path, writer, again, ckpt_path=checkpoint)
    assert again.shown == 2


@pytest.mark.filterwarnings("ignore:Total length of `DataLoader` across ranks is zero")
def test_nothing_left_to_do(tmp_path):
    write_images(tmp_path / "images", 2)
    checkpoint, writer = saved(tmp_path, "a.ckpt"), ExplanationWriter("fast_ig", folder=str(tmp_path / "out"))
    out = predict(tmp_path, writer, ckpt_path=checkpoint)
    before = (out / "predictions.csv").read_text()
    writer.expect(checkpoint)
    predict(tmp_path, writer, ckpt_path=checkpoint)
    assert (out / "predictions.csv").read_text() == before


def test_two_checkpoints_with_one_trainer(tmp_path):
    """When its data are set up, a Trainer still has the checkpoint of its last run."""
    write_images(tmp_path / "images", 3)
    for name in ("a", "b"):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
    paths = [saved(tmp_path, f"{name}/checkpoints/x.ckpt", seed) for seed, name in enumerate("ab")]
    runner, model, source = trainer(tmp_path, ExplanationWriter("fast_ig")), module(), data(tmp_path / "images")
    for path in (*paths, *paths):
        runner.predict(model, source, return_predictions=False, ckpt_path=path)
    runner.predict(module(seed=2), source, return_predictions=False)
    folders = [tmp_path / name / "predictions/images" for name in ("a", "b", ".")]
    assert [len(lines(folder)) for folder in folders] == [3, 3, 3]
    logits = [load_file(folder / "0.png.safetensors")["logits"] for folder in folders]
    assert not torch.equal(logits[0], logits[1])
    assert not torch.equal(logits[0], logits[2])


def test_folders_below_and_odd_names(tmp_path):
    names = ["a/b/0.png", 'a/comma, "quote".png', "é ü.png", "a/line\nbreak.png"]
    write_images(tmp_path, 1)
    for name in names:
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((tmp_path / "0.png").read_bytes())
    (tmp_path / "0.png").unlink()
    raw = os.fsencode(tmp_path / "images") + b"/\xff.png"  # no valid UTF-8
    Path(os.fsdecode(raw)).write_bytes(path.read_bytes())
    for _ in range(2):
        out = predict(tmp_path)
        with (out / "predictions.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            assert sorted(row["name"] for row in csv.DictReader(file)) == sorted([*names, os.fsdecode(b"\xff.png")])
    assert all((out / f"{name}.png").is_file() and (out / f"{name}.safetensors").is_file() for name in names)


@pytest.mark.filterwarnings("ignore:unreadable")
def test_lines_of_killed_ranks_are_taken_over(tmp_path, images):
    out = predict(tmp_path)
    header, *rows = (out / "predictions.csv").read_text().splitlines(keepends=True)
    (out / "predictions.csv").write_text(header + rows[0] + rows[1][:6])
    (out / "predictions.rank1.csv").write_text(header + rows[2] + rows[3][:-1])  # only its line end is missing
    kept = {name: (out / f"{name}.safetensors").stat().st_mtime_ns for name in ("0.png", "2.png", "3.png")}
    predict(tmp_path)
    assert [path.name for path in out.glob("predictions*")] == ["predictions.csv"]
    assert [row["name"] for row in lines(out)] == [f"{i}.png" for i in range(5)] + ["bad.png"]
    assert {name: (out / f"{name}.safetensors").stat().st_mtime_ns for name in kept} == kept


def test_lines_survive_an_exception(tmp_path):
    write_images(tmp_path / "images", 5)

    class Failing(Counted):
        def predict_step(self, batch, batch_idx):
            if batch_idx == 1:
                raise RuntimeError("a fault")
            return super().predict_step(batch, batch_idx)

    model = Failing("cifar_resnet8", num_classes=10, mean=[0.5], std=[0.5])
    with pytest.raises(RuntimeError, match="a fault"):
        predict(tmp_path, model=model)
    assert [row["name"] for row in lines(tmp_path / "out")] == ["0.png", "1.png"]
    with pytest.raises(RuntimeError, match="a fault"):  # at the second pair of the same weights: 0 and 1 are finished
        predict(tmp_path, model=model)
    Failing.predict_step = Counted.predict_step
    predict(tmp_path, model=model)
    assert [row["name"] for row in lines(tmp_path / "out")] == [f"{i}.png" for i in range(5)]


def test_other_batches_are_refused(tmp_path):
    loader = torch.utils.data.DataLoader(torch.rand(2, 1, 16, 16))
    runner = trainer(tmp_path, ExplanationWriter("fast_ig", folder=str(tmp_path / "out")))
    with pytest.raises(ValueError, match=r"`batch` must be a lit_attr.datamodules.PredictBatch .*, got Tensor"):
        runner.predict(module(), loader)


def test_a_module_that_hands_the_batch_to_its_forward_is_refused(tmp_path, images):
    class Plain(L.LightningModule):
        def forward(self, x):
            return x.flatten(1)

    with pytest.raises(ValueError, match=r"`model` must be one with a `predict_step.*, got a Plain without"):
        predict(tmp_path, model=Plain())


def test_class_names_and_settings_of_the_method(tmp_path):
    write_tree(tmp_path / "root", {"train": {"cat": 1, "dog": 1}})
    write_images(tmp_path / "images", 1)
    model = Classifier("cifar_resnet8", num_classes=2, mean=[0.5] * 3, std=[0.5] * 3)
    source = ImageDataModule("folder", str(tmp_path / "root"), size=16, predict_path=str(tmp_path / "images"))
    writer = ExplanationWriter({"class": "ig", "steps": 3})
    trainer(tmp_path, writer).predict(model, source, return_predictions=False)
    assert writer.method == IntegratedGradients(steps=3)
    [row] = lines(tmp_path / "predictions/images")
    assert row["class_name"] == ("cat", "dog")[int(row["prediction"])]


@pytest.mark.parametrize(
    ("method", "message"), [("igg", "unknown method 'igg'; accepted: "), ({"class": "ig", "stepz": 1}, "no setting")]
)
def test_wrong_method(method, message):
    with pytest.raises(ValueError, match=message):
        ExplanationWriter(method)


@pytest.mark.slow
def test_two_processes_write_each_image_once(tmp_path):
    write_images(tmp_path / "images", 5)
    (tmp_path / "images/bad.png").write_text("no image")
    checkpoint = saved(tmp_path, "x.ckpt")
    given = [
        *("--ckpt_path", str(checkpoint), "--trainer.accelerator", "cpu", "--data.predict_path", "images"),
        *("--data.size", "16", "--data.batch_size", "2", "--writer.folder", "two", "--writer.method", "fast_ig"),
    ]
    done = command(tmp_path, "predict", *given, processes=2)
    assert done.stderr.count("unreadable: 1 of the images: bad.png") == 1
    out, one = tmp_path / "two", tmp_path / "out"
    assert [path.name for path in out.glob("predictions*")] == ["predictions.csv"]
    with pytest.warns(UserWarning, match="unreadable"):
        predict(tmp_path, ckpt_path=checkpoint)
    rows, expected = lines(out), lines(one)
    assert [row["name"] for row in rows] == [f"{i}.png" for i in range(5)] + ["bad.png"]
    for row, other in zip(rows, expected, strict=True):
        assert {**row, "confidence": ""} == {**other, "confidence": ""}
        if not row["error"]:
            assert float(row["confidence"]) == pytest.approx(float(other["confidence"]), abs=2e-6)
            found, known = (load_file(folder / f"{row['name']}.safetensors") for folder in (out, one))
            torch.testing.assert_close(found, known, atol=1e-5, rtol=1e-4)
    written = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    alone = [str(path.relative_to(one)) for path in one.rglob("*") if path.is_file()]
    assert written == sorted([*alone, "report.html", "run.json"])  # those of the command line


@pytest.mark.slow
def test_killed_run_goes_on_where_it_was(tmp_path):
    write_images(tmp_path / "images", 40)
    checkpoint = saved(tmp_path, "model.ckpt")
    out = tmp_path / "out"
    given = [
        *("predict", "--ckpt_path", str(checkpoint), "--trainer.accelerator", "cpu", "--data.predict_path", "images"),
        *("--data.batch_size", "2", "--writer.folder", "out"),
        *("--writer.method", '{"class": "ig", "steps": 100}'),
    ]
    running = Process(tmp_path, "lit_attr.cli", "main", given)
    deadline = time.monotonic() + 120
    while len(list(out.glob("*.safetensors"))) < 4 and time.monotonic() < deadline and running.alive():
        time.sleep(0.05)
    assert running.kill() == -9
    finished = {row["name"] for row in lines(out)}
    assert 2 <= len(finished) < 40
    before = {name: (out / f"{name}.safetensors").stat().st_mtime_ns for name in finished}
    command(tmp_path, *given)
    assert [row["name"] for row in lines(out)] == sorted(f"{i}.png" for i in range(40))
    assert {name: (out / f"{name}.safetensors").stat().st_mtime_ns for name in finished} == before

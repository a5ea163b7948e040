"""Every command ends with a page, and nothing waits or fails for it."""

import csv
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

from _reference.fake_data import write_images
from _reference.foreign import Foreign, loaders, trainer
from lit_attr.callbacks import BenchmarkCallback, ExplanationWriter, ReportCallback
from lit_attr.datamodules import ImageDataModule
from lit_attr.modules import Classifier
from lit_attr.report.record import read_records


def last_line(capsys):
    return capsys.readouterr().out.splitlines()[-1]


class Stops(Foreign):
    def on_train_epoch_start(self):
        if self.current_epoch == 1:
            raise RuntimeError("no <more>")


def test_fit_ends_with_the_page(tmp_path, capsys):
    logger = CSVLogger(tmp_path, name="a", version=0)
    trainer(tmp_path, ReportCallback(), logger=logger).fit(Foreign(), *loaders())
    folder = tmp_path / "a/version_0"
    assert last_line(capsys) == f"Report: {folder}/report.html"
    text = (folder / "report.html").read_text()
    assert "fit of Foreign" in text
    assert "loss over epochs" in text  # the chart, of values that the logger had not written yet
    (entry,) = read_records(folder)
    assert (entry["status"], entry["samples"]) == ("finished", {"train": 16, "val": 16})
    assert entry["parameters"] == sum(p.numel() for p in Foreign().parameters())
    assert not (folder / "history.csv").exists()


def test_without_a_csv_logger_values_are_kept(tmp_path):
    trainer(tmp_path, ReportCallback()).fit(Foreign(), *loaders())
    with (tmp_path / "history.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [(line["epoch"], line["step"], line["name"]) for line in lines] == [
        ("0", "3", "val/loss"),
        ("1", "7", "val/loss"),
    ]
    assert "loss over epochs" in (tmp_path / "report.html").read_text()


def test_a_run_that_stops_has_its_page(tmp_path, capsys):
    logger = CSVLogger(tmp_path, name="a", version=0)
    with pytest.raises(RuntimeError, match="no <more>"):
        trainer(tmp_path, ReportCallback(), logger=logger).fit(Stops(), *loaders())
    assert last_line(capsys).endswith("version_0/report.html")
    text = (tmp_path / "a/version_0/report.html").read_text()
    assert "stopped by RuntimeError: no &lt;more&gt;" in text
    assert "val/loss" in text


def test_validate_and_test_follow_in_one_folder(tmp_path):
    model, one = (
        Foreign(),
        trainer(tmp_path, ReportCallback(), BenchmarkCallback(["saliency"], ["insertion"], [], 2, 0)),
    )
    model.test_step = model.validation_step
    one.validate(model, loaders()[1], verbose=False)
    one.test(model, loaders()[1], verbose=False)
    assert [entry["stage"] for entry in read_records(tmp_path)] == ["validate", "test"]
    text = (tmp_path / "report.html").read_text()
    assert "Before: validate" in text
    assert "The whole benchmark" in text


def test_predict_ends_with_the_page_of_its_pictures(tmp_path, capsys):
    write_images(tmp_path / "images", 2)
    source = ImageDataModule("digits", size=16, batch_size=2, predict_path=str(tmp_path / "images"))
    module = Classifier("cifar_resnet8", 10, mean=[0.5], std=[0.25])
    one = trainer(tmp_path, ExplanationWriter("fast_ig"), ReportCallback())
    one.predict(module, source, return_predictions=False)
    path = tmp_path / "predictions/images/report.html"
    assert last_line(capsys) == f"Report: {path}"
    text = path.read_text()
    assert "predict of Classifier (cifar_resnet8) on ImageDataModule (digits)" in text
    assert text.count("<img") == 2


def test_nothing_in_a_trial(tmp_path, capsys):
    trainer(tmp_path, ReportCallback(), fast_dev_run=True).fit(Foreign(), *loaders())
    assert "Report" not in capsys.readouterr().out
    assert not list(tmp_path.rglob("r*.html")) + list(tmp_path.rglob("run.json"))


def test_other_ranks_write_nothing(tmp_path, capsys, monkeypatch):
    one = trainer(tmp_path, ReportCallback())
    monkeypatch.setattr(L.Trainer, "is_global_zero", False)
    one.validate(Foreign(), loaders()[1], verbose=False)
    assert not (tmp_path / "run.json").exists()
    assert "Report" not in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "a").write_text("in the way")
    one = trainer(tmp_path / "a", ReportCallback())
    with pytest.warns(UserWarning, match="no report"):
        one.validate(Foreign(), loaders()[1], verbose=False)


def test_several_runs_have_one_page_that_is_the_last_line(tmp_path, capsys):
    model, one = Foreign(), trainer(tmp_path, ReportCallback())
    with ReportCallback.once(one):
        one.validate(model, loaders()[1], verbose=False)
        one.validate(model, loaders()[1], verbose=False)
        (tmp_path / "comparison.csv").write_text("measure,a,b,difference,low,high,samples\ngap,0,1,1,0.5,1.5,12\n")
        print("a table")
    shown = capsys.readouterr().out.splitlines()
    assert [line for line in shown if "a table" in line or "Report" in line] == [
        "a table",
        f"Report: {tmp_path}/report.html",
    ]
    assert [entry["status"] for entry in read_records(tmp_path)] == ["finished"] * 2
    assert "b minus a" in (tmp_path / "report.html").read_text()


def test_of_several_runs_one_fails_and_the_page_is_there(tmp_path, capsys):
    one = trainer(tmp_path, ReportCallback())

    def both():
        with ReportCallback.once(one):
            one.fit(Stops(), *loaders())

    with pytest.raises(RuntimeError, match="no <more>"):
        both()
    assert capsys.readouterr().out.count("Report: ") == 1
    assert "stopped by RuntimeError" in (tmp_path / "report.html").read_text()


def test_values_are_read_on_every_rank_and_a_full_disk_stops_nothing(tmp_path):
    """To read what was logged with `sync_dist` is a collective: a rank that leaves it out lets the others wait."""

    class Asked(SimpleNamespace):
        asked = 0

        @property
        def callback_metrics(self):
            self.asked += 1
            return {"train/loss": torch.tensor(0.5)}

    one, page = Asked(loggers=[], global_step=3, current_epoch=0), ReportCallback()
    page._folder = tmp_path
    page.on_train_epoch_end(one, None)  # of a rank without a record
    assert one.asked == 1
    assert not list(tmp_path.iterdir())
    page._record = object()
    (tmp_path / "history.csv").mkdir()
    with pytest.warns(UserWarning, match="the report lacks values"):
        page.on_train_epoch_end(one, None)


def test_parameters_without_a_shape_are_not_counted(tmp_path):
    model = Foreign()
    model.later = torch.nn.LazyLinear(3)
    trainer(tmp_path, ReportCallback()).validate(model, loaders()[1], verbose=False)
    assert read_records(tmp_path)[0]["parameters"] == sum(p.numel() for p in Foreign().parameters())


def test_weights_are_those_without(tmp_path):
    def trained(*callbacks):
        torch.manual_seed(3)
        model = Foreign()
        trainer(tmp_path, *callbacks).fit(model, *loaders())
        return model.state_dict()

    plain, told = trained(), trained(ReportCallback())
    assert all(torch.equal(plain[name], told[name]) for name in plain)

"""The files of a round of explanations."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from lit_attr.callbacks import _report
from lit_attr.callbacks._report import Record, Report, write_report
from lit_attr.metrics import Summary
from lit_attr.visual import Score, scores_picture

ALONG = {"insertion": "fraction of the image", "gap": "fraction of the image"}
SCORES = {("ig", "insertion"): 0.5, ("ig", "gap"): 0.25}


def record(order, picture=None):
    return Record(order, 10 + order, "cat", "dog", 0.75, SCORES, picture)


def runner(folder, **settings):
    strategy = SimpleNamespace(broadcast=lambda value: value)
    defaults = {"default_root_dir": folder, "loggers": [], "is_global_zero": True, "fast_dev_run": False}
    return SimpleNamespace(**{**defaults, "strategy": strategy, "current_epoch": 2, "global_step": 30, **settings})


def report():
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    value, error = torch.tensor(0.5), torch.tensor(0.125)
    insertion = {"all": Summary(value, error, 2, torch.tensor([0.0, 0.5, 1.0]))}
    gap = {"all": Summary(value, error, 2), "below_0.7": Summary(value / 2, error, 1, undefined=3, invalid=4)}
    return Report([record(0, picture), record(1)], {("ig", "insertion"): insertion, ("ig", "gap"): gap}, ALONG)


def read(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))


def test_pictures_samples_and_scores(tmp_path):
    write_report(runner(tmp_path), report())
    here = tmp_path / "explain/epoch_0002_step_000030"
    assert np.array_equal(np.asarray(Image.open(here / "sample_000010.png")), report().records[0].picture)
    assert sorted(path.name for path in here.iterdir()) == ["sample_000010.png", "samples.csv"]
    head, *rows = read(here / "samples.csv")
    assert head == ["epoch", "step", "index", "label", "prediction", "confidence", "ig/insertion", "ig/gap"]
    assert rows == [
        ["2", "30", "10", "cat", "dog", "0.75", "0.5", "0.25"],
        ["2", "30", "11", "cat", "dog", "0.75", "0.5", "0.25"],
    ]


def test_scores_of_later_rounds_are_appended_below_one_head(tmp_path):
    write_report(runner(tmp_path), report())
    write_report(runner(tmp_path, current_epoch=3, global_step=40), report())
    head, *rows = read(tmp_path / "explain/scores.csv")
    assert ",".join(head) == "epoch,step,method,metric,group,value,standard_error,samples,undefined,invalid"
    assert [row[0] for row in rows] == ["2"] * 3 + ["3"] * 3
    assert rows[0] == ["2", "30", "ig", "insertion", "all", "0.5", "0.125", "2", "0", "0"]
    assert rows[2] == ["2", "30", "ig", "gap", "below_0.7", "0.25", "0.125", "1", "3", "4"]


def test_scores_of_several_methods_are_drawn_and_logged(tmp_path, monkeypatch):
    logged = []
    monkeypatch.setattr(_report, "log_images", lambda loggers, key, images, captions, step: logged.append((key, step)))
    values = {
        "ig": Summary(torch.tensor(0.5), torch.tensor(0.125), 2),
        "big": Summary(torch.tensor(0.75), torch.tensor(torch.nan), 1),
    }
    several = Report([], {(name, "gap"): {"all": found} for name, found in values.items()}, {}, {"gap": True})
    expected = scores_picture({"gap": {"ig": Score(0.5, 0.125), "big": Score(0.75)}}, {"gap": True})
    write_report(runner(tmp_path), several)
    drawn = np.asarray(Image.open(tmp_path / "explain/epoch_0002_step_000030/scores.png"))
    assert np.array_equal(drawn, expected)
    assert logged == [("explain/scores", 30)]
    assert report().picture is None


def test_names_and_curves_that_are_logged():
    assert report().scores == {"ig/insertion": 0.5, "ig/gap": 0.5, "ig/gap/below_0.7": 0.25}
    assert report().curves == {"insertion": {"ig": [0.0, 0.5, 1.0]}}


def test_other_ranks_and_dry_runs_write_nothing(tmp_path):
    write_report(runner(tmp_path, is_global_zero=False), report())
    write_report(runner(tmp_path, fast_dev_run=True), report())
    assert list(tmp_path.iterdir()) == []


def region(index, label, value):
    mask = np.eye(4, dtype=np.uint8)
    overlay = _report.Overlay(np.zeros((4, 4, 3), np.uint8), {"labels": mask, "ig": 255 * mask})
    picture = np.zeros((4, 4, 3), np.uint8)
    return Record(0, index, label, label, 0.5, {("ig", "gap"): value}, picture, region=True, overlay=overlay)


def test_regions_are_told_by_class():
    values = {"a cat": [0.2, 0.6], "dog": [0.5, float("nan")]}
    records = [region(i, label, value) for label, many in values.items() for i, value in enumerate(many)]
    found = _report.class_summaries(records, [("ig", "gap")])["ig", "gap"]
    assert list(found) == ["of_a cat", "of_dog"]
    cat, dog = found.values()
    assert (float(cat.value), cat.samples, cat.undefined) == (pytest.approx(0.4), 2, 0)
    assert float(cat.standard_error) == pytest.approx(0.2)
    assert (float(dog.value), dog.samples, dog.undefined) == (0.5, 1, 1)
    assert _report.class_summaries([record(0)], [("ig", "gap")]) == {}


def test_regions_of_an_image_have_pictures_of_their_own_and_masks_to_switch(tmp_path, monkeypatch):
    laid = []
    monkeypatch.setattr(_report, "log_masks", lambda *args: laid.append(args))
    names = SimpleNamespace(class_names=["ground", "cat"])
    records = [region(3, "a cat", 0.2), region(3, "dog", 0.4)]
    write_report(runner(tmp_path, datamodule=names), Report(records, {}, {}))
    found = sorted(path.name for path in tmp_path.rglob("*.png"))
    assert found == ["sample_000003_a_cat.png", "sample_000003_dog.png"]
    [(_, key, images, masks, classes, captions, _)] = laid
    assert (key, len(images), len(captions)) == ("explain/regions", 2, 2)
    assert set(masks[0]) == {"labels", "ig"}
    assert classes == {0: "ground", 1: "cat", 255: "255"}

"""The files of a round of explanations."""

import csv
from types import SimpleNamespace

import numpy as np
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

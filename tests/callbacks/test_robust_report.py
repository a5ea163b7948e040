"""Numbers, tables and files of a round, from records written by hand."""

import csv
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from lit_attr.callbacks._robust_report import Record, RobustReport, Tried, print_robust_report, write_robust_report
from lit_attr.callbacks._robust_trials import attack_trials, corruption_trials
from lit_attr.corruptions import ALEXNET
from lit_attr.metrics import Check, wilson_interval

ATTACKS = attack_trials({"fgsm": {"eps": "8/255"}, "pgd": {"eps": "8/255"}}, ["4/255", "8/255"])
NOISE = corruption_trials({"gaussian": {"sigma": [0.1, 0.3]}})
CLEAN = [True, True, True, False]
RIGHT = {
    "fgsm/4_255": [True, True, True, False],
    "fgsm/8_255": [True, False, True, False],
    "pgd/4_255": [True, True, False, False],
    "pgd/8_255": [False, True, True, False],
    "gaussian/0.1": [True, True, True, True],  # a wrong sample may become right
    "gaussian/0.3": [True, False, False, False],
}


def report(**changes):
    picture = np.zeros((4, 4, 3), np.uint8)
    records = [
        Record(
            order=i,
            index=10 + i,
            label="cat",
            prediction="cat" if CLEAN[i] else "dog",
            clean=CLEAN[i],
            tried={key: Tried(values[i], 0.03, 0.5, 4, 3, 0.25) for key, values in RIGHT.items()},
            similarity={"pgd": {"spearman": [0.5, 0.25, float("nan"), 0.0][i]}},
            pictures={"pgd": picture} if i == 0 else {},
        )
        for i in range(4)
    ]
    return RobustReport(**{"trials": [*ATTACKS, *NOISE], "records": records, **changes})


def runner(folder, **settings):
    defaults = {
        "default_root_dir": folder,
        "loggers": [],
        "is_global_zero": True,
        "fast_dev_run": False,
        "testing": False,
    }
    strategy = SimpleNamespace(broadcast=lambda value: value)
    return SimpleNamespace(**{**defaults, "strategy": strategy, "current_epoch": 2, "global_step": 30, **settings})


def test_scores():
    assert report().scores() == pytest.approx(
        {
            "clean": 3 / 4,
            "fgsm/4_255": 3 / 4,
            "fgsm/8_255": 2 / 4,
            "fgsm/success": 1 / 3,
            "pgd/4_255": 2 / 4,
            "pgd/8_255": 2 / 4,
            "pgd/success": 1 / 3,
            "worst_case": 1 / 4,  # the third sample only
            "gaussian/0.1": 1.0,
            "gaussian/0.3": 1 / 4,
            "corruptions": (1 + 1 / 4) / 2,
            "fgsm/auc": ((0.75 + 0.75) / 2 + (0.75 + 0.5) / 2) / 2,
            "pgd/auc": ((0.75 + 0.5) / 2 + (0.5 + 0.5) / 2) / 2,
            "gaussian/auc": (0.1 * (0.75 + 1) / 2 + 0.2 * (1 + 0.25) / 2) / 0.3,
            "pgd/spearman": 0.25,
        }
    )
    failed = report(checks=[Check("noise", False, 0.5, 0.4, "why"), Check("iterative", True, 0.4, 0.4, "why")])
    assert failed.scores()["sanity/failed"] == 1


def test_mean_corruption_error_of_the_fifteen():
    trials = [replace(trial, name=name) for name in ALEXNET for trial in corruption_trials(["fog"])]
    record = Record(0, 0, "cat", "cat", True, {t.key: Tried(t.value <= 2) for t in trials})
    scores = RobustReport(trials, [record]).scores()
    assert scores["mce"] == pytest.approx(100 * np.mean([0.6 / error for error in ALEXNET.values()]))
    assert scores["corruptions"] == pytest.approx(0.4)
    fewer = [t for t in trials if t.key != "fog/3"]  # one is missing
    assert "mce" not in RobustReport(fewer, [record]).scores()
    small = [replace(t, do=replace(t.do, variant="cifar")) for t in trials]  # AlexNet's errors are on other images
    assert "mce" not in RobustReport(small, [record]).scores()


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_files(tmp_path):
    checks = [Check("noise", False, 0.5, 0.4, "why")]
    write_robust_report(runner(tmp_path), report(), "robust")
    write_robust_report(runner(tmp_path, testing=True), report(checks=checks), "robust")
    rows = read(tmp_path / "robust/robustness.csv")
    assert len(rows) == 2 * 8
    assert {row["stage"] for row in rows[:8]} == {"validation"}
    found = next(row for row in rows if row["name"] == "fgsm" and row["strength"] == "8_255")
    numbers = {
        key: float(found[key]) for key in ("accuracy", "success", "samples", "linf", "l2", "forwards", "seconds")
    }
    assert numbers == pytest.approx(
        {"accuracy": 0.5, "success": 1 / 3, "samples": 4, "linf": 0.03, "l2": 0.5, "forwards": 4, "seconds": 1}
    )
    assert (float(found["low"]), float(found["high"])) == pytest.approx(wilson_interval(2, 4))
    assert rows[7]["name"] == "worst_case"
    here = tmp_path / "robust/test_epoch_0002_step_000030"
    samples = read(here / "samples.csv")
    assert [row["pgd/8_255"] for row in samples] == ["0", "1", "1", "0"]
    assert [row["index"] for row in samples] == ["10", "11", "12", "13"]
    names = {path.name for path in here.iterdir()}
    assert names == {"samples.csv", "sanity.csv", "curve_eps.png", "curve_sigma.png", "pgd_000010.png"}
    assert read(here / "sanity.csv")[0] == {
        "name": "noise",
        "passed": "False",
        "found": "0.5",
        "limit": "0.4",
        "meaning": "why",
    }


def test_other_ranks_and_fast_dev_run_write_nothing(tmp_path):
    write_robust_report(runner(tmp_path, is_global_zero=False), report(), "robust")
    write_robust_report(runner(tmp_path, fast_dev_run=True), report(), "robust")
    assert list(tmp_path.iterdir()) == []


def test_the_printed_table(capsys):
    checks = [Check("noise", False, 0.5, 0.4, "why"), Check("iterative", True, 0.4, 0.4, "why")]
    print_robust_report(report(checks=checks), "Robustness (test)")
    text = capsys.readouterr().out
    assert "Robustness (test)" in text
    lines = {line.split()[1]: line for line in text.splitlines() if line.startswith("│")}
    assert "0.750" in lines["clean"]
    assert all(part in lines["worst"] for part in ("0.250", "0.667"))
    assert "FAILED noise (0.500, at most 0.400): why" in text
    assert "passed iterative (0.400, at most 0.400)\n" in text

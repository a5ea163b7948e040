"""Two checkpoints on the same samples."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from _reference.command import QUICK, prepare, refused
from lit_attr._compare import _has_classes, _Kept, _of_robustness, _of_samples, _predicted, _samples, _Tested, paired
from lit_attr.attribution import SIGMA
from lit_attr.benchmark import paired_bootstrap
from lit_attr.callbacks._collect import Samples
from lit_attr.callbacks._report import Record as Explained
from lit_attr.callbacks._report import Report
from lit_attr.callbacks._robust_report import Record, RobustReport, Tried
from lit_attr.callbacks._robust_trials import attack_trials, corruption_trials
from lit_attr.cli import main

FEW = [
    *("--retrain", "true", "--sigma.fraction", "0.01", "--sigma.reached_only", "false", "--data.size", "8"),
    *("--sigma.sigma", '{"steps": 3}', "--explanations.at_test", "true"),
]
ROBUST = [
    "--trainer.callbacks",
    '[{"class_path": "lit_attr.callbacks.RobustnessCallback", "init_args": {"attacks": [], "test_attacks": '
    '{"fgsm": {"eps": "8/255"}}, "corruptions": {"gaussian": {"sigma": [0.1, 0.3]}, "contrast": {"severity": [1, 5]}}, '
    '"num_samples": 2, "test_samples": 12, "num_images": 0}}]',
]


@pytest.fixture
def apart(tmp_path, monkeypatch):
    prepare(monkeypatch, tmp_path)


def one(**values):
    return _Tested(values, [], {})


def test_pairs_are_of_the_same_samples():
    """In any order, over those that both have; a measure of one alone is left out."""
    first = one(clean={3: 1.0, 5: 0.0, 8: 1.0}, gap={0: 0.5}, mine={0: 1.0})
    second = one(clean={8: 1.0, 5: 1.0, 9: 0.0, 3: 0.0}, gap={0: 0.25}, yours={0: 1.0})
    clean, gap = paired(first, second)
    assert (clean.measure, clean.first, clean.second, clean.samples) == ("clean", 2 / 3, 2 / 3, 3)
    assert clean.difference == 0
    known = paired_bootstrap([[0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]).differences
    assert (clean.low, clean.high) == (known.low[0, 1], known.high[0, 1])
    assert (gap.measure, gap.first, gap.second, gap.difference, gap.samples) == ("gap", 0.5, 0.25, -0.25, 1)


def test_a_sample_of_regions_is_their_mean_and_what_is_not_finite_is_none():
    found = _of_samples([4, 4, 7, 9, 9], [0.25, 0.75, float("inf"), float("nan"), 0.5])
    assert found == {4: 0.5, 9: 0.5}


@pytest.mark.parametrize("region", [False, True])
def test_regions_are_no_samples_with_a_class(region):
    record = Explained(0, 3, "cat", "cat", 0.5, {}, region=region)
    assert _has_classes(Report([record], {}, {})) is not region
    assert not _has_classes(Report([], {}, {}))
    assert not _has_classes(None)


def test_the_interval_is_of_the_differences():
    """Of samples that differ much from each other, but all by the same from one model to the other."""
    values = dict(enumerate(np.linspace(0, 1, 30)))
    (row,) = paired(one(a=values), one(a={k: v + 0.125 for k, v in values.items()}))
    assert row.difference == pytest.approx(0.125)
    assert row.low == pytest.approx(0.125, abs=1e-9)
    assert row.high == pytest.approx(0.125, abs=1e-9)


def test_the_error_of_corruptions_is_that_of_severities_alone():
    trials = [*attack_trials({"fgsm": {"eps": 0.1}}), *corruption_trials({"gaussian": {"sigma": 0.1}})]
    trials += corruption_trials({"contrast": {"severity": [1, 5]}})
    right = {0: [True, True, True, False], 1: [False, False, False, False]}
    records = [
        Record(i, 10 + i, "a", "a", True, {t.key: Tried(one) for t, one in zip(trials, right[i], strict=True)})
        for i in range(2)
    ]
    found = _of_robustness(RobustReport(trials, records))
    assert found["clean"] == [1.0, 1.0]
    assert [found[trial.key] for trial in trials] == [[1.0, 0.0]] * 3 + [[0.0, 0.0]]
    assert found["corruption_error"] == [0.5, 1.0]


class Binary(torch.nn.Linear):
    """One unit, in an output with a name."""

    def forward(self, images):
        return {"logits": super().forward(images.flatten(1))}


def test_the_pictures_tell_what_any_model_predicts():
    """Of one unit z the probabilities are those of (0, z), wherever the logits stand in the output."""
    model, images = Binary(12, 1), torch.rand(5, 3, 2, 2)
    likely = model(images)["logits"][:, 0].sigmoid().detach()
    sure, index = _predicted(model, images)
    assert torch.equal(index, (likely > 0.5).long())
    assert torch.allclose(sure, torch.maximum(likely, 1 - likely))


def test_the_pictures_of_a_model_in_half_precision():
    kept, model = _Kept(), Binary(12, 1).bfloat16()
    images = torch.rand(2, 3, 2, 2, dtype=torch.bfloat16)
    kept.samples = [Samples([0, 1], [4, 7], images, torch.tensor([0, 1]))]
    assert _samples(kept, {"one": model, "other": model}, SIGMA(paths=1, steps=2)) is not None


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_after_a_retraining_and_by_itself(apart, tmp_path, capsys):
    main(["fit", *QUICK, *FEW, *ROBUST])
    runs = tmp_path / "runs/lit_attr"
    told = rows(runs / "version_1/comparison.csv")
    measures = ["clean", "fgsm/8_255", "gaussian/0.1", "gaussian/0.3", "contrast/1", "contrast/5", "corruption_error"]
    assert [row["measure"] for row in told] == [*(f"robust/{m}" for m in measures), "explain/fast_ig/insertion"]
    assert [row["samples"] for row in told] == ["12"] * 7 + ["2"]
    for name in ("noise.png", "samples.png"):
        assert (runs / "version_1" / name).stat().st_size > 1000
    shown = capsys.readouterr().out.splitlines()
    assert any("with variants" in line for line in shown)
    page = runs / "version_1/report.html"
    assert shown[-1] == f"Report: {page.relative_to(tmp_path)}"
    assert [line for line in shown if line.startswith("Report: ")][1:] == shown[-1:]  # one of each training
    for part in ("with variants minus without variants", "accuracy in noise, of both", "variants of them"):
        assert part in page.read_text()

    # The other way round the differences change their sign, and the values are those of plain tests.
    one, two = (next((runs / f"version_{i}/checkpoints").glob("epoch_*.ckpt")) for i in range(2))
    common = [*QUICK, *ROBUST, "--explanations.at_test", "true"]
    main(["test", "--ckpt_path", str(one), "--against", str(two), *common])
    turned = rows(runs / "version_2/comparison.csv")
    for row, known in zip(turned, told, strict=True):
        assert float(row["difference"]) == pytest.approx(-float(known["difference"]), abs=1e-6)
        assert row["against"] == known["with variants"]
    each = rows(runs / "version_2/comparison_samples.csv")
    main(["test", "--ckpt_path", str(one), *common])
    (plain,) = (runs / "version_3/robust").glob("test_*/samples.csv")
    known = {row["index"]: row for row in rows(plain)}
    for row in each:
        measure = row["measure"].removeprefix("robust/")
        if measure in known.get(row["index"], {}):
            assert float(row["ckpt_path"]) == float(known[row["index"]][measure])
    mean = np.mean([float(row["ckpt_path"]) for row in each if row["measure"] == "robust/contrast/1"])
    assert float(turned[4]["ckpt_path"]) == pytest.approx(mean)


@pytest.mark.slow
def test_without_values_of_samples_what_was_logged_is_told(apart, tmp_path, capsys):
    main(["fit", *QUICK])
    one = tmp_path / "runs/lit_attr/version_0/checkpoints/last.ckpt"
    other = one.with_name("other.ckpt")
    other.write_bytes(one.read_bytes())
    main(["test", "--ckpt_path", str(one), "--against", str(other), *QUICK])
    shown = capsys.readouterr().out
    assert next(line for line in shown.splitlines() if "test/accuracy" in line)
    assert not (tmp_path / "runs/lit_attr/version_1/comparison.csv").exists()


def test_what_cannot_be_compared_is_refused(apart, tmp_path, capsys):
    path = tmp_path / "a.ckpt"
    assert "compared with `ckpt_path`; give another checkpoint" in refused(capsys, "test", "--against", str(path))


def test_a_robustness_report_is_kept_until_the_next_run():
    from lit_attr.callbacks import RobustnessCallback

    callback = RobustnessCallback(["fgsm"])
    callback.report = RobustReport([], [])
    trainer = SimpleNamespace(is_global_zero=False)
    callback.teardown(trainer, None, "test")
    assert callback.report is not None


@pytest.mark.slow
def test_a_trial_compares_and_leaves_nothing(apart, tmp_path, capsys):
    main(["fit", *QUICK, *FEW, *ROBUST, "--trainer.fast_dev_run", "true"])
    assert "robust/gaussian/0.1" in capsys.readouterr().out
    assert list(tmp_path.rglob("comparison*.csv")) == []

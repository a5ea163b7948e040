"""Two trainings by one command."""

import csv
import re

import pytest
import torch

from _reference.command import QUICK, prepare
from _reference.processes import command
from lit_attr.bank import Bank, model_hash
from lit_attr.cli import main

FEW = [
    *("--retrain", "true", "--sigma.fraction", "0.01", "--sigma.reached_only", "false"),
    *("--sigma.sigma", '{"steps": 3}'),
]


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    prepare(monkeypatch, tmp_path)


def values(run):
    with (run / "metrics.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["val/accuracy"]][-1]


@pytest.fixture
def runs(tmp_path):
    return tmp_path / "runs/lit_attr"


def weights(run):
    return torch.load(run / "checkpoints/last.ckpt", weights_only=True)


def test_train_generate_retrain_compare(runs, capsys):
    main(["fit", *QUICK, *FEW])
    shown = capsys.readouterr().out
    first, second = values(runs / "version_0"), values(runs / "version_1")
    row = next(line for line in shown.splitlines()[::-1] if "val/loss" in line)
    assert re.findall(r"\d+\.\d{4}", row) == [f"{float(found['val/loss']):.4f}" for found in (first, second)]
    assert first["val/loss"] != second["val/loss"]
    bank = Bank(runs / "version_0/sigma_bank")
    assert len(bank) == 13
    assert bank.origin["model"] == model_hash(weights(runs / "version_0")["state_dict"])  # of one epoch: the best

    main(
        ["validate", "--ckpt_path", str(runs / "version_1/checkpoints/last.ckpt"), *QUICK]
    )  # with the data of the base
    assert f"{float(second['val/loss']):.4f}" in capsys.readouterr().out


def test_both_start_from_the_same_weights(runs):
    """With no variant and no other seed the second training is the first."""
    main(["fit", *QUICK, *FEW, "--sigma.ratio", "0"])
    one, two = (weights(runs / f"version_{i}")["state_dict"] for i in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_checkpoint_takes_the_place_of_the_first_training(runs, capsys):
    main(["fit", *QUICK])
    checkpoint = runs / "version_0/checkpoints/last.ckpt"
    capsys.readouterr()
    main(["fit", *QUICK, *FEW, "--sigma.checkpoint", str(checkpoint)])
    assert sorted(path.name for path in runs.iterdir()) == ["version_0", "version_1"]
    assert "without variants" not in capsys.readouterr().out
    bank = runs / "version_0/sigma_bank"
    assert len(Bank(bank)) == 13
    main(["fit", *QUICK, *FEW, "--sigma.bank", str(bank)])
    assert values(runs / "version_2")["val/loss"] == values(runs / "version_1")["val/loss"]


def test_the_second_training_is_taken_up(runs):
    main(["fit", *QUICK, *FEW])
    bank, killed = runs / "version_0/sigma_bank", runs / "version_1/checkpoints/last.ckpt"
    main(["fit", *QUICK, *FEW, "--sigma.bank", str(bank), "--ckpt_path", str(killed), "--trainer.max_epochs", "2"])
    assert sorted(path.name for path in runs.iterdir()) == ["version_0", "version_1", "version_2"]
    assert values(runs / "version_2")["epoch"] == "1"
    steps = [weights(runs / f"version_{i}")["global_step"] for i in (1, 2)]
    with (runs / "version_2/metrics.csv").open(newline="") as file:
        assert {row["epoch"] for row in csv.DictReader(file)} == {"1"}
    assert steps[1] == 2 * steps[0]


def test_a_trial_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    main(["fit", *QUICK, *FEW, "--trainer.fast_dev_run", "true"])
    assert list(tmp_path.rglob("*.safetensors")) == list(tmp_path.rglob("*.ckpt")) == []
    assert list((tmp_path / "temporary").glob("lit_attr_*")) == []


@pytest.mark.slow
def test_two_processes_make_the_bank_of_one_and_train(tmp_path, runs):
    main(["fit", *QUICK])
    few = [*QUICK, *FEW, "--sigma.fraction", "0.1", "--sigma.checkpoint", str(runs / "version_0/checkpoints/last.ckpt")]
    main(["fit", *few, "--sigma.bank", "one"])
    two = ["--sigma.bank", "two", "--trainer.enable_progress_bar", "false"]
    command(tmp_path, "fit", *few, *two, processes=2)
    one, two = Bank(tmp_path / "one"), Bank(tmp_path / "two")
    assert len(list((tmp_path / "two").glob("*.safetensors"))) == 2  # of which each process has made one
    assert len(one) == 130
    for name in ("index", "label", "key", "digest", "steps"):
        assert torch.equal(two.columns[name], one.columns[name])
    apart = [int((two.image(i).int() - one.image(i).int()).abs().max()) for i in range(130)]
    assert max(apart) <= 1
    assert values(runs / "version_2")["val/accuracy"]

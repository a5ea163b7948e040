"""The config beside the results, and in W&B."""

from pathlib import Path

import pytest
import wandb
import yaml

from _reference.command import QUICK, prepare
from _reference.fake_data import write_images
from _reference.wandb_file import config
from lit_attr.cli import main

WANDB = '{"class_path": "lit_attr.loggers.WandbLogger", "init_args": {"save_dir": "runs", "project": "p"}}'


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    prepare(monkeypatch, tmp_path)
    yield
    wandb.finish()
    wandb.teardown()


def read(path):
    return yaml.safe_load(Path(path).read_text())


@pytest.mark.slow
def test_two_runs_with_wandb_alone_do_not_collide_and_keep_their_configs(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    for rate in ("0.001", "0.002"):
        main(["fit", *QUICK, "--trainer.logger", WANDB, "--model.lr", rate])
        wandb.finish()
    wandb.teardown()
    folders = list(tmp_path.glob("runs/p/*"))
    assert sorted(read(folder / "config.yaml")["model"]["init_args"]["lr"] for folder in folders) == [0.001, 0.002]
    assert not (tmp_path / "runs/config.yaml").exists()
    for folder in folders:
        [stored] = tmp_path.glob(f"runs/wandb/offline-run-*-{folder.name}")
        [file] = stored.glob("*.wandb")
        whole = read(folder / "config.yaml")
        assert config(file)["config"] == whole
        assert read(stored / "files/run_config.yaml") == whole
        assert whole["trainer"]["limit_train_batches"] == 2
        assert whole["explanations"]["methods"] == {"fast_ig": {}}


def test_every_command_keeps_its_own(tmp_path):
    main(["fit", *QUICK])
    main(["validate", *QUICK, "--data.batch_size", "32"])
    main(["test", *QUICK, "--data.batch_size", "16"])
    write_images(tmp_path / "images", 1)
    main(["predict", *QUICK, "--data.predict_path", "images"])
    found = {str(path.relative_to(tmp_path / "runs/lit_attr")): path for path in tmp_path.rglob("config*.yaml")}
    assert sorted(found) == ["version_0/config.yaml", "version_1/config_validate.yaml", "version_2/config_test.yaml"]
    sizes = [read(path)["data"]["init_args"]["batch_size"] for _, path in sorted(found.items())]
    assert sizes == [64, 32, 16]


def test_without_a_logger_it_is_in_runs_and_replaced():
    for rate in (0.001, 0.002):
        main(["fit", *QUICK, "--trainer.logger", "false", "--model.lr", str(rate)])
        assert read("runs/config.yaml")["model"]["init_args"]["lr"] == rate


def test_with_wandb_disabled(tmp_path):
    main(["fit", *QUICK, "--trainer.logger", WANDB])
    assert len(list(tmp_path.rglob("config.yaml"))) == 1


@pytest.mark.slow
def test_a_resumed_run_goes_on_in_the_same_wandb_run(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    more = ["--trainer.logger", WANDB, "--trainer.max_epochs", "2"]
    main(["fit", *QUICK, "--trainer.logger", WANDB])
    wandb.finish()
    [folder] = tmp_path.glob("runs/p/*")
    main(["fit", *QUICK, *more, "--ckpt_path", str(folder / "checkpoints/last.ckpt")])
    wandb.finish()
    assert [path.name for path in tmp_path.glob("runs/p/*")] == [folder.name]
    main(["fit", *QUICK, "--trainer.logger", WANDB])  # and a new one is a new one
    wandb.finish()
    wandb.teardown()
    assert len(list(tmp_path.glob("runs/p/*"))) == 2

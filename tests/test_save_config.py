"""The config beside the results, and in W&B."""

import pytest
import wandb
import yaml

from _reference.command import QUICK, prepare
from _reference.wandb_file import config
from lit_attr.cli import main

ONLY_WANDB = '{"class_path": "lit_attr.loggers.WandbLogger", "init_args": {"save_dir": "runs", "project": "p"}}'


@pytest.mark.slow
def test_two_runs_with_wandb_alone_do_not_collide_and_keep_their_configs(tmp_path, monkeypatch):
    prepare(monkeypatch, tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    for rate in ("0.001", "0.002"):
        main(["fit", *QUICK, "--trainer.logger", ONLY_WANDB, "--model.lr", rate])
        wandb.finish()
    wandb.teardown()
    saved = [yaml.safe_load(path.read_text()) for path in tmp_path.glob("runs/p/*/config.yaml")]
    assert sorted(found["model"]["init_args"]["lr"] for found in saved) == [0.001, 0.002]
    kept = [config(path)["config"] for path in tmp_path.glob("runs/wandb/offline-run-*/*.wandb")]
    assert sorted(found["model"]["init_args"]["lr"] for found in kept) == [0.001, 0.002]
    assert all(found["trainer"]["limit_train_batches"] == 2 for found in kept)

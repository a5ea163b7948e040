"""The command line in this process, quick and offline."""

import pytest
import torch

from lit_attr.cli import main

# Two batches of training, two explained samples, no picture.
QUICK = [
    *("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "2"),
    *("--trainer.accelerator", "cpu", "--trainer.devices", "1", "--explanations.num_samples", "2"),
    *("--explanations.methods", '{"fast_ig": {}}', "--explanations.metrics", '{"insertion": {"steps": 4}}'),
    *("--explanations.num_images", "0"),
    *(
        "--trainer.logger",
        '{"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"save_dir": "runs", "name": "lit_attr"}}',
    ),
]


def prepare(monkeypatch, folder):
    """A folder of its own, no W&B, and the seeds that Lightning writes into the environment taken back afterwards."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    for name in ("PL_GLOBAL_SEED", "PL_SEED_WORKERS"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))  # else Lightning's DDP sets the threads
    for name in ("LOCAL_RANK", "NODE_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")  # so that it is taken back if the command sets it
        monkeypatch.delenv(name)


def refused(capsys, *args):
    """The one line that a command is refused with."""
    with pytest.raises(SystemExit) as stopped:
        main(list(args))
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith(("error: ", "Traceback"))] == lines[-1:]
    return lines[-1].removeprefix("error: ")

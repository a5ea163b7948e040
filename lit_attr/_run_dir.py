"""Where the files of the current run go."""

import itertools
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer


def run_dir(trainer: Trainer) -> Path:
    """The folder of the current run, the same on all ranks; it may not exist yet.

    The first logger that has a folder per run (CSV, TensorBoard) decides, else the first that has a folder and an id
    of the run (W&B, MLflow: `save_dir/project/id`, where Lightning also puts the checkpoints), else
    `trainer.default_root_dir`. A folder per run matters: files in W&B's `save_dir` itself collide in the second run.

    Args:
        trainer: a Trainer whose processes have been launched; to be called on all of them, for rank zero decides.
    """
    ready = (logger.log_dir for logger in trainer.loggers)
    made = (_folder(logger) for logger in trainer.loggers)  # lazily: it starts the run
    mine = next((str(folder) for folder in itertools.chain(ready, made) if folder), str(trainer.default_root_dir))
    return Path(trainer.strategy.broadcast(mine))


def _folder(logger: Any) -> str | None:
    if not logger.save_dir:
        return None
    _ = logger.experiment  # a W&B run has its id only once it is made
    return str(Path(logger.save_dir) / str(logger.name) / str(logger.version))

"""The run's config, kept in the run's own folder and shown by the logger."""

import shutil
from pathlib import Path
from typing import Any

import lightning as L
import yaml
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback
from lightning.pytorch.trainer.states import TrainerFn

from lit_attr._run_dir import run_dir


class SaveConfig(SaveConfigCallback):
    """Write the whole parsed config to `config.yaml` of the run's folder, and give it to W&B as the run's config.

    Lightning's own writes into `save_dir` where there is only a W&B logger, and stops the second run for the file that
    the first one left.
    """

    def __init__(self, parser: LightningArgumentParser, config: Any, **kwargs: Any) -> None:
        super().__init__(parser, config, save_to_log_dir=False, **kwargs)
        self._folder = Path()

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Agree on the folder on all ranks, then save on rank zero."""
        if stage != "predict":  # has no run of its own
            self._folder = run_dir(trainer)
            super().setup(trainer, pl_module, stage)

    def save_config(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Called on rank zero only; no collective here."""
        text = self.parser.dump(self.config, skip_none=False)
        self._folder.mkdir(parents=True, exist_ok=True)
        name = "config.yaml" if stage == "fit" else f"config_{TrainerFn(stage).value}.yaml"
        (self._folder / name).write_text(text)
        for logger in trainer.loggers:
            if isinstance(logger, L.pytorch.loggers.WandbLogger):
                logger.experiment.config.update({"config": yaml.safe_load(text)}, allow_val_change=True)
                files = Path(logger.experiment.dir)  # what lies there is kept; a disabled run has no such folder
                if files.is_dir():
                    shutil.copy(self._folder / name, files / f"run_{name}")

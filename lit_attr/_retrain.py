"""Train, make variants of the model that came out, train again with them, and compare: `--retrain true`."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_info

from lit_attr._compare import compare
from lit_attr._results import logged_values, print_comparison
from lit_attr._run_dir import run_dir
from lit_attr.attribution import SIGMA
from lit_attr.bank.store import Store
from lit_attr.callbacks import ReportCallback, RobustnessCallback, SIGMARefresh
from lit_attr.datamodules import SIGMADataModule


def retrain(cli: LightningCLI, sigma: Mapping[str, Any], **fit: Any) -> None:
    """The two trainings, from the same weights and settings.

    The first is left out where there is a checkpoint, or a bank, already.

    Args:
        cli: whose parts are ready; afterwards they are those of the second training.
        sigma: settings of `SIGMADataModule`.
        fit: of the first `Trainer.fit`; where that is left out, of the second, which a `ckpt_path` takes up then.
    """
    values: dict[str, dict[str, float]] = {}
    with _place(cli.trainer) as place:
        checkpoint, bank, rest = sigma["checkpoint"], sigma["bank"], fit
        if checkpoint is None and (bank is None or not Store(bank).exists):
            checkpoint, values["without variants"] = _first(cli, place, fit)
            rest = {}
        if place and not sigma["bank"]:
            bank = str(place / "sigma_bank")  # all is only tried out
        cli.datamodule = SIGMADataModule(cli.datamodule, **{**sigma, "checkpoint": checkpoint, "bank": bank})
        with ReportCallback.once(cli.trainer):
            cli.trainer.fit(**{**rest, "model": cli.model, "datamodule": cli.datamodule})
            values["with variants"] = logged_values(cli.trainer)
            if len(values) > 1:
                print_comparison("Last validation", values)
            robust = any(isinstance(callback, RobustnessCallback) for callback in cli.trainer.callbacks)  # type: ignore[attr-defined]
            if checkpoint is not None and robust:
                _set_beside(cli, str(checkpoint), place, sigma)


def _set_beside(cli: LightningCLI, without: str, place: Path | None, sigma: Mapping[str, Any]) -> None:
    """Test both on the same samples."""
    checkpoints = {"without variants": without, "with variants": _checkpoint(cli.trainer, place, "with_variants")}
    compare(cli.trainer, cli.model, cli.datamodule, checkpoints, SIGMA(**{"paths": 1} | sigma["sigma"]))


def _first(cli: LightningCLI, place: Path | None, fit: Mapping[str, Any]) -> tuple[str, dict[str, float]]:
    """Train without variants, and make all parts anew; the checkpoint, and the values of the last validation."""
    rank_zero_info("Training without variants, whose model then loses its confidence.")
    trainer = cli.trainer
    every: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a part of the Trainer
    every[:] = [callback for callback in every if not isinstance(callback, SIGMARefresh)]
    trainer.fit(**fit)
    values, checkpoint = logged_values(trainer), _checkpoint(trainer, place, "without_variants")
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):  # else the second training would go on with its run
            logger.experiment.finish()
    cli._set_seed()
    cli.instantiate_classes()
    return checkpoint, values


def _checkpoint(trainer: L.Trainer, place: Path | None, name: str) -> str:
    """The best one, or the model as it is; on all ranks."""
    callback = trainer.checkpoint_callback
    best = callback.best_model_path if isinstance(callback, ModelCheckpoint) else ""
    if not best:
        best = str((place or run_dir(trainer)) / "checkpoints" / f"{name}.ckpt")
        trainer.save_checkpoint(best)
    return trainer.strategy.broadcast(best)


@contextmanager
def _place(trainer: L.Trainer) -> Iterator[Path | None]:
    """A folder that is gone afterwards, where all is only tried out and nothing may be left; else None."""
    if not trainer.fast_dev_run:  # type: ignore[attr-defined]  # set by a part of the Trainer
        yield None
        return
    place = Path(tempfile.mkdtemp(prefix="lit_attr_"))  # of one process: a trial has no others
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)

"""Variants of the model that is in training: the bank is made anew every few epochs."""

import re
import shutil
from pathlib import Path

import lightning as L
from lightning.pytorch.loggers import WandbLogger

from lit_attr._checks import ArgumentError, not_negative_int
from lit_attr._ranks import on_rank_zero
from lit_attr.bank.store import Store
from lit_attr.callbacks._collect import require_whole_model
from lit_attr.callbacks._progress import progress_line
from lit_attr.callbacks._rounds import log_everywhere
from lit_attr.datamodules import SIGMADataModule

__all__ = ["SIGMARefresh"]

_EPOCH = re.compile(r"_epoch_\d{4,}$")


class SIGMARefresh(L.Callback):
    """Make the bank of a `SIGMADataModule` anew with the model in training, after every few epochs.

    The new bank lies beside the first, with the number of finished epochs in its name. It takes the place of the old
    one when it is finished; where making it fails, the old one is whole. The last two are kept, so that the last
    checkpoint finds its own.

    Each epoch, and without a refresh too, logs what is known of the variants in use: `train/sigma/variants` (how many),
    `train/sigma/reached` (share of the bank's walks) and `train/sigma/l2` (mean distance of those in use). The config
    of a W&B run has their number as `sigma_variants`.

    Args:
        every_n_epochs: how often; 0 never. The Trainer's `reload_dataloaders_every_n_epochs` must divide it.

    Raises:
        ValueError: for a number out of range, or in `setup` for a Trainer or a data module that does not fit.

    Example:
        >>> import lightning as L
        >>> trainer = L.Trainer(callbacks=[SIGMARefresh(5)], reload_dataloaders_every_n_epochs=5, logger=False)
    """

    def __init__(self, every_n_epochs: int = 0) -> None:
        super().__init__()
        not_negative_int("every_n_epochs", every_n_epochs)
        self.every_n_epochs = every_n_epochs

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Refuse what a refresh would have no effect on."""
        if stage != "fit" or not self.every_n_epochs:
            return
        require_whole_model(trainer)
        data = getattr(trainer, "datamodule", None)
        if not isinstance(data, SIGMADataModule):
            raise ArgumentError("datamodule", type(data).__name__, "a SIGMADataModule, where banks are refreshed")
        reload = trainer.reload_dataloaders_every_n_epochs  # type: ignore[attr-defined]  # set by a part of the Trainer
        if not reload or self.every_n_epochs % reload:
            accepted = f"{self.every_n_epochs} (or what divides it), as the bank is refreshed"
            raise ArgumentError("trainer.reload_dataloaders_every_n_epochs", reload, accepted)

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Tell W&B how many variants there are, by which runs are grouped."""
        data = getattr(trainer, "datamodule", None)
        if isinstance(data, SIGMADataModule) and trainer.is_global_zero:
            for logger in trainer.loggers:
                if isinstance(logger, WandbLogger):
                    told = {"sigma_variants": int(data.facts["variants"])}
                    logger.experiment.config.update(told, allow_val_change=True)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log what the variants are like; make the next bank where it is due, and another epoch follows."""
        found = getattr(trainer, "datamodule", None)
        if isinstance(found, SIGMADataModule) and not trainer.barebones:
            log_everywhere(pl_module, {f"train/sigma/{name}": value for name, value in found.facts.items()})
        done = trainer.current_epoch + 1
        if not self.every_n_epochs or done % self.every_n_epochs or done == trainer.max_epochs or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        data: SIGMADataModule = trainer.datamodule  # type: ignore[attr-defined]
        used = data.folder
        first = used.with_name(_EPOCH.sub("", used.name))
        target = first.with_name(f"{first.name}_epoch_{done:04d}")
        on_rank_zero(lambda: _clear(first, {used}))
        with progress_line(trainer, "Variants", -(-data.planned // trainer.world_size)) as advance:
            data.refresh(pl_module, target, advance)


def _clear(first: Path, kept: set[Path]) -> None:
    """Remove the refreshed banks of a first one, but for those to be kept; one that was begun is of another model."""
    for path in first.parent.glob(f"{first.name}_epoch_*"):
        if _EPOCH.search(path.name) and path not in kept and Store(path).exists:
            shutil.rmtree(path)

"""When a callback works anew, and what it logs in between."""

from typing import Any

import lightning as L
from lightning.pytorch.trainer.states import TrainerFn

from lit_attr._checks import positive_int


class Rounds:
    """The numbers of a callback that works every few epochs of a fit, logged at each validation.

    Args:
        every_n_epochs: work again when this many epochs have passed, and at the last validation of `max_epochs`.

    Attributes:
        last: the numbers of the last round, by the name they are logged under.
        epoch: of that round.
    """

    def __init__(self, every_n_epochs: int) -> None:
        positive_int("every_n_epochs", every_n_epochs)
        self.every_n_epochs, self.epoch = every_n_epochs, 0
        self.last: dict[str, float] = {}

    def due(self, trainer: L.Trainer) -> bool:
        """Whether it is time; always at the end, out of fit, and where there are no numbers yet."""
        epoch, end = trainer.current_epoch, trainer.max_epochs or -1
        waiting = self.epoch < epoch < self.epoch + self.every_n_epochs
        at_the_end = 0 < end <= epoch + (trainer.check_val_every_n_epoch or 1)
        return trainer.state.fn != TrainerFn.FITTING or at_the_end or not waiting or not self.last

    def found(self, trainer: L.Trainer, scores: dict[str, float]) -> None:
        """The numbers of a new round."""
        self.last, self.epoch = scores, trainer.current_epoch

    def log(self, module: L.LightningModule) -> None:
        """Log the last numbers; every rank holds the same."""
        log_everywhere(module, self.last)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on with."""
        return {"last": self.last, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore it."""
        self.last, self.epoch = dict(state_dict["last"]), int(state_dict["epoch"])


def log_everywhere(module: L.LightningModule, scores: dict[str, float]) -> None:
    """Log numbers that every rank holds; synchronising them is what Lightning expects of epoch-level values."""
    module.log_dict(scores, sync_dist=True, batch_size=1)

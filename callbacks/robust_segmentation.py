"""Intersection over union under attack, at validation and test of a segmenter."""

from typing import Any

import lightning as L
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from lit_attr._checks import ArgumentError, positive_int
from lit_attr._guard import private_rng
from lit_attr._view import looking_at
from lit_attr.attacks import Attack
from lit_attr.callbacks._collect import choose_samples, own_samples, require_whole_model
from lit_attr.callbacks._progress import progress_line
from lit_attr.callbacks._robust_trials import attack_trials
from lit_attr.callbacks._rounds import Rounds, log_everywhere
from lit_attr.modules.segmentation_scores import SegmentationScores
from lit_attr.targets import PixelTarget, logits_of

__all__ = ["SegmentationRobustnessCallback"]

_BATCH = 16  # samples held at once; the attacks cut their own passes to what memory allows
_STAGES = {"fit": "last validation", "validate": "validation", "test": "test"}


class SegmentationRobustnessCallback(L.Callback):
    """Attack a fixed set of samples of a segmenter, and log the mean intersection over union that is left.

    Works with any LightningModule that has `num_classes` and maybe `ignore_index`, whose `forward` gives logits
    `[B, K, H, W]`, with images in [0, 1] and batches `(images, masks)`. An attack climbs the mean cross entropy of the
    pixels that count (`PixelTarget`), so it must go in steps of gradients: all of the iterative family, and those of
    torchattacks that ask for a whole batch. Logs `robust/clean` and `robust/<attack>/<eps>`, the IoU's mean over the
    classes that occur in the chosen samples, for checkpoints and schedules to monitor, and prints a table when the run
    ends. It is the same on any number of processes, and training with it gives the same weights as without.

    Args:
        attacks: names, or a mapping from the name to log under to settings or an instance (see `get_attacks`). Numbers
            may be written as texts like `8/255`.
        eps: further eps at which each attack is tried; steps grow with it. One with `curve: false` among its settings
            is tried at its own alone.
        every_n_epochs: try again when this many epochs have passed, and at the last validation of `max_epochs`. In
            between the last numbers are logged again.
        num_samples: number of samples, at most all.
        test_attacks: instead of `attacks` at test; None for the same.
        seed: chooses the samples.

    Raises:
        ValueError: for an unknown name or setting, a number out of range, or no attack.

    Example:
        >>> callback = SegmentationRobustnessCallback({"pgd": {"eps": "4/255", "steps": 20}}, eps=["8/255"])
        >>> callback.names()
        ['robust/clean', 'robust/pgd/4_255', 'robust/pgd/8_255']
    """

    def __init__(
        self,
        attacks: list[str] | dict[str, Any] = ["fgsm", "pgd"],  # noqa: B006 - never changed; None would hide it from --help
        eps: list[float | str] = [],  # noqa: B006
        every_n_epochs: int = 1,
        num_samples: int = 32,
        test_attacks: list[str] | dict[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        positive_int("num_samples", num_samples)
        self._trials = {trial.key: trial.do for trial in attack_trials(attacks, eps)}
        self._test_trials = self._trials
        if test_attacks is not None:
            self._test_trials = {trial.key: trial.do for trial in attack_trials(test_attacks, eps)}
        if not (self._trials and self._test_trials):
            raise ArgumentError("attacks", attacks, "at least one attack")
        self.num_samples, self.seed, self._rounds = num_samples, seed, Rounds(every_n_epochs)
        self._shown: dict[str, float] = {}

    @property
    def state_key(self) -> str:
        """Distinct for callbacks that log other names or look at other samples."""
        return self._generate_state_key(names=self.names(), seed=self.seed, num_samples=self.num_samples)

    def names(self) -> list[str]:
        """The names that are logged at validation."""
        return ["robust/clean", *(f"robust/{key}" for key in self._trials)]

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Refuse a model in parts, and one that does not say how many classes it has."""
        require_whole_model(trainer)
        classes = getattr(pl_module, "num_classes", None)
        if not isinstance(classes, int):
            accepted = "a module with `num_classes` for SegmentationRobustnessCallback"
            raise ArgumentError("model", type(pl_module).__name__, accepted)

    def state_dict(self) -> dict[str, Any]:
        """The last numbers, so that a resumed run goes on logging them."""
        return self._rounds.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the last numbers."""
        self._rounds.load_state_dict(state_dict)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Try and log; in the sanity check of the Trainer, try everything on one sample and keep nothing."""
        if trainer.barebones:
            return
        if trainer.sanity_checking:
            self._round(trainer, pl_module, 1)
            return
        if self._rounds.due(trainer):
            self._rounds.found(trainer, self._round(trainer, pl_module, self.num_samples))
        self._rounds.log(pl_module)
        self._shown = self._rounds.last

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The same at test, with the attacks of the test."""
        if not trainer.barebones:
            self._shown = self._round(trainer, pl_module, self.num_samples)
            log_everywhere(pl_module, self._shown)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Print the last numbers, on rank zero."""
        if self._shown and trainer.is_global_zero:
            table = Table("attack", "mIoU", title=f"Mean IoU under attack ({_STAGES[stage]})")
            for name, value in self._shown.items():
                table.add_row(escape(_readable(name)), f"{value:.3f}")
            Console().print(table)
        self._shown = {}

    def _round(self, trainer: L.Trainer, module: L.LightningModule, num_samples: int) -> dict[str, float]:
        """The numbers by logged name, the same on every rank."""
        trials: dict[str, Any] = {"clean": None, **(self._test_trials if trainer.testing else self._trials)}
        classes, ignored = int(module.num_classes), int(getattr(module, "ignore_index", 255))  # type: ignore[arg-type]
        scores = {key: SegmentationScores(classes, ignored).to(module.device) for key in trials}
        with private_rng(module.device):
            chosen = choose_samples(trainer, num_samples, self.seed)
            mine = len(range(trainer.global_rank, len(chosen), trainer.world_size))
            with progress_line(trainer, "Attacking", mine * len(trials)) as advance:
                for samples in own_samples(trainer, module, chosen, _BATCH, dense=True):
                    images, masks = samples.images, samples.labels
                    counts = (masks != ignored).flatten(1).any(1)
                    for key, attack in trials.items():
                        update(scores[key], module, images[counts], masks[counts], attack)
                        advance(len(images))
        return {f"robust/{key}": float(score.compute().miou) for key, score in scores.items()}


def _readable(name: str) -> str:
    """A logged name, with eps as it was written."""
    attack, _, eps = name.removeprefix("robust/").partition("/")
    return f"{attack} {eps.replace('_', '/')}".rstrip()


def update(
    scores: SegmentationScores, model: torch.nn.Module, images: Tensor, masks: Tensor, attack: Attack | None
) -> None:
    """Count the pixels of a segmenter's predictions under an attack, or without one."""
    if not len(images):
        return
    target = PixelTarget(masks, scores.ignore_index)
    points = images if attack is None else attack(model, images, target)
    with looking_at(model, points, target) as view, torch.no_grad():
        logits = logits_of(view.model(view.inputs.clone()))
        if logits.shape[2:] != masks.shape[1:]:
            logits = torch.nn.functional.interpolate(logits, masks.shape[1:], mode="bilinear", align_corners=False)
        scores.update(logits, masks)

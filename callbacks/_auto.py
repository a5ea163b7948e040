"""The choice of a method inside a run: which one "auto" stands for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_only

from lit_attr._checks import ArgumentError, positive_int
from lit_attr._run_dir import run_dir
from lit_attr.attribution import METHODS, Method
from lit_attr.benchmark import Selection, candidates, select
from lit_attr.benchmark.selection import LEAST_SAMPLES, checked_weights
from lit_attr.callbacks._collect import samples_of
from lit_attr.registry import did_you_mean

AUTO = "auto"
_BATCH = 32


@dataclass
class Auto:
    """Settings of the choice, and what was chosen; see `lit_attr.select`.

    Attributes:
        budget: passes of the model.
        methods: what is chosen from, as a config has it; None for the candidates that the library comes with.
        weights: of the parts of the score.
        samples: the most that are looked at.
        chosen: what was chosen; empty before.
    """

    budget: int = 200_000
    methods: list[str] | dict[str, Any] | None = None
    weights: dict[str, float] = field(default_factory=dict)
    samples: int = 32
    chosen: str = ""

    def __post_init__(self) -> None:
        """Refuse what the choice would refuse, which comes after an epoch of training."""
        positive_int("auto.budget", self.budget)
        positive_int("auto.samples", self.samples)
        if self.samples < LEAST_SAMPLES:
            raise ArgumentError("auto.samples", self.samples, f"at least {LEAST_SAMPLES}")
        checked_weights(self.weights)
        if not self.candidates():
            raise ArgumentError("auto.methods", self.methods, "at least one method")

    def candidates(self) -> dict[str, Method]:
        """What is chosen from."""
        return candidates() if self.methods is None else METHODS.build_all(self.methods)

    def method(self) -> Method:
        """What was chosen; before that the cheapest there is, to try the run with."""
        return self.candidates()[self.chosen] if self.chosen else METHODS.build("saliency")

    def choose(
        self, trainer: L.Trainer, module: L.LightningModule, chosen: Sequence[int], *, by_label: bool, folder: str
    ) -> None:
        """Choose on the samples of these numbers, print the reasons and write them; every rank must call it.

        Each rank looks at the same samples, and what rank zero finds holds: rounding differs between devices, and
        buffers between processes.
        """
        numbers = range(min(self.samples, len(chosen)))
        found = list(samples_of(trainer, module, chosen, numbers, _BATCH, dense=True))
        if found and found[0].labels.dim() > 1:
            raise ArgumentError("methods", AUTO, "named for a segmenter")
        batch = tuple(torch.cat([getattr(part, name) for part in found]) for name in ("images", "labels"))
        selection = select(
            module,
            batch,
            self.budget,
            dict(self.candidates()),
            self.weights,
            samples=self.samples,
            target="label" if by_label else "predicted",
        )
        self.chosen = trainer.strategy.broadcast(selection.name)
        _tell(selection, run_dir(trainer) / folder)


def without_auto(methods: str | Sequence[Any] | Mapping[str, Any]) -> tuple[Any, Auto | None]:
    """What is named beside "auto", and its settings; None where it is not named.

    Raises:
        ValueError: for an unknown setting of it.
    """
    if methods == AUTO:
        return [], Auto()
    if not isinstance(methods, Mapping):
        return [m for m in methods if m != AUTO], Auto() if AUTO in methods else None
    if AUTO not in methods:
        return methods, None
    settings = dict(methods[AUTO] or {})
    accepted = ["budget", "methods", "weights", "samples"]
    for name in settings:
        if name not in accepted:
            msg = f"method '{AUTO}' has no setting '{name}'; {did_you_mean(name, accepted)}"
            raise ValueError(msg)
    return {name: value for name, value in methods.items() if name != AUTO}, Auto(**settings)


@rank_zero_only
def _tell(selection: Selection, folder: Path) -> None:
    print(f"explanations: {selection.name} is chosen\n{selection}")
    selection.to_csv(folder / "choice.csv")

"""AdvGAN: adversarial images in one pass of a trained network."""

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from lit_attr import updates
from lit_attr._checks import ArgumentError
from lit_attr._view import Passes, View
from lit_attr.attacks.attack import ATTACKS, Attack
from lit_attr.updates import Route, Walks, in_blocks

__all__ = ["AdvGAN"]


@ATTACKS.register("advgan")
@dataclass(frozen=True)
class AdvGAN(Attack):
    """x' = clip(x + G(x), 0, 1), G trained against one model or another; the model attacked is not asked.

    Paper: Xiao et al., "Generating Adversarial Examples with Adversarial Networks", 2018. eps is the generator's, as is
    the class that it seeks, if it was trained to seek one (`targeted=True` then tells what success is).

    Args:
        generator: the safetensors file of a trained generator (see `lit_attr.modules.AdvGANModule`).
    """

    generator: str | Path = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        updates.AdvGAN(self.generator)  # refuses what is no file

    def perturb(self, view: View, walks: Walks, start: Tensor | None) -> Tensor:
        """One step of the rule."""
        if start is not None:
            raise ArgumentError("start", "a tensor", "None for AdvGAN, which goes in one step")
        wide = view.inputs.to(view.dtype)
        route = Route(updates.AdvGAN(self.generator), steps=1, seed=self.seed, max_batch=self.max_batch)
        found = wide.clone()
        for _, turn in in_blocks(view, wide, walks, route, None, last_gradient=False, watched=False):
            found[turn.places] = turn.points
        return found.clamp(0, 1)

    def cost(self) -> Passes:
        """None of the model."""
        return Passes(0, 0)

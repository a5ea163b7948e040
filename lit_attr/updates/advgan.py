"""AdvGAN: the way to what a trained network makes of an image.

Paper: Xiao et al., "Generating Adversarial Examples with Adversarial Networks", 2018.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, unit_range
from lit_attr._chunks import in_chunks
from lit_attr.updates._generator import Generator, load_generator
from lit_attr.updates.rules import UPDATES, UpdateRule
from lit_attr.updates.step import Step

__all__ = ["AdvGAN"]


@UPDATES.register("advgan")
@dataclass(frozen=True)
class AdvGAN(UpdateRule):
    """(x' - x_0) / T, x' = clip(x_0 + G(x_0), 0, 1), for a walk of T steps: straight, in equal moves.

    The model is not asked. x' - x_0 is remembered as "away". The generator's own eps bounds it; a smaller radius of the
    walk cuts it. For walks that begin in images in [0, 1], and go on from where they are.

    Args:
        generator: the safetensors file of a trained generator (see `AdvGANModule` and `save_generator`).

    Raises:
        ValueError: if no file is given; at the first step, if it is another file than one of a trained generator, or
            the samples are no images of its channels.
        FileNotFoundError: if there is no such file.
    """

    generator: str | Path = ""

    def __post_init__(self) -> None:
        if not str(self.generator):
            raise ArgumentError(
                "generator", "none", "the safetensors file of a trained generator (`AdvGANModule` trains and writes it)"
            )
        if not Path(self.generator).is_file():
            msg = f"`generator`: there is no file '{self.generator}'"
            raise FileNotFoundError(msg)

    @property
    def guided(self) -> bool:
        """The gradient is not looked at."""
        return False

    def __call__(self, step: Step) -> Tensor:
        """The moves."""
        if "away" not in step.memory:
            step.memory["away"] = self._away(step)
        return step.memory["away"] / step.steps

    def _away(self, step: Step) -> Tensor:
        """From the walks' origins to their adversarial images, `[N, C, H, W]`."""
        images = step.origin
        if images.dim() == 4:
            unit_range("inputs", images, "put the normalisation into the model")
        generator = _loaded(str(self.generator), Path(self.generator).stat().st_mtime_ns, images.device)
        away = torch.empty_like(images)

        def work(first: int, stop: int) -> None:
            some = images[first:stop].float()
            away[first:stop] = (generator.attack(some) - some).to(away.dtype)

        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            in_chunks(len(images), images, step.together, work)
        return away


@lru_cache(maxsize=4)
def _loaded(path: str, written: int, device: torch.device) -> Generator:  # noqa: ARG001 - a file that is written anew is read anew
    return load_generator(path, device)

"""RISE: the mean score of randomly masked images in which a place was kept.

Paper: Petsiuk, Das, Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box Models", 2018, section 3.
Masks as in the authors' code: a small random grid, enlarged bilinearly with mirrored borders (scikit-image's `resize`
of order 1), cropped at a random offset. Deviations: masked places take an explicit `fill` where the authors multiply by
zero; all samples see the same masks, so that a result does not depend on the batch it sat in; the mean score is taken
off (`debias`). The numbers are the paper's for VGG-16; the preset "reference" is the authors' notebook.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, positive_int
from lit_attr._chunks import in_chunks
from lit_attr._view import Passes, View
from lit_attr.attribution._cam import images_only
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.baselines import Baseline, check_baseline, get_baseline
from lit_attr.objectives import Objective, get_objective

__all__ = ["RISE"]

_MOST_VALUES = 2**22  # of the masks that are added up at once


@METHODS.register("rise")
@dataclass(frozen=True, eq=False)
class RISE(Method):
    """S = 1 / (N p) * sum_i (f_i - mean f) M_i, f_i = f(x * M_i + fill * (1 - M_i)), for each place: `[B, 1, H, W]`.

    M_i in [0, 1] are N random masks with mean p. S, float32, says by how much f rises where the place is kept. It asks
    for no gradient.

    Args:
        masks: number of masks N.
        cells: cells of the random grid along each axis.
        probability: that a cell is kept, p.
        fill: what stands in masked places (see `lit_attr.baselines`); zero is black for images in [0, 1].
        debias: take f minus its mean over the masks: a constant model gives zero, the map has both signs and less
            noise. Without, as in the paper, S is about the mean of f over the masks that keep the place.
        objective: the explained scalar; the probability, as in the paper.
        seed: of the private generator of masks.

    Raises:
        ValueError: for inputs that are no images.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
        >>> RISE(masks=8, cells=4)(net, torch.rand(2, 1, 8, 8), 1).shape
        torch.Size([2, 1, 8, 8])
    """

    ABOUT: ClassVar[About] = About("rise of the score of masked images that keep a place", "IL", "images, no gradient")
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "reference": {"masks": 6000, "cells": 8, "probability": 0.1, "debias": False}
    }

    masks: int = 4000
    cells: int = 7
    probability: float = 0.5
    fill: Baseline = 0.0
    debias: bool = True
    objective: str | Objective = "prob"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("masks", self.masks)
        positive_int("cells", self.cells)
        if not 0 < self.probability < 1:
            raise ArgumentError("probability", self.probability, "in (0, 1)")
        check_baseline("fill", self.fill)

    def attribute(self, view: View) -> Explanation:
        """The scores of all masked samples in one stream, then the sum of the masks, which are cheap to make again."""
        images_only(view.inputs.shape)
        masks = _draw(self.masks, self.cells, self.probability, self.seed, view)
        scores = self._scores(view, masks)
        if self.debias:
            scores = scores - scores.mean(0)
        height, width = view.inputs.shape[2:]
        total = scores.new_zeros(len(view.inputs), height * width)
        step = max(1, _MOST_VALUES // (height * width))
        with torch.autocast(total.device.type, enabled=False):
            for start in range(0, self.masks, step):
                total.addmm_(scores[start : start + step].T, masks.make(start, start + step).flatten(1))
        return Explanation(total.view(-1, 1, height, width) / (self.masks * self.probability))

    def _scores(self, view: View, masks: "_Masks") -> Tensor:
        """The objective of each masked sample, `[N, B]`; mask after mask, so that each is made once for all samples."""
        samples, device, objective = len(view.inputs), view.inputs.device, get_objective(self.objective)
        fill = get_baseline("fill", self.fill, view.inputs)
        scores = torch.empty(self.masks * samples, device=device, dtype=view.dtype)

        def work(start: int, stop: int) -> None:
            jobs = torch.arange(start, stop, device=device)
            rows, numbers, first = jobs % samples, jobs // samples, start // samples
            kept = masks.make(first, (stop - 1) // samples + 1).to(view.inputs.dtype)[numbers - first, None]
            with torch.no_grad():
                evidence = view.evidence(torch.lerp(fill[rows], view.inputs[rows], kept), rows)
            scores[start:stop] = view.score(evidence, rows, objective)

        in_chunks(len(scores), view.inputs, self.max_batch, work)
        return scores.view(self.masks, samples)

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """One forward pass a mask."""
        return Passes(self.masks, 0)


class _Masks(NamedTuple):
    """N masks before they are enlarged: each is `down[i] @ grids[i] @ across[i]^T`.

    Attributes:
        grids: 0 and 1, `[N, s, s]`.
        rows: where each mask is cropped, `[N]`, and the weights for each such offset, `[offset, H, s]`.
        columns: the same along the other axis, `[offset, W, s]`.
    """

    grids: Tensor
    rows: tuple[Tensor, Tensor]
    columns: tuple[Tensor, Tensor]

    def make(self, start: int, stop: int) -> Tensor:
        """Masks start..stop, `[n, H, W]`."""
        down, across = (weights[offset[start:stop]] for offset, weights in (self.rows, self.columns))
        with torch.autocast(down.device.type, enabled=False):
            return down @ self.grids[start:stop] @ across.mT


def _draw(count: int, cells: int, probability: float, seed: int, view: View) -> _Masks:
    """All random numbers at once, so that a mask does not depend on the chunk in which it is made."""
    generator = torch.Generator().manual_seed(seed)
    grids = torch.rand(count, cells, cells, generator=generator, dtype=torch.float32) < probability
    axes = []
    for size in view.inputs.shape[2:]:
        weights = _weights(size, cells)
        offset = torch.randint(len(weights), (count,), generator=generator)
        axes.append((offset.to(view.inputs.device), weights.to(view.inputs.device, view.dtype)))
    return _Masks(grids.to(view.inputs.device, view.dtype), *axes)


def _weights(size: int, cells: int) -> Tensor:
    """How much each of the grid's `cells` values counts at each place of an axis, `[offset, size, cells]`.

    A cell is enlarged to c = ceil(size / cells) places, the axis to (cells + 1) c, of which `size` from 0 <= offset < c
    on are taken.
    """
    cell = -(-size // cells)
    length = (cells + 1) * cell
    position = ((torch.arange(length, dtype=torch.float64) + 0.5) * cells / length - 0.5).abs()
    position = (cells - 1 - (cells - 1 - position).abs()).clamp_min(0)  # mirrored at both ends; one cell is constant
    weights = (1 - (position[:, None] - torch.arange(cells)).abs()).clamp_min(0)
    return weights.unfold(0, size, 1)[:cell].mT.contiguous()

"""The cells that an image is cut into, and what taking one away does."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_attr._chunks import in_chunks
from lit_attr._segments import superpixels
from lit_attr._view import View
from lit_attr.baselines import Baseline, get_baseline
from lit_attr.objectives import Objective

Cut: TypeAlias = Literal["grid", "slic"]


class Cells(NamedTuple):
    """The cells of each image of a batch.

    Attributes:
        numbers: of the cell that each pixel is in, from 0 on, long `[B, H, W]`.
        exists: which cells there are, bool `[B, R]`: images may have fewer than others.
        grid: rows and columns of a grid; None of superpixels.
    """

    numbers: Tensor
    exists: Tensor
    grid: tuple[int, int] | None

    def mean(self, maps: Tensor) -> Tensor:
        """The mean of maps `[B, 1, H, W]` in each cell, `[B, R]`; zero for cells that do not exist."""
        flat = self.numbers.flatten(1)
        sums, counts = (
            torch.zeros_like(self.exists, dtype=maps.dtype).scatter_add(1, flat, values)
            for values in (maps.flatten(1), torch.ones_like(flat, dtype=maps.dtype))
        )
        return sums / counts.clamp_min(1)

    def spread(self, values: Tensor, *, smooth: bool = False) -> Tensor:
        """Values `[B, R]` as maps `[B, 1, H, W]`: the same all over a cell, or, of a grid, bilinear in between."""
        size = self.numbers.shape[1:]
        if smooth and self.grid is not None:
            small = values.view(len(values), 1, *self.grid)
            return F.interpolate(small, size, mode="bilinear", align_corners=False)
        return values.gather(1, self.numbers.flatten(1)).view(-1, 1, *size)


def count_cells(side: int, shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of a grid of `side` over samples of a shape; no more than there are pixels."""
    height, width = shape[-2:]
    return min(side, height), min(side, width)


def cells_of(images: Tensor, cut: Cut, side: int) -> Cells:
    """Cut images `[B, C, H, W]` into a grid of `side * side` cells, or at most as many superpixels."""
    height, width = images.shape[2:]
    rows, columns = count_cells(side, images.shape)
    if cut == "grid":
        y, x = (torch.arange(size, device=images.device) * n // size for size, n in ((height, rows), (width, columns)))
        numbers = (y[:, None] * columns + x).expand(len(images), -1, -1)
        return Cells(
            numbers, torch.ones(len(images), rows * columns, dtype=torch.bool, device=images.device), (rows, columns)
        )
    parts = [superpixels(image, rows * columns) for image in images]
    numbers = torch.stack(parts) if parts else images.new_zeros(0, height, width, dtype=torch.long)
    most = torch.arange(rows * columns, device=images.device)
    return Cells(numbers, most <= numbers.flatten(1).amax(1, keepdim=True), None)


def scores_without(
    view: View, cells: Cells, fill: Baseline, objective: Objective, max_batch: int | None = None
) -> Tensor:
    """The score of each sample without each of its cells, `[B, R]`: one forward pass a cell; NaN where there is none.

    Args:
        view: the model.
        cells: of its samples.
        fill: what stands where a cell was (see `lit_attr.baselines`).
        objective: the score.
        max_batch: the most images at once.
    """
    jobs = cells.exists.nonzero()
    background = get_baseline("fill", fill, view.inputs)
    found = torch.full(cells.exists.shape, torch.nan, device=view.inputs.device, dtype=view.dtype)

    def work(start: int, stop: int) -> None:
        rows, numbers = jobs[start:stop].unbind(1)
        gone = (cells.numbers[rows] == numbers.view(-1, 1, 1))[:, None]
        with torch.no_grad():
            evidence = view.evidence(torch.where(gone, background[rows], view.inputs[rows]), rows)
        found[rows, numbers] = view.score(evidence, rows, objective).to(found)

    in_chunks(len(jobs), view.inputs, max_batch, work)
    return found

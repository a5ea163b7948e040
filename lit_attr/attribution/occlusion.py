"""Occlusion: the fall of the score without a cell of the image.

Paper: Zeiler, Fergus, "Visualizing and Understanding Convolutional Networks", 2014, section 4.2. Deviations: cells of a
grid or superpixels, which do not overlap, where the paper slides a square; its grey is an explicit `fill`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, get_args

from lit_attr._checks import one_of, positive_int
from lit_attr._view import Passes, View
from lit_attr.attribution._cam import images_only
from lit_attr.attribution._cells import Cut, cells_of, count_cells, scores_without
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.baselines import Baseline, check_baseline
from lit_attr.objectives import Objective, get_objective

__all__ = ["Occlusion"]


@METHODS.register("occlusion")
@dataclass(frozen=True, eq=False)
class Occlusion(Method):
    """A = f(x) - f(x with the fill in the cell), at each place of the cell: `[B, 1, H, W]`.

    Signed, float32. It asks for no gradient.

    Args:
        cells: how the image is cut: a "grid" of `grid * grid` cells, or at most as many superpixels ("slic").
        grid: cells along each axis; no more than there are pixels.
        fill: what stands where a cell was (see `lit_attr.baselines`); "mean" is the mean colour of each image.
        smooth: bilinear between the middles of the cells of a grid, instead of steps.
        objective: the explained scalar f; the probability.

    Raises:
        ValueError: for inputs that are no images.

    Example:
        >>> import torch
        >>> class Corner(torch.nn.Module):
        ...     def forward(self, x):
        ...         return x[:, :, 0, 0] * torch.tensor([0.0, 2.0])
        >>> Occlusion(grid=2, fill=0.0, objective="logit")(Corner(), torch.ones(1, 1, 4, 4), 1)[0, 0, :, 1:3]
        tensor([[2., 0.],
                [2., 0.],
                [0., 0.],
                [0., 0.]])
    """

    ABOUT: ClassVar[About] = About("fall of the score without a cell", "IL", "images, no gradient")

    cells: Cut = "grid"
    grid: int = 8
    fill: Baseline = "mean"
    smooth: bool = False
    objective: str | Objective = "prob"

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("cells", self.cells, get_args(Cut))
        positive_int("grid", self.grid)
        check_baseline("fill", self.fill)

    def attribute(self, view: View) -> Explanation:
        """The clean samples, then all cells of all samples in one stream."""
        images_only(view.inputs.shape)
        objective = get_objective(self.objective)
        clean = view.value(view.inputs, view.rows, objective, self.max_batch)
        cells = cells_of(view.inputs, self.cells, self.grid)
        effects = clean[:, None] - scores_without(view, cells, self.fill, objective, self.max_batch)
        maps = cells.spread(effects.where(cells.exists, 0), smooth=self.smooth)
        return Explanation(maps, info={"effects": effects})

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """One forward pass a cell and one more; fewer where SLIC finds fewer superpixels."""
        rows, columns = count_cells(self.grid, shape)
        return Passes(1 + rows * columns, 0)

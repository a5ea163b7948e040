"""Settings of the metrics that compare the attribution of a sample with another one of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from torch import Tensor

from lit_attr._checks import count_or_share, one_of
from lit_attr.metrics.ranking import reduced
from lit_attr.metrics.similarity import cosine, pearson, spearman, ssim, topk_intersection

Measure: TypeAlias = Literal["pearson", "spearman", "topk", "ssim", "cosine"]
Reduction: TypeAlias = Literal["abs_of_sum", "abs_sum", "sum"]

_MEASURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "pearson": pearson,
    "spearman": spearman,
    "ssim": ssim,
    "cosine": cosine,
}
REDUCTIONS = ["abs_of_sum", "abs_sum", "sum"]


@dataclass(frozen=True)
class Comparison:
    """How two attributions are compared.

    Attributes:
        measure: "pearson", "spearman", "topk", "ssim" or "cosine"; see `lit_attr.metrics.similarity`.
        reduction: from channels to one number per position: "sum", the absolute value of the sum ("abs_of_sum"), or
            the sum of absolute values ("abs_sum").
        k: how many positions "topk" takes, or below one their share.
    """

    measure: Measure
    reduction: Reduction
    k: float

    def __post_init__(self) -> None:
        one_of("measure", self.measure, [*_MEASURES, "topk"])
        one_of("reduction", self.reduction, REDUCTIONS)
        count_or_share("k", self.k)

    @property
    def protocol(self) -> dict[str, Any]:
        """What is computed, as plain data."""
        top = {"k": self.k} if self.measure == "topk" else {}
        return {"measure": self.measure, "map": self.reduction, **top}

    def __call__(self, one: Tensor, other: Tensor, inputs: Tensor) -> Tensor:
        """The similarity of two attributions of `inputs`, `[B]`; NaN where there is none."""
        a, b = (reduced(self.reduction, attribution, inputs) for attribution in (one, other))
        return topk_intersection(a, b, self.k) if self.measure == "topk" else _MEASURES[self.measure](a, b)

"""Random logit test: whether an attribution depends on the class that is explained.

Paper: Sixt, Granz, Landgraf, "When Explanations Lie: Why Many Modified BP Attributions Fail", ICML 2020, arXiv
1912.09818, section 5.

Deviations: the other class lies a drawn number of places behind the explained one, the same for all samples, so that it
does not depend on the batch that a sample sat in.
"""

import copy

import torch
from torch import Tensor, nn

from lit_attr._checks import ArgumentError, not_negative_int
from lit_attr._view import Passes
from lit_attr.metrics._base import METRICS, AttributionMetric, Reading
from lit_attr.metrics._comparison import Comparison, Measure, Reduction
from lit_attr.metrics._evaluation import Explain, Explained
from lit_attr.metrics._explaining import explain_again, explained_by
from lit_attr.metrics._work import CLEAN, Work
from lit_attr.targets import Target

__all__ = ["RandomLogit", "random_logit"]


def random_logit(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    method: Explain,
    measure: Measure = "spearman",
    reduction: Reduction = "abs_of_sum",
    k: float = 0.02,
    seed: int = 0,
) -> Tensor:
    """The similarity of each sample, `[B]`; see `RandomLogit`. NaN where it is undefined or not finite.

    Example:
        >>> model, images = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), torch.rand(2, 1, 4, 4)
        >>> random_logit(model, images, 1, lambda model, inputs, target: inputs).round(decimals=6).tolist()
        [1.0, 1.0]
    """
    return RandomLogit(measure, reduction, k, seed).per_sample(explained_by(method, model, inputs, target))


@METRICS.register("random_logit")
class RandomLogit(AttributionMetric):
    r"""Similarity of the attributions of the explained class and of another one, lower is better.

    .. math:: \text{sim}\big(\phi(x, y), \phi(x, (y + r) \bmod C)\big)

    with the method phi, C classes and r drawn once from 1..C-1; of two classes it is the other one. 1 for a method that
    does not look at the class. In [-1, 1], for "topk" in [0, 1]. Undefined where a map is the same everywhere. Costs
    one explanation and the clean forward pass.

    Args:
        measure: "spearman", "ssim", "topk" or "cosine"; see `lit_attr.metrics.similarity`.
        reduction: from channels to one number per position: "abs_of_sum", "abs_sum", or "sum" with its sign.
        k: how many positions "topk" takes, or below one their share.
        seed: of the private generator that draws r.

    Raises:
        ValueError: for settings out of range, a model that tells no classes apart, or without `method`.

    Example:
        >>> model, images = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), torch.rand(2, 1, 4, 4)
        >>> metric = RandomLogit()
        >>> metric.update(model, images, 1, images, method=lambda model, inputs, target: inputs)
        >>> metric.compute()
        tensor(1.)
    """

    higher_is_better = False
    UNDEFINED = "an attribution is the same everywhere"

    def __init__(
        self,
        measure: Measure = "spearman",
        reduction: Reduction = "abs_of_sum",
        k: float = 0.02,
        seed: int = 0,
    ) -> None:
        compare = Comparison(measure, reduction, k)
        not_negative_int("seed", seed)
        shared = [CLEAN, Work(("other class", seed), Passes(0, 0), 1)]
        super().__init__({**compare.protocol, "seed": seed}, Passes(1, 0), explanations=1, shared=shared)
        self.compare, self.seed = compare, seed

    def measure(self, explained: Explained) -> Reading:
        """The similarity of each sample."""
        there = explained.once(("other class", self.seed), lambda: self._explanation(explained))
        value = self.compare(explained.attribution, there, explained.evaluation.inputs)
        # What is not finite is no map that is the same everywhere.
        return Reading(value, defined=value.isfinite() | ~there.flatten(1).isfinite().all(1))

    def _explanation(self, explained: Explained) -> Tensor:
        classes = explained.evaluation.evidence.shape[1]
        if classes < 2:
            raise ArgumentError("model", f"one with {classes} class", "a model of two classes or more")
        generator = torch.Generator().manual_seed(self.seed)
        shift = int(torch.randint(1, classes, (1,), generator=generator))
        with explained.evaluation.view() as view:
            other = copy.copy(view.target)  # of any kind: its masks or boxes stay
            other.index = (view.target.index + shift) % classes
            return explain_again(explained, view, target=other)

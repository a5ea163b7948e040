"""Model parameter randomisation test: whether an attribution says anything about what the model has learned.

Paper: Adebayo et al., "Sanity Checks for Saliency Maps", NeurIPS 2018, arXiv 1810.03292, sections 3 and 4.

Deviations: layers are randomised in a fixed number of stages, so that models of any depth have a curve of one length
and a known cost. Every parameter is drawn anew, those that belong to no leaf module included, such as the projections
of attention, class tokens and position embeddings. The value is the mean over the stages, without the original map.
"""

from itertools import pairwise
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from lit_attr._checks import not_negative_int, one_of, positive_int
from lit_attr._view import Passes
from lit_attr.metrics._base import METRICS, AttributionMetric, Reading
from lit_attr.metrics._comparison import Comparison, Measure, Reduction
from lit_attr.metrics._evaluation import Explain, Explained
from lit_attr.metrics._explaining import explain_again, explained_by
from lit_attr.metrics._randomised import Reinit, randomising
from lit_attr.metrics._work import CLEAN, Work
from lit_attr.targets import Target

__all__ = ["MPRT", "mprt"]

Order: TypeAlias = Literal["top_down", "bottom_up", "independent"]


def mprt(  # noqa: PLR0913, PLR0917 - a batch, and the settings of the class
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    method: Explain,
    measure: Measure = "spearman",
    order: Order = "top_down",
    stages: int = 10,
    reinit: Reinit = "reset",
    reduction: Reduction = "abs_of_sum",
    k: float = 0.02,
    seed: int = 0,
) -> Tensor:
    """The mean similarity of each sample, `[B]`; see `MPRT`. NaN where it is undefined or not finite.

    Example:
        >>> model, images = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), torch.rand(2, 1, 4, 4)
        >>> mprt(model, images, 1, lambda model, inputs, target: inputs, stages=1).round(decimals=6).tolist()
        [1.0, 1.0]
    """
    metric = MPRT(measure, order, stages, reinit, reduction, k, seed)
    return metric.per_sample(explained_by(method, model, inputs, target))


@METRICS.register("mprt")
class MPRT(AttributionMetric):
    r"""Similarity of an attribution with those of the same model with random parameters, lower is better.

    .. math:: \frac{1}{S} \sum_{j=1}^{S} \text{sim}\big(\phi_\theta(x), \phi_{\theta_j}(x)\big)

    with the method phi, of the class explained with the trained parameters theta, and S stages: in theta_j the first
    ceil(j L / S) of the L layers are random, or, where `order` is "independent", only those that stage j adds. A layer
    is a module that owns parameters; with S = L each stage adds one, and with fewer layers than stages some stages are
    equal and are explained once. The curve has the similarity after each stage; its last point is that of a wholly
    random model, unless "independent". About 1 for a method that does not look at the model, such as an edge detector.
    In [-1, 1], for "topk" in [0, 1]. Undefined where a map is the same everywhere, before or after a stage. Costs S
    explanations and the clean forward pass; metrics that differ in measure, reduction and k alone share them.

    The model's own parameters are not written to: it is explained with copies in their place, which are of one size
    with them. Buffers, such as statistics of batch normalisation, stay. All processes draw the same values.

    Args:
        measure: "spearman", "ssim", "topk" or "cosine"; see `lit_attr.metrics.similarity`.
        order: "top_down" from the output, "bottom_up" from the input, each keeping what is random already, or
            "independent", top down with all other layers trained.
        stages: number S of explanations.
        reinit: "reset" as the layer begins (where it has no way to, as "normal"), "normal" with mean and deviation of
            each parameter, or "shuffle" its values. What has no spread, such as biases of zero, stays in the last two.
        reduction: from channels to one number per position: "abs_of_sum", "abs_sum", or "sum" with its sign.
        k: how many positions "topk" takes, or below one their share.
        seed: of the private generators, one per layer.

    Raises:
        ValueError: for settings out of range, a model without parameters, or without `method`.

    Example:
        >>> model, images = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), torch.rand(2, 1, 4, 4)
        >>> metric = MPRT(stages=1)
        >>> metric.update(model, images, 1, images, method=lambda model, inputs, target: inputs)
        >>> metric.compute(), metric.curve()
        (tensor(1.), tensor([1.]))
    """

    higher_is_better = False
    ALONG = "share of the layers that are random"
    UNDEFINED = "an attribution is the same everywhere, of the trained model or of a random one"

    def __init__(
        self,
        measure: Measure = "spearman",
        order: Order = "top_down",
        stages: int = 10,
        reinit: Reinit = "reset",
        reduction: Reduction = "abs_of_sum",
        k: float = 0.02,
        seed: int = 0,
    ) -> None:
        compare = Comparison(measure, reduction, k)
        one_of("order", order, ["top_down", "bottom_up", "independent"])
        one_of("reinit", reinit, ["reset", "normal", "shuffle"])
        positive_int("stages", stages)
        not_negative_int("seed", seed)
        protocol = {**compare.protocol, "order": order, "stages": stages, "reinit": reinit, "seed": seed}
        self._key = ("randomised", order, stages, reinit, seed)
        shared = [CLEAN, Work(self._key, Passes(0, 0), stages)]
        super().__init__(protocol, Passes(1, 0), points=stages, explanations=stages, shared=shared)
        self.compare, self.order, self.stages, self.reinit, self.seed = compare, order, stages, reinit, seed

    def measure(self, explained: Explained) -> Reading:
        """The mean similarity of each sample, and the similarity after each stage."""
        found = explained.once(self._key, lambda: self._explanations(explained))
        curve: Tensor = explained.once((*self._key, self.compare), lambda: self._similarities(explained, found))
        finite = torch.stack([there.flatten(1).isfinite().all(1) for there in found], dim=1).all(1)
        # What is not finite is no map that is the same everywhere.
        return Reading(curve.mean(1), curve, defined=curve.isfinite().all(1) | ~finite)

    def _similarities(self, explained: Explained, found: list[Tensor]) -> Tensor:
        """With the attribution after each stage, `[B, S]`; asked for twice where a table of samples is wanted, too."""
        inputs, here = explained.evaluation.inputs, explained.attribution
        return torch.stack([self.compare(here, there, inputs) for there in found], dim=1)

    def _explanations(self, explained: Explained) -> list[Tensor]:
        """After each stage."""
        found: list[Tensor] = []
        with explained.evaluation.view() as view, randomising(view.model) as random:
            layers = list(range(len(random.layers)))
            if not layers:
                msg = f"{type(view.model).__name__} has no parameters that could be randomised"
                raise ValueError(msg)
            if self.order != "bottom_up":
                layers.reverse()
            cuts = [-(-j * len(layers) // self.stages) for j in range(self.stages + 1)]
            for start, stop in pairwise(cuts):
                if start == stop:
                    found.append(found[-1])
                    continue
                if self.order == "independent":
                    random.restore()
                for layer in layers[start:stop]:
                    random.randomise(layer, self.reinit, self.seed)
                found.append(explain_again(explained, view))
        return found

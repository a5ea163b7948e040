"""Explanation similarity: how much of an attribution is left when the input is changed but not the prediction.

Papers: Ghorbani, Abid, Zou, "Interpretation of Neural Networks is Fragile", AAAI 2019, arXiv 1710.10547, whose attack,
like any other, can be given as `perturb`; Chen et al., "Robust Attribution Regularization", NeurIPS 2019, arXiv
1905.09957, who take the worst of several restarts.

Deviations: only inputs whose prediction held count, and the share of them is told (`coverage`): a map of another class
may well look different. Without an attack the change is uniform noise.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from lit_attr._checks import ArgumentError, batch_of_floats, positive_int
from lit_attr._view import Passes, View
from lit_attr.attacks import Attack, get_attack
from lit_attr.corruptions import CORRUPTIONS, Corruption, get_corruption
from lit_attr.metrics._base import METRICS, AttributionMetric, Reading
from lit_attr.metrics._comparison import Comparison, Measure, Reduction
from lit_attr.metrics._elements import named
from lit_attr.metrics._evaluation import Explain, Explained
from lit_attr.metrics._explaining import explain_again, explained_by
from lit_attr.metrics._noise import Noise
from lit_attr.metrics._work import CLEAN, Work
from lit_attr.targets import Target
from lit_attr.updates.region import Bounds

__all__ = ["ExplanationSimilarity", "explanation_similarity"]

Perturb: TypeAlias = str | Mapping[str, Any] | Corruption | Callable[[nn.Module, Tensor, Target], Tensor]


def explanation_similarity(  # noqa: PLR0913, PLR0917 - a batch, and the settings of the class
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor | Target | None,
    method: Explain,
    measure: Measure = "topk",
    perturb: Perturb = "noise",
    radius: float = 0.02,
    restarts: int = 1,
    k: float = 0.02,
    reduction: Reduction = "abs_sum",
    bounds: Bounds = "auto",
    seed: int = 0,
) -> Tensor:
    """The similarity of each sample, `[B]`; see `ExplanationSimilarity`. NaN where no prediction held.

    Example:
        >>> from lit_attr.attribution import Saliency
        >>> model, images = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), torch.rand(2, 1, 4, 4)
        >>> explanation_similarity(model, images, 1, Saliency(), radius=1e-6).tolist()
        [1.0, 1.0]
    """
    metric = ExplanationSimilarity(measure, perturb, radius, restarts, k, reduction, bounds, seed)
    return metric.per_sample(explained_by(method, model, inputs, target))


class _Pair(NamedTuple):
    """What was found at one perturbed batch.

    Attributes:
        attribution: of the perturbed inputs.
        held: samples whose prediction is what it was, bool `[B]`.
        finite: samples whose attribution and output are finite, bool `[B]`.
    """

    attribution: Tensor
    held: Tensor
    finite: Tensor


@METRICS.register("explanation_similarity")
class ExplanationSimilarity(AttributionMetric):
    r"""Similarity of the attributions of an input and of a changed one that is predicted alike, higher is better.

    .. math:: \min_{r \le R,\; \hat y(x_r) = \hat y(x)} \text{sim}\big(\phi(x), \phi(x_r)\big)

    with the method phi, of the class explained at x, and R changed inputs x_r: the worst one counts. In [0, 1] for
    "topk", else in [-1, 1]. Undefined where no prediction held or a map is the same everywhere; `coverage` tells the
    share of the samples that remain. For samples that are also predicted right, give `valid`. Costs R explanations,
    R + 1 forward passes and what `perturb` costs; metrics that differ in measure, reduction and k alone share them.

    Args:
        measure: "topk", the share of top positions that are the same, "pearson", "spearman", "ssim" or "cosine"; see
            `lit_attr.metrics.similarity`.
        perturb: "noise", uniform, or what makes the changed inputs: an attack or a corruption (a name, settings with
            the name under `class`, or one that is made), or a function of model, inputs and target. The global random
            state is seeded before each call of a function and restored afterwards; attacks and corruptions have another
            seed in each restart, and a corruption draws the same for all samples.
        radius: the most that noise changes a feature, in units of the inputs.
        restarts: number R of changed inputs.
        k: how many positions "topk" takes, or below one their share; 1000 of 224x224 in the papers.
        reduction: from channels to one number per position: "abs_sum", the sum of absolute values, as in the papers;
            "abs_of_sum", or "sum" with its sign.
        bounds: the range that noisy inputs stay in: "auto" is [0, 1] for images; or two numbers, or None.
        seed: of the noise, or of the global random state that `perturb` finds.

    Raises:
        ValueError: for settings out of range, changed inputs of another shape, or without `method`.

    Example:
        >>> from lit_attr.attribution import Saliency
        >>> model, images = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), torch.rand(4, 1, 4, 4)
        >>> metric = ExplanationSimilarity("spearman", radius=1e-6)
        >>> metric.update(model, images, 1, Saliency()(model, images, 1), method=Saliency())
        >>> metric.compute(), metric.coverage()
        (tensor(1.), tensor(1.))
    """

    higher_is_better = True
    perturb: Perturb
    UNDEFINED = "the prediction did not hold, or an attribution is the same everywhere"

    def __init__(
        self,
        measure: Measure = "topk",
        perturb: Perturb = "noise",
        radius: float = 0.02,
        restarts: int = 1,
        k: float = 0.02,
        reduction: Reduction = "abs_sum",
        bounds: Bounds = "auto",
        seed: int = 0,
    ) -> None:
        positive_int("restarts", restarts)
        compare, noise = Comparison(measure, reduction, k), Noise(restarts, radius, bounds, seed)
        protocol: dict[str, Any] = {**compare.protocol, "of_restarts": "worst", "restarts": restarts, "seed": seed}
        perturb = _built(perturb)
        if isinstance(perturb, str):
            protocol |= noise.protocol
        elif not callable(perturb):
            accepted = "'noise', an attack, a corruption, or a function of model, inputs and target"
            raise ArgumentError("perturb", perturb, accepted)
        passes, name = Passes(restarts + 1, 0), perturb if isinstance(perturb, Attack | Corruption) else named(perturb)
        self._key = ("changed", perturb, *noise.key)
        shared = [CLEAN, Work(self._key, Passes(restarts, 0), restarts)]
        told = {**protocol, "perturb": str(name)}
        super().__init__(told, passes, identity=perturb, explanations=restarts, shared=shared)
        self.compare, self.noise = compare, noise
        object.__setattr__(self, "perturb", perturb)  # a module among attacks would become a part of the metric

    def measure(self, explained: Explained) -> Reading:
        """The least similarity of each sample over the restarts at which its prediction held."""
        pairs = explained.once(self._key, lambda: self._pairs(explained))
        inputs, here = explained.evaluation.inputs, explained.attribution
        found = torch.stack([self.compare(here, pair.attribution, inputs) for pair in pairs])
        finite = torch.stack([pair.finite for pair in pairs])
        counts = torch.stack([pair.held for pair in pairs]) & found.isfinite()
        worst = found.where(counts, torch.inf).amin(0)
        # What is not finite is no prediction that did not hold.
        return Reading(worst.where(finite.all(0), torch.nan), defined=counts.any(0) | ~finite.all(0))

    def _pairs(self, explained: Explained) -> list[_Pair]:
        before = explained.evaluation.evidence
        pairs = []
        with explained.evaluation.view() as view:
            for changed in self._changed(view):
                after = view.evidence_at(changed, view.rows)
                attribution = explain_again(explained, view, changed)
                finite = (before + after).isfinite().all(1) & attribution.flatten(1).isfinite().all(1)
                pairs.append(_Pair(attribution, before.argmax(1) == after.argmax(1), finite))
        return pairs

    def _changed(self, view: View) -> list[Tensor]:
        if not callable(self.perturb):
            return list(self.noise.copies(view.inputs))
        found = []
        for restart in range(self.noise.draws):
            torch.manual_seed(self.noise.seed + restart)
            changed = self._call(view, restart).detach()
            batch_of_floats("perturb", changed)
            if changed.shape != view.inputs.shape:
                accepted = f"a function that keeps the shape {tuple(view.inputs.shape)}"
                raise ArgumentError("perturb", f"shape {tuple(changed.shape)}", accepted)
            found.append(changed)
        return found

    def _call(self, view: View, restart: int) -> Tensor:
        """What is made of the inputs."""
        inputs, perturb = view.inputs.clone(), self.perturb
        if isinstance(perturb, Attack):
            return replace(perturb, seed=perturb.seed + self.noise.seed + restart)(view.model, inputs, view.target)
        if isinstance(perturb, Corruption):
            keys = torch.zeros(len(inputs), dtype=torch.long)
            return replace(perturb, seed=perturb.seed + self.noise.seed + restart)(inputs, keys)
        found: Tensor = perturb(view.model, inputs, view.target)  # type: ignore[operator]  # it is a function
        return found


def _built(perturb: Perturb) -> Perturb:
    """The attack or corruption of a name or of settings; all else as it is."""
    if perturb == "noise" or not isinstance(perturb, str | Mapping):
        return perturb
    name = str(perturb.get("class") if isinstance(perturb, Mapping) else perturb)
    return get_corruption(perturb) if name in CORRUPTIONS.names() else get_attack(perturb)

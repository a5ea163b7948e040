"""Deletion of the first pixels: how much of it hits the explained region, and how much the rest of the image.

The two drops, TDD and ODD, are named after what little is known of Sakib et al., "Dual Evidence Attribution", 2026,
arXiv 2603.22624, an abstract that speaks of "off-target leakage" measured by interventions. Their formulae are ours.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

from torch import Tensor, nn

from lit_attr._checks import one_of
from lit_attr.baselines import Baseline
from lit_attr.metrics._base import METRICS, AttributionMetric, Reading
from lit_attr.metrics._evaluation import Evaluation, Explained
from lit_attr.metrics._region import FRACTIONS, Deleting
from lit_attr.metrics._work import total
from lit_attr.targets import RegionTarget

__all__ = ["LeakageRatio", "OffTargetDrop", "TargetDrop", "leakage_ratio", "off_target_drop", "target_drop"]

Kind: TypeAlias = Literal["label_abs", "class_mean"]

_NONE_LEFT = "no off-target pixel is left"
_LEAST = 1e-6


def target_drop(  # noqa: PLR0913, PLR0917 - a batch, and the settings of the class
    model: nn.Module,
    inputs: Tensor,
    target: RegionTarget,
    attribution: Tensor,
    fill: Baseline = "mean",
    fractions: Sequence[float] = FRACTIONS,
    relative: bool = False,
    seed: int = 0,
    max_batch: int | None = None,
) -> Tensor:
    """The target deletion drop of each sample, `[B]`; see `TargetDrop`, and `leakage_ratio` for an example."""
    metric = TargetDrop(fill, fractions, relative, seed, max_batch)
    return metric.per_sample(Evaluation(model, inputs, target).of(attribution))


def off_target_drop(  # noqa: PLR0913, PLR0917 - a batch, and the settings of the class
    model: nn.Module,
    inputs: Tensor,
    target: RegionTarget,
    attribution: Tensor,
    fill: Baseline = "mean",
    fractions: Sequence[float] = FRACTIONS,
    kind: Kind = "label_abs",
    seed: int = 0,
    max_batch: int | None = None,
) -> Tensor:
    """The off-target deletion drop of each sample, `[B]`; see `OffTargetDrop`. NaN where no such pixel is left."""
    metric = OffTargetDrop(fill, fractions, kind, seed, max_batch)
    return metric.per_sample(Evaluation(model, inputs, target).of(attribution))


def leakage_ratio(  # noqa: PLR0913, PLR0917 - a batch, and the settings of the class
    model: nn.Module,
    inputs: Tensor,
    target: RegionTarget,
    attribution: Tensor,
    fill: Baseline = "mean",
    fractions: Sequence[float] = FRACTIONS,
    kind: Kind = "label_abs",
    seed: int = 0,
    max_batch: int | None = None,
) -> Tensor:
    """The leakage ratio of each sample, `[B]`; see `LeakageRatio`. NaN where no off-target pixel is left.

    Example:
        >>> import torch
        >>> mask = torch.zeros(2, 6, 6, dtype=torch.bool)
        >>> mask[:, :3] = True
        >>> target, images = RegionTarget(1, mask, ~mask), torch.rand(2, 3, 6, 6)
        >>> leakage_ratio(nn.Conv2d(3, 2, 1), images, target, mask.float(), fractions=(0.5,))  # the mask, no more
        tensor([0., 0.], dtype=torch.float64)
    """
    metric = LeakageRatio(fill, fractions, kind, seed, max_batch)
    return metric.per_sample(Evaluation(model, inputs, target).of(attribution))


def _told(deleting: Deleting, **more: Any) -> dict[str, Any]:
    """What `AttributionMetric` is told."""
    shared = deleting.work
    protocol = {**deleting.protocol, **more}
    return {"protocol": protocol, "passes": total(shared).passes, "identity": deleting.fill, "shared": shared}


@METRICS.register("target_drop")
class TargetDrop(AttributionMetric):
    r"""The probability that the region loses with the first pixels of the map, higher is better; TDD.

    .. math:: \text{TDD} = \frac{1}{|Q|} \sum_{q \in Q} S(x) - S(x^{(q)})

    S is the mean probability of the explained class over the region of a `RegionTarget`, :math:`x^{(q)}` the image with
    the share q of all pixels of largest attribution replaced by the fill. In [-1, 1]. Pixels of equal attribution come
    in a random order. Costs a clean forward pass and one a share, which `OffTargetDrop` and `LeakageRatio` of the same
    settings share.

    Args:
        fill: what stands where pixels were (see `lit_attr.baselines`); "mean" is the mean colour of each image. Also
            ask with a fill that the method itself did not use.
        fractions: the shares Q, in (0, 1); at least one pixel is deleted.
        relative: divide by S(x); undefined where that is zero.
        seed: of the order of equal values.
        max_batch: the most images per forward pass; None takes a default from device and image size.

    Raises:
        ValueError: for settings out of range, and for a target that is no `RegionTarget` with off-target pixels.

    Example:
        >>> import torch
        >>> mask = torch.zeros(2, 6, 6, dtype=torch.bool)
        >>> mask[:, :3] = True
        >>> metric, model, images = TargetDrop(), nn.Conv2d(3, 2, 1), torch.rand(2, 3, 6, 6)
        >>> metric.update(model, images, RegionTarget(1, mask, ~mask), mask.float())
        >>> metric.compute().shape
        torch.Size([])
    """

    higher_is_better = True
    UNDEFINED = "the region has no probability"

    def __init__(
        self,
        fill: Baseline = "mean",
        fractions: Sequence[float] = FRACTIONS,
        relative: bool = False,
        seed: int = 0,
        max_batch: int | None = None,
    ) -> None:
        deleting = Deleting(fill, fractions, seed, max_batch)
        super().__init__(**_told(deleting, relative=relative))
        self.deleting, self.relative = deleting, relative

    def measure(self, explained: Explained) -> Reading:
        """The mean drop of each sample."""
        found = self.deleting(explained)
        value = found.drop.mean(1)
        return Reading(value / found.score, defined=found.score != 0) if self.relative else Reading(value)


@METRICS.register("off_target_drop")
class OffTargetDrop(AttributionMetric):
    r"""How far the rest of the image moves when the first pixels are deleted, lower is better; ODD.

    .. math:: \text{ODD} = \frac{1}{|Q|} \sum_{q \in Q} \frac{1}{|O_q|} \sum_{p \in O_q}
              \big| p_{\hat y_p}(x)_p - p_{\hat y_p}(x^{(q)})_p \big|

    with the class :math:`\hat y_p` that pixel p is called on the clean image, over the off-target pixels of the target
    that are not deleted themselves; so no two pixels cancel each other. In [0, 1]. Undefined where no such pixel is
    left. Symbols, arguments and cost as in `TargetDrop`.

    Args:
        fill: as in `TargetDrop`.
        fractions: likewise.
        kind: "label_abs", as above; or "class_mean", the absolute change of the mean probability of the explained class
            over all off-target pixels, deleted ones included, which is undefined only where there is none.
        seed: as in `TargetDrop`.
        max_batch: likewise.

    Raises:
        ValueError: as `TargetDrop`.

    Example:
        >>> import torch
        >>> mask = torch.zeros(2, 6, 6, dtype=torch.bool)
        >>> mask[:, :3] = True
        >>> metric, images = OffTargetDrop(fractions=(0.5,)), torch.rand(2, 3, 6, 6)
        >>> metric.update(nn.Conv2d(3, 2, 1), images, RegionTarget(1, mask, ~mask), mask.float())
        >>> metric.compute()  # no pixel depends on another one
        tensor(0.)
    """

    higher_is_better = False
    UNDEFINED = _NONE_LEFT

    def __init__(
        self,
        fill: Baseline = "mean",
        fractions: Sequence[float] = FRACTIONS,
        kind: Kind = "label_abs",
        seed: int = 0,
        max_batch: int | None = None,
    ) -> None:
        one_of("kind", kind, get_args(Kind))
        deleting = Deleting(fill, fractions, seed, max_batch)
        super().__init__(**_told(deleting, kind=kind))
        self.deleting, self.kind = deleting, kind

    def measure(self, explained: Explained) -> Reading:
        """The mean move of each sample."""
        found = self.deleting(explained)
        return Reading(found.moved[self.kind].mean(1), defined=found.counted[self.kind])


@METRICS.register("leakage_ratio")
class LeakageRatio(AttributionMetric):
    r"""Share of what deletion moves that is off the target, lower is better.

    .. math:: \frac{1}{|Q|} \sum_{q \in Q} \frac{\text{ODD}_q}{\max(\text{TDD}_q, 0) + \text{ODD}_q + 10^{-6}}

    In [0, 1]; of the drops of `OffTargetDrop` and `TargetDrop`, whose arguments, cost and undefined cases it has.

    Args:
        fill: as in `TargetDrop`.
        fractions: likewise.
        kind: as in `OffTargetDrop`.
        seed: as in `TargetDrop`.
        max_batch: likewise.

    Raises:
        ValueError: as `TargetDrop`.

    Example:
        >>> import torch
        >>> mask = torch.zeros(2, 6, 6, dtype=torch.bool)
        >>> mask[:, :3] = True
        >>> metric, images = LeakageRatio(fractions=(0.5,)), torch.rand(2, 3, 6, 6)
        >>> metric.update(nn.Conv2d(3, 2, 1), images, RegionTarget(1, mask, ~mask), mask.float())
        >>> metric.compute()
        tensor(0.)
    """

    higher_is_better = False
    UNDEFINED = _NONE_LEFT

    def __init__(
        self,
        fill: Baseline = "mean",
        fractions: Sequence[float] = FRACTIONS,
        kind: Kind = "label_abs",
        seed: int = 0,
        max_batch: int | None = None,
    ) -> None:
        one_of("kind", kind, get_args(Kind))
        deleting = Deleting(fill, fractions, seed, max_batch)
        super().__init__(**_told(deleting, kind=kind))
        self.deleting, self.kind = deleting, kind

    def measure(self, explained: Explained) -> Reading:
        """The mean ratio of each sample."""
        found = self.deleting(explained)
        moved = found.moved[self.kind]
        return Reading((moved / (found.drop.clamp_min(0) + moved + _LEAST)).mean(1), defined=found.counted[self.kind])

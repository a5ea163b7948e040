"""Regions of a segmenter to explain: found once, on the clean image, and frozen from there on."""

import dataclasses
from typing import Literal, NamedTuple, TypeAlias, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_attr._checks import ArgumentError, batch_limit, fraction, not_negative_int, one_of
from lit_attr._segments import largest_part
from lit_attr.targets import RegionTarget, Score

__all__ = ["Region", "RegionChoice", "Regions", "find_region", "find_regions", "off_target"]

Region: TypeAlias = Literal["tp", "pred", "gt", "component"]


def find_region(
    logits: Tensor, labels: Tensor | None, index: int | Tensor, region: Region = "tp", ignore_index: int = 255
) -> Tensor:
    """Where a class is, in the sense asked for.

    Args:
        logits: of the clean images, `[B, K, H, W]`, of the size of the labels.
        labels: the class of each pixel, an integer tensor `[B, H, W]`; None where nobody knows, for "pred" only.
        index: the class, of all samples or of each, `[B]`.
        region: "tp", where the class is predicted and true; "pred", where it is predicted; "gt", where it is true;
            "component", the largest connected part of "tp".
        ignore_index: the label of pixels that do not count; they are in no region.

    Returns:
        Bool `[B, H, W]`; empty where there is no such pixel.

    Raises:
        ValueError: for an unknown region, labels of another size, and missing ones.

    Example:
        >>> logits = torch.tensor([[[[9.0, 0.0, 0.0]], [[0.0, 9.0, 9.0]]]])
        >>> labels = torch.tensor([[[1, 1, 0]]])
        >>> [find_region(logits, labels, 1, region).int().tolist() for region in ("tp", "pred", "gt")]
        [[[[0, 1, 0]]], [[[0, 1, 1]]], [[[1, 1, 0]]]]
    """
    one_of("region", region, get_args(Region))
    _checked(logits, labels, region)
    return _Classes(logits.argmax(1), labels, _of_each(index, logits), ignore_index).region(region)


def off_target(
    logits: Tensor,
    labels: Tensor | None,
    index: int | Tensor,
    mask: Tensor,
    ignore_index: int = 255,
    rim: int = 5,
) -> Tensor:
    """The pixels that have nothing to do with a region: neither of its class, nor called so, nor near it.

    Args:
        logits: as in `find_region`.
        labels: likewise; where None, what is called the class is all that is known of it.
        index: likewise.
        mask: the region, bool `[B, H, W]`.
        ignore_index: as in `find_region`.
        rim: how many pixels around the region are near it, also diagonally.

    Returns:
        Bool `[B, H, W]`.

    Example:
        >>> logits = torch.eye(2)[torch.tensor([1, 0, 0, 1, 0])].T[None, :, None]
        >>> labels = torch.tensor([[[1, 0, 0, 0, 0]]])
        >>> off_target(logits, labels, 1, labels == 1, rim=1).int().tolist()
        [[[0, 0, 1, 0, 1]]]
    """
    not_negative_int("rim", rim)
    _checked(logits, labels, "pred")
    return _Classes(logits.argmax(1), labels, _of_each(index, logits), ignore_index).off_target(mask, rim)


class Regions(NamedTuple):
    """Regions of a batch.

    Attributes:
        rows: the sample that each region is in, `[T]`: `images[rows]` is what is explained.
        target: what is explained of them, with the off-target pixels.
        dropped: how many were left out, by the reason.
    """

    rows: Tensor
    target: RegionTarget
    dropped: dict[str, int]


def find_regions(  # noqa: PLR0913 - what is left out is the caller's choice
    logits: Tensor,
    labels: Tensor | None,
    region: Region = "tp",
    score: Score = "logit",
    *,
    ignore_index: int = 255,
    background: int | None = 0,
    rim: int = 5,
    min_area: float = 0.005,
    min_iou: float = 0.5,
    min_others: float = 0.1,
    max_targets: int | None = None,
    seed: int = 0,
) -> Regions:
    """All regions of a batch that are worth explaining: one per image and true class, in this order.

    Args:
        logits: of the clean images, `[B, K, H, W]`, of the size of the labels.
        labels: the class of each pixel, an integer tensor `[B, H, W]`; None where nobody knows, for the region "pred"
            only, and then one per image and predicted class.
        region: which region; see `find_region`.
        score: see `RegionTarget`.
        ignore_index: the label of pixels that do not count.
        background: a class that is not explained.
        rim: see `off_target`.
        min_area: the least share of the image that a region has; left out as "small".
        min_iou: the least intersection over union of prediction and truth of the class in its image; as "wrong".
        min_others: the least share of the image that the off-target pixels have; as "crowded".
        max_targets: the most regions, drawn at random where there are more; left out as "many".
        seed: of that draw.

    Raises:
        ValueError: as `find_region`, and for shares outside [0, 1].

    Example:
        >>> labels = torch.zeros(1, 8, 8, dtype=torch.long)
        >>> labels[0, :3, :3], labels[0, 7, 7] = 1, 2
        >>> found = find_regions(torch.eye(3)[labels].movedim(-1, 1), labels, rim=1, min_area=0.02)
        >>> found.rows.tolist(), found.target.index.tolist(), found.dropped
        ([0], [1], {'small': 1, 'wrong': 0, 'crowded': 0, 'many': 0})
    """
    for name, share in (("min_area", min_area), ("min_iou", min_iou), ("min_others", min_others)):
        fraction(name, share)
    one_of("region", region, get_args(Region))
    not_negative_int("rim", rim)
    batch_limit("max_targets", max_targets)
    _checked(logits, labels, region)
    predicted = logits.argmax(1)
    pairs = [
        (row, index)
        for row, image in enumerate(predicted if labels is None else labels)
        for index in image.unique().tolist()
        if index not in {ignore_index, background}
    ]
    rows, index = torch.tensor(pairs, dtype=torch.long, device=logits.device).view(-1, 2).unbind(1)
    classes = _Classes(predicted[rows], None if labels is None else labels[rows], index, ignore_index)
    mask = classes.region(region)
    others = classes.off_target(mask, rim)
    size = predicted.shape[1:].numel()
    reasons = {
        "small": mask.sum((1, 2)) < max(1, min_area * size),
        "wrong": torch.zeros_like(rows, dtype=torch.bool) if labels is None else classes.iou < min_iou,
        "crowded": others.sum((1, 2)) < min_others * size,
    }
    kept, dropped = torch.ones(len(rows), dtype=torch.bool, device=rows.device), dict[str, int]()
    for reason, bad in reasons.items():
        dropped[reason] = int((kept & bad).sum())
        kept &= ~bad
    chosen = kept.nonzero()[:, 0]
    if max_targets is not None and len(chosen) > max_targets:
        order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed)).to(chosen.device)
        chosen = chosen[order[:max_targets].sort().values]
    dropped["many"] = int(kept.sum()) - len(chosen)
    return Regions(rows[chosen], RegionTarget(index[chosen], mask[chosen], others[chosen], score), dropped)


@dataclasses.dataclass(frozen=True)
class RegionChoice:
    """Which regions of a segmenter are explained, and how they are scored: the settings of `find_regions`.

    Args:
        region: "tp", "pred", "gt" or "component"; see `find_region`.
        score: "logit", "prob" or "margin"; see `RegionTarget`.
        background: a class that is not explained.
        rim: see `off_target`.
        min_area: as in `find_regions`.
        min_iou: likewise.
        min_others: likewise.

    Example:
        >>> labels = torch.zeros(1, 8, 8, dtype=torch.long)
        >>> labels[0, :3, :3] = 1
        >>> RegionChoice("gt", rim=1).find(torch.eye(2)[labels].movedim(-1, 1), labels).target.index.tolist()
        [1]
    """

    region: Region = "tp"
    score: Score = "logit"
    background: int | None = 0
    rim: int = 5
    min_area: float = 0.005
    min_iou: float = 0.5
    min_others: float = 0.1

    def __post_init__(self) -> None:
        one_of("region", self.region, get_args(Region))
        one_of("score", self.score, get_args(Score))
        not_negative_int("rim", self.rim)
        for name in ("min_area", "min_iou", "min_others"):
            fraction(name, getattr(self, name))

    def find(self, logits: Tensor, labels: Tensor | None, ignore_index: int = 255) -> Regions:
        """The regions of a batch; see `find_regions`. Without labels those that are predicted, however crowded."""
        predicted = dataclasses.replace(self, region="pred", min_others=0.0)
        settings = dataclasses.asdict(predicted if labels is None else self)
        return find_regions(logits, labels, **settings, ignore_index=ignore_index)

    def of_any_size(self) -> "RegionChoice":
        """As it is, but for regions that nothing is asked of: what a model in training may have at its beginning."""
        return dataclasses.replace(self, region="gt", min_area=0.0, min_iou=0.0, min_others=0.0)


@dataclasses.dataclass(frozen=True)
class _Classes:
    """Of `T` images the predicted and the true class of each pixel, `[T, H, W]`, and the class in question, `[T]`."""

    predicted: Tensor
    labels: Tensor | None
    index: Tensor
    ignore_index: int

    def region(self, region: Region) -> Tensor:
        """See `find_region`."""
        index = self.index.view(-1, 1, 1)
        predicted = self.predicted == index
        if self.labels is None:
            return predicted
        true, counted = self.labels == index, self.labels != self.ignore_index
        found = {"gt": true, "pred": predicted}.get(region, true & predicted) & counted
        return torch.stack([largest_part(mask) for mask in found]) if region == "component" and len(found) else found

    def off_target(self, mask: Tensor, rim: int) -> Tensor:
        """See `off_target`."""
        index = self.index.view(-1, 1, 1)
        near = F.max_pool2d(mask[:, None].float(), 2 * rim + 1, stride=1, padding=rim)[:, 0] > 0
        found = (self.predicted != index) & ~near
        return found if self.labels is None else found & (self.labels != self.ignore_index) & (self.labels != index)

    @property
    def iou(self) -> Tensor:
        """Intersection over union of prediction and truth of the class, `[T]`, where it is in the labels."""
        predicted, true = self.region("pred"), self.region("gt")
        return (predicted & true).sum((1, 2)) / (predicted | true).sum((1, 2))


def _of_each(index: int | Tensor, logits: Tensor) -> Tensor:
    return torch.as_tensor(index, device=logits.device)


def _checked(logits: Tensor, labels: Tensor | None, region: str) -> None:
    if logits.dim() != 4:
        raise ArgumentError("logits", f"shape {tuple(logits.shape)}", "[B, K, H, W]")
    expected = (len(logits), *logits.shape[2:])
    if labels is None:
        if region != "pred":
            raise ArgumentError("labels", None, f"given for region '{region}'")
    elif labels.shape != expected or labels.dtype.is_floating_point or labels.dtype == torch.bool:
        got = f"a {labels.dtype} tensor of shape {tuple(labels.shape)}"
        raise ArgumentError("labels", got, f"an integer tensor {list(expected)}, of the size of `logits`")

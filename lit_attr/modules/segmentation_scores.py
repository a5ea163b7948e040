"""Intersection over union, pixel accuracy and cross entropy, from sums over all pixels."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from lit_attr._checks import ArgumentError, classes_below, positive_int

__all__ = ["Scores", "SegmentationScores"]


class Scores(NamedTuple):
    """What the pixels say that count; all NaN where none does.

    Attributes:
        miou: mean of `iou` over the classes that occur.
        accuracy: share of pixels with the right class.
        loss: mean cross entropy.
        iou: per class, `[K]`; NaN for a class that is neither in the labels nor predicted.
    """

    miou: Tensor
    accuracy: Tensor
    loss: Tensor
    iou: Tensor


class SegmentationScores(Metric):
    """IoU_k = |predicted k and labelled k| / |predicted k or labelled k|, over the counted pixels of all images.

    Sums over the data set are divided, as in Pascal VOC; the mean of every image's own IoU is another number.
    Torchmetrics' `segmentation.MeanIoU` (as of 1.9) is the latter, and has no `ignore_index`.

    Paper: Everingham et al., "The Pascal Visual Object Classes Challenge: A Retrospective", 2015, section 4.5.

    Args:
        num_classes: K.
        ignore_index: the label of pixels that do not count; no class.

    Example:
        >>> logits = torch.eye(3)[[0, 1, 1, 1]].T.view(1, 3, 1, 4)  # of classes 0, 1, 1, 1
        >>> scores = SegmentationScores(num_classes=3)
        >>> scores.update(logits, torch.tensor([[[0, 0, 1, 255]]]))
        >>> scores.compute().miou, scores.compute().accuracy, scores.compute().iou
        (tensor(0.5000), tensor(0.6667), tensor([0.5000, 0.5000,    nan]))
    """

    full_state_update = False
    confusion: Tensor
    losses: Tensor

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        super().__init__()
        positive_int("num_classes", num_classes)
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, int) or 0 <= ignore_index < num_classes:
            raise ArgumentError("ignore_index", ignore_index, f"an integer that is no class (0..{num_classes - 1})")
        self.num_classes, self.ignore_index = num_classes, ignore_index
        # integers: sums of billions of pixels are exact, in any order and over any number of processes
        self.add_state("confusion", torch.zeros(num_classes, num_classes, dtype=torch.long), dist_reduce_fx="sum")
        self.add_state("losses", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, logits: Tensor, masks: Tensor) -> None:
        """Count pixels.

        Args:
            logits: `[B, K, H, W]`.
            masks: the label of each pixel, an integer tensor `[B, H, W]`.

        Raises:
            ArgumentError: for a label that is neither a class nor `ignore_index`, and shapes that do not fit.
        """
        if masks.dim() != 3 or masks.is_floating_point() or masks.dtype == torch.bool:
            got = f"{masks.dtype} {tuple(masks.shape)}"
            raise ArgumentError("masks", got, "class indices, an integer tensor [B, H, W]")
        wanted = (len(masks), self.num_classes, *masks.shape[1:])
        if logits.shape != wanted:
            raise ArgumentError("logits", f"shape {tuple(logits.shape)}", f"{wanted}, as `masks` and `num_classes` say")
        counted = masks != self.ignore_index
        classes_below("masks", masks[counted], self.num_classes)
        cells = self.num_classes**2
        pairs = torch.where(counted, masks.long() * self.num_classes + logits.argmax(1), cells)
        found = torch.bincount(pairs.flatten(), minlength=cells + 1)[:cells]
        loss = F.cross_entropy(logits.float(), masks.long(), ignore_index=self.ignore_index, reduction="sum")
        # not in place: they may be inference tensors
        self.confusion = self.confusion + found.view_as(self.confusion)
        self.losses = self.losses + loss

    def compute(self) -> Scores:
        """The scores of all pixels so far."""
        table = self.confusion.double()
        right, labelled, predicted = table.diagonal(), table.sum(1), table.sum(0)  # table: [label, prediction]
        iou = right / (labelled + predicted - right)  # 0 / 0 is NaN: a class that does not occur
        values = (iou.nanmean(), right.sum() / table.sum(), self.losses / table.sum(), iou)
        return Scores(*(value.float() for value in values))

"""Intersection over union and pixel accuracy, from one confusion matrix of all pixels."""

from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from lit_attr._checks import ArgumentError, classes_below, positive_int

__all__ = ["Scores", "SegmentationScores"]


class Scores(NamedTuple):
    """What a confusion matrix says.

    Attributes:
        miou: mean of `iou` over the classes that occur; NaN where no pixel counts.
        accuracy: share of the counted pixels with the right class; NaN likewise.
        iou: per class, `[K]`; NaN for a class that is neither in the labels nor predicted.
    """

    miou: Tensor
    accuracy: Tensor
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
        >>> scores = SegmentationScores(num_classes=3)
        >>> scores.update(torch.tensor([[[0, 1, 1, 1]]]), torch.tensor([[[0, 0, 1, 255]]]))
        >>> scores.compute()
        Scores(miou=tensor(0.5000), accuracy=tensor(0.6667), iou=tensor([0.5000, 0.5000,    nan]))
    """

    full_state_update = False
    confusion: Tensor

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        super().__init__()
        positive_int("num_classes", num_classes)
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, int) or 0 <= ignore_index < num_classes:
            raise ArgumentError("ignore_index", ignore_index, f"an integer that is no class (0..{num_classes - 1})")
        self.num_classes, self.ignore_index = num_classes, ignore_index
        # integers: sums of billions of pixels are exact, in any order and over any number of processes
        self.add_state("confusion", torch.zeros(num_classes, num_classes, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, prediction: Tensor, masks: Tensor) -> None:
        """Count pixels.

        Args:
            prediction: the predicted class of each pixel, an integer tensor `[B, H, W]`.
            masks: its label, an integer tensor `[B, H, W]`.

        Raises:
            ArgumentError: for a label that is neither a class nor `ignore_index`, and shapes that differ.
        """
        if masks.dim() != 3 or masks.is_floating_point() or masks.dtype == torch.bool:
            got = f"{masks.dtype} {tuple(masks.shape)}"
            raise ArgumentError("masks", got, "class indices, an integer tensor [B, H, W]")
        counted = masks != self.ignore_index
        classes_below("masks", masks[counted], self.num_classes)
        if prediction.shape != masks.shape:
            raise ArgumentError("prediction", f"shape {tuple(prediction.shape)}", f"{tuple(masks.shape)}, as `masks`")
        cells = self.num_classes**2
        pairs = torch.where(counted, masks.long() * self.num_classes + prediction, cells)
        self.confusion += torch.bincount(pairs.flatten(), minlength=cells + 1)[:cells].view_as(self.confusion)

    def compute(self) -> Scores:
        """The scores of all pixels so far."""
        table = self.confusion.double()  # [label, prediction]
        right, labelled, predicted = table.diagonal(), table.sum(1), table.sum(0)
        iou = right / (labelled + predicted - right)  # 0 / 0 is NaN: a class that does not occur
        return Scores(iou.nanmean().float(), (right.sum() / table.sum()).float(), iou.float())

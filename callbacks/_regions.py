"""Regions of a segmenter as samples: what is explained of an image is each of its classes for itself."""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_attr._chunks import in_chunks
from lit_attr._view import looking_at
from lit_attr.callbacks._collect import Samples
from lit_attr.regions import RegionChoice
from lit_attr.targets import RegionTarget, logits_of


class ToExplain(NamedTuple):
    """Samples with what is explained of them."""

    samples: Samples
    """Of a segmenter one for each region: the order and the number are the image's, the label is the region's class."""
    target: RegionTarget | Tensor | None
    """The regions; the labels; None for the predicted class."""
    segments: "Segments | None" = None
    """Of a segmenter what is drawn beside the image."""


class Segments(NamedTuple):
    """The classes of each pixel, `[T, H, W]`, those that do not count included."""

    truth: Tensor
    prediction: Tensor

    def of(self, row: int) -> dict[str, Tensor]:
        """Of one sample, on the host, by what it is."""
        return {"labels": self.truth[row].cpu(), "prediction": self.prediction[row].cpu()}


def dense_logits(model: nn.Module, images: Tensor) -> Tensor:
    """Logits `[B, K, H, W]` of a segmenter at the images' size, without a trace."""
    found: list[Tensor] = []
    with looking_at(model, images, 0) as view:

        def work(start: int, stop: int) -> None:
            with torch.no_grad():
                logits = logits_of(view.model(view.inputs[start:stop].clone()))
            if logits.shape[2:] != images.shape[2:]:
                logits = F.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=False)
            found.append(logits)

        in_chunks(len(images), view.inputs, None, work)
    return torch.cat(found)


def with_regions(
    model: nn.Module, samples: Samples, choice: RegionChoice, size: int, counts: Counter[str]
) -> Iterator[tuple[Samples, RegionTarget, Segments]]:
    """The regions of some images, `size` at once, and what is drawn beside them.

    Args:
        model: the segmenter.
        samples: with the classes of each pixel. Their masks, where there are any, are what all regions of an image
            rest on; else a region is its own mask.
        choice: which regions.
        size: the most regions in a batch.
        counts: gets how many are explained ("kept"), and how many are left out by the reason.
    """
    ignored = getattr(model, "ignore_index", 255)
    logits = dense_logits(model, samples.images)
    found = choice.find(logits, samples.labels, ignored if isinstance(ignored, int) else 255)
    counts.update(kept=len(found.rows), **{reason: n for reason, n in found.dropped.items() if reason != "many"})
    prediction = logits.argmax(1)
    for start in range(0, len(found.rows), size):
        part = torch.arange(start, min(start + size, len(found.rows)), device=logits.device)
        rows, target = found.rows[part], found.target.take(part)
        places = rows.tolist()
        masks = target.mask if samples.masks is None else samples.masks[rows]
        order, numbers = [samples.order[i] for i in places], [samples.numbers[i] for i in places]
        one_each = Samples(order, numbers, samples.images[rows], target.index, masks)
        yield one_each, target, Segments(samples.labels[rows], prediction[rows])

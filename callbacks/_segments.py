"""What is written of an image by a segmenter: its classes as a mask, and each of them explained."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_attr._files import plain_name
from lit_attr.attribution import Method
from lit_attr.regions import RegionChoice
from lit_attr.visual import picture, save_classes, save_png


class Written(NamedTuple):
    """Images of which something is to be written, `[B, C, H, W]`, with logits `[B, K, H, W]` or `[B, K]`."""

    names: Sequence[str]
    images: Tensor
    logits: Tensor
    sizes: Sequence[tuple[int, int]] | None
    """Height and width of each in its file; None for those of `images`."""

    def take(self, i: int) -> "Written":
        """One of them."""
        sizes = None if self.sizes is None else self.sizes[i : i + 1]
        return Written(self.names[i : i + 1], self.images[i : i + 1], self.logits[i : i + 1], sizes)


def write_segments(path: Path, named: Callable[[int], str], image: Written, choice: RegionChoice) -> dict[str, str]:
    """Write the mask of one image, and tell its line.

    Args:
        path: of the image in the output folder; its files begin with it.
        named: from a class to its name.
        image: one image.
        choice: names the background.
    """
    size = tuple(image.images.shape[2:]) if image.sizes is None else image.sizes[0]
    logits = image.logits
    if logits.shape[2:] != size:
        logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
    confidence, classes = logits[0].softmax(0).max(0)
    save_classes(path.with_name(f"{path.name}.mask.png"), classes)
    found = [index for index in torch.unique(classes).tolist() if index != choice.background]
    told = {"prediction": " ".join(map(str, found)), "class_name": ", ".join(map(named, found))}
    return {**told, "confidence": f"{float(confidence.mean()):.6f}"}


def explain_segments(
    path: Path, named: Callable[[int], str], model: nn.Module, image: Written, choice: RegionChoice, method: Method
) -> dict[str, Tensor]:
    """Explain the predicted regions of one image: a heat-map for each is written, the rest is told."""
    rows, target, _ = choice.find(image.logits, None)
    images = image.images[rows]
    maps = method(model, images, target) if len(rows) else images
    p = image.logits[0].softmax(0)
    for i, index in enumerate(target.index.tolist()):
        mean = float(p[index][target.mask[i]].mean())
        shown = picture(images[i], maps[i], f"{named(index)} {mean:.0%}")
        save_png(path.with_name(f"{path.name}.{index}_{plain_name(named(index))}.png"), shown)
    return {"attribution": maps, "classes": target.index, "masks": target.mask.to(torch.uint8)}

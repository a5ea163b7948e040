"""The class of each pixel as colours, and as a file of indices whose palette shows the same colours."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch import Tensor

from lit_attr._checks import ArgumentError, fraction
from lit_attr._files import whole
from lit_attr.visual.images import RGB, to_picture

_CLASSES = 256  # of an index in a byte


def class_colours() -> RGB:
    """One colour for each of 256 classes, those of Pascal VOC's masks: 0 is black, and 255 nearly white.

    The three lowest bits of a class are the highest ones of red, green and blue, the next three the second highest.

    Returns:
        uint8 `[256, 3]`.

    Example:
        >>> class_colours()[[0, 1, 2, 3, 255]].tolist()
        [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [224, 224, 192]]
    """
    classes = np.arange(_CLASSES)
    colours = np.zeros((_CLASSES, 3), np.int64)
    for place in range(8):
        for channel in range(3):
            colours[:, channel] |= ((classes >> (3 * place + channel)) & 1) << (7 - place)
    return colours.astype(np.uint8)


def class_overlay(image: Tensor, classes: Tensor, background: int | None = 0, alpha: float = 0.6) -> RGB:
    """Lay the colours of classes over the grey image.

    Args:
        image: `[C, H, W]`.
        classes: the class of each pixel, integers in 0..255, `[H, W]`.
        background: a class that shows the grey image alone.
        alpha: how much colour the others have, in [0, 1].

    Returns:
        uint8 `[H, W, 3]`.

    Raises:
        ArgumentError: for classes that are not of the image's size, or beyond a byte.

    Example:
        >>> import torch
        >>> classes = torch.tensor([[0, 1]])
        >>> class_overlay(torch.ones(1, 1, 2), classes, alpha=1.0).tolist()
        [[[255, 255, 255], [128, 0, 0]]]
    """
    fraction("alpha", alpha)
    index = _bytes(classes)
    if index.shape != tuple(image.shape[-2:]):
        raise ArgumentError("classes", f"shape {index.shape}", f"of the image's size {tuple(image.shape[-2:])}")
    grey = np.repeat(to_picture(image).mean(-1, keepdims=True, dtype=np.float32), 3, axis=-1)
    weight = np.full(index.shape, alpha, np.float32)
    if background is not None:
        weight[index == background] = 0
    mixed = (1 - weight[..., None]) * grey + weight[..., None] * class_colours()[index]
    rounded: RGB = np.rint(mixed).astype(np.uint8)
    return rounded


def save_classes(path: str | Path, classes: Tensor) -> None:
    """Write the class of each pixel as a PNG of indices with a palette, as Pascal VOC has them.

    `lit_attr.datamodules` reads it back; whoever reads the folder sees the whole file or none.

    Args:
        path: the file to write; its folder is made where it is missing.
        classes: integers in 0..255, `[H, W]`.

    Raises:
        ArgumentError: for classes beyond a byte.
    """
    path, image = Path(path), Image.fromarray(_bytes(classes), mode="P")
    image.putpalette(class_colours().tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as unfinished:
        image.save(unfinished, format="PNG")


def _bytes(classes: Tensor) -> npt.NDArray[np.uint8]:
    whole_numbers = not (classes.is_floating_point() or classes.is_complex())
    if classes.dim() != 2 or not whole_numbers:
        raise ArgumentError("classes", f"{classes.dtype} {tuple(classes.shape)}", "integers [H, W]")
    values = classes.detach().cpu().numpy().astype(np.int64)
    if values.size and not 0 <= values.min() <= values.max() < _CLASSES:
        raise ArgumentError("classes", f"{values.min()} to {values.max()}", f"in 0..{_CLASSES - 1}")
    return values.astype(np.uint8)

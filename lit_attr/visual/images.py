"""Images as pictures: any `[C, H, W]` tensor to 8-bit RGB, and arrays to PNG files."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from lit_attr._checks import ArgumentError
from lit_attr._files import whole

RGB = npt.NDArray[np.uint8]


def to_picture(image: Tensor) -> RGB:
    """An image tensor as 8-bit RGB.

    Args:
        image: `[C, H, W]`; three channels are colours, one is grey, of any other number the mean is shown. Values in
            [0, 1] are kept; an image outside that range (normalised inputs) is stretched from its minimum to its
            maximum. NaN becomes 0, infinities the nearest finite extreme.

    Returns:
        uint8 `[H, W, 3]`.

    Raises:
        ArgumentError: for a tensor that is not `[C, H, W]`.

    Example:
        >>> to_picture(torch.ones(1, 2, 2))[0, 0].tolist()
        [255, 255, 255]
    """
    if image.dim() != 3:
        raise ArgumentError("image", f"shape {tuple(image.shape)}", "a tensor [C, H, W]")
    values = to_numpy(image)
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    values = np.nan_to_num(values, nan=0.0, posinf=high, neginf=low)
    if low < -1e-4 or high > 1 + 1e-4:
        values = (values - low) / max(high - low, 1e-300)
    if len(values) != 3:
        values = np.repeat(values.mean(0, keepdims=True), 3, axis=0)
    picture: RGB = np.rint(values.clip(0, 1) * 255).astype(np.uint8).transpose(1, 2, 0).copy()
    return picture


def to_numpy(values: Tensor) -> npt.NDArray[np.float64]:
    """A tensor of any device and type as an array to draw from.

    Drawing computes in NumPy, in one thread: on pictures torch's threads save nothing, and beside busy data loaders
    they wait for each other for ten times as long as the work takes.
    """
    values = values.detach().cpu()
    plain = values.float() if values.dtype == torch.bfloat16 else values  # NumPy has no bfloat16
    return plain.numpy().astype(np.float64)


def save_png(path: str | Path, array: RGB) -> None:
    """Write a picture; whoever reads the folder sees the whole file or none, also after a crash.

    Args:
        path: the file to write; its folder is made where it is missing.
        array: uint8 `[H, W, 3]`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as unfinished:
        Image.fromarray(array).save(unfinished, format="PNG")

"""Images as pictures: any `[C, H, W]` tensor to 8-bit RGB, and arrays to PNG files."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from lit_attr._checks import ArgumentError

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
    values = image.detach().float().cpu()
    finite = values[values.isfinite()]
    low, high = (float(v) for v in torch.aminmax(finite)) if finite.numel() else (0.0, 1.0)
    values = values.nan_to_num(nan=0.0, posinf=high, neginf=low)
    if low < -1e-4 or high > 1 + 1e-4:
        values = (values - low) / max(high - low, torch.finfo(torch.float32).tiny)
    if len(values) != 3:
        values = values.mean(0, keepdim=True).expand(3, -1, -1)
    return values.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).contiguous().numpy()


def save_png(path: str | Path, array: RGB) -> None:
    """Write a picture; whoever reads the folder sees the whole file or none, also after a crash.

    Args:
        path: the file to write; its folder is made where it is missing.
        array: uint8 `[H, W, 3]`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        Image.fromarray(array).save(unfinished, format="PNG")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)

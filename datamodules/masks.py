"""A file of class indices, one per pixel."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lit_attr.datamodules.reading import ImageReadError, cause_of

__all__ = ["MaskError", "read_mask"]

_INDEX_MODES = {"1", "L", "P"}  # and "I" with its kinds
_NOT_INDICES = (
    "its pixels are colours ({mode}), accepted: class indices, as a grey image or one with a palette, whose colours "
    "mean nothing"
)


class MaskError(ValueError):
    """A mask that does not fit its image or the classes; the message names the file.

    It has one argument: a data loader rebuilds a worker's exception from its message alone.
    """


def read_mask(path: str | Path) -> Tensor:
    """Read the class index of each pixel.

    Of an image with a palette the indices are read and not the colours that they stand for; grey values are indices as
    they are. A `.mat` file is read as the Semantic Boundaries Dataset writes it.

    Args:
        path: an image of 1, 8, 16 or 32 bits a pixel, in a format without loss, or a file of SBD.

    Returns:
        Indices, int64 [H, W].

    Raises:
        ImageReadError: for a file that is missing, broken, in colours, or in a format that alters pixels (JPEG).

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "mask.png"
        ...     image = Image.fromarray(np.array([[0, 15, 255]], dtype=np.uint8), mode="P")
        ...     image.putpalette([9, 9, 9] * 256)  # which is how it looks, and nothing else
        ...     image.save(path)
        ...     read_mask(path)
        tensor([[  0,  15, 255]])
    """
    path = Path(path)
    try:
        indices = _of_sbd(path) if path.suffix == ".mat" else _of_image(path)
    except Exception as error:  # a broken file makes decoders raise almost anything
        cause = cause_of(error, path)
        msg = f"cannot read mask '{path}': {cause}"
        raise ImageReadError(msg, cause) from error
    return torch.from_numpy(indices.astype(np.int64))


def _of_image(path: Path) -> NDArray[np.generic]:
    with Image.open(path) as file:
        if file.format == "JPEG":
            msg = "JPEG alters pixels, and with them classes; accepted: a format without loss, as PNG"
            raise ValueError(msg)
        if file.mode not in _INDEX_MODES and not file.mode.startswith("I"):
            raise ValueError(_NOT_INDICES.format(mode=file.mode))
        return np.asarray(file)


def _of_sbd(path: Path) -> NDArray[np.generic]:
    from scipy.io import loadmat

    with path.open("rb") as file:
        found: NDArray[np.generic] = loadmat(file)["GTcls"][0]["Segmentation"][0]
    return found

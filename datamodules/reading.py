"""An image file of any common kind as 8-bit pixels."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from lit_attr._checks import ArgumentError

EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


class ImageReadError(OSError):
    """A file that cannot be read as an image.

    Args:
        message: the whole message, which names the path and the cause.
        cause: the cause alone.

    Example:
        >>> try:
        ...     read_image("cat.png", channels=3)
        ... except ImageReadError as error:
        ...     print(error.cause)
        there is no such file
    """

    def __init__(self, message: str, cause: str = "") -> None:
        # one positional argument: a data loader rebuilds a worker's exception from its message alone
        super().__init__(message)
        self.cause = cause


def read_image(path: str | Path, channels: int) -> Tensor:
    """Read an image file as 8-bit pixels.

    The EXIF orientation is applied. Transparency is dropped, the colour beneath it kept. Of several frames the first
    is read. 16-bit greys are scaled by 1/257, so that 65535 becomes 255.

    Args:
        path: a file of any format and pixel kind that Pillow reads, except floating-point images, whose range no
            file states.
        channels: 1 for grey, 3 for red, green and blue.

    Returns:
        Pixels, uint8 [channels, H, W].

    Raises:
        ImageReadError: for a file that is missing, empty, cut off, of no known format or of floating-point pixels.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "red.png"
        ...     Image.new("RGB", (4, 2), (255, 0, 0)).save(path)
        ...     read_image(path, channels=3)[:, 0, 0].tolist()
        [255, 0, 0]
    """
    if channels not in {1, 3}:
        raise ArgumentError("channels", channels, "1 or 3")
    try:
        with Image.open(path) as file:
            pixels = _pixels(ImageOps.exif_transpose(file), channels)
    except Exception as error:  # a broken file makes Pillow's decoders raise almost anything
        cause = cause_of(error, Path(path))
        msg = f"cannot read image '{path}': {cause}"
        raise ImageReadError(msg, cause) from error
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()  # [H, W, C] -> [C, H, W]


def is_image_name(path: str | Path) -> bool:
    """Whether a file has an image extension and is not hidden."""
    path = Path(path)
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")


def _pixels(image: Image.Image, channels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    if image.mode == "F":
        msg = "floating-point pixels, whose range is unknown; save it with 8 or 16 bits"
        raise ValueError(msg)
    if image.mode == "I" or image.mode.startswith("I;16"):
        image = _eight_bits(image)
    if image.mode in {"P", "PA"}:
        image = image.convert("RGBA")  # straight to RGB, Pillow warns about a transparent palette
    image = image.convert("L" if channels == 1 else "RGB")
    return np.array(image).reshape(image.height, image.width, channels)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit greys; Pillow's own conversion clips them at 255."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        msg = f"integer pixels in [{values.min()}, {values.max()}], accepted: [0, 65535]"
        raise ValueError(msg)
    return Image.fromarray(np.rint(values / 257).astype(np.uint8))


def cause_of(error: Exception, path: Path) -> str:
    """Why a file could not be read, in a few words."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, UnidentifiedImageError):
        return "the file is empty" if path.stat().st_size == 0 else "not an image of a known format"
    return str(error) or type(error).__name__

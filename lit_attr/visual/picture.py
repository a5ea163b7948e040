"""The quick picture of one explanation: the input beside its heat-map, without a plotting library."""

import functools
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from lit_attr.visual.images import RGB, to_picture
from lit_attr.visual.maps import overlay, scaled

# Pixels: images smaller than this are enlarged; the gap between the two pictures; the line of text and its letters,
# twice as large at this width and so on.
_LEAST, _GAP, _LINE, _LETTERS, _WIDE = 160, 6, 20, 11, 400


def picture(image: Tensor, attribution: Tensor, title: str = "") -> RGB:
    """An image beside its heat-map, for files written by the thousand: some milliseconds at 224 pixels.

    Args:
        image: `[C, H, W]`.
        attribution: `[C, H, W]` or `[H, W]`, of the image's size.
        title: a line above; added to it are the ends of the map's scale, and the note of a map that shows nothing.

    Returns:
        uint8 `[H', W', 3]`; small images are enlarged by a whole factor.

    Raises:
        ArgumentError: for an attribution that is not of the image's size.

    Example:
        >>> import torch
        >>> picture(torch.rand(3, 32, 32), torch.rand(3, 32, 32), "seven 98%").shape
        (180, 326, 3)
    """
    shown = scaled(attribution)
    zoom = max(1, -(-_LEAST // max(image.shape[-2:])))
    pictures = to_picture(image), overlay(image, shown.values, cmap=shown.cmap)
    left, right = (p.repeat(zoom, 0).repeat(zoom, 1) for p in pictures)
    height, width = left.shape[:2]
    size = max(1, width // _WIDE)
    top = _LINE * size
    canvas = Image.new("RGB", (2 * width + _GAP, height + top), "white")
    line = "  ".join(filter(None, [title, " to ".join(filter(None, shown.ends)), shown.note]))
    ImageDraw.Draw(canvas).text((2, 3 * size), line, fill="#222222", font=_font(_LETTERS * size))
    canvas.paste(Image.fromarray(left), (0, top))
    canvas.paste(Image.fromarray(right), (width + _GAP, top))
    return np.asarray(canvas)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    import matplotlib as mpl  # slow to import

    # Pillow's own font has ASCII only; this one has accents, Greek, Cyrillic and the check mark.
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)

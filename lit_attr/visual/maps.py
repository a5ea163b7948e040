"""Attribution maps as colours. A map with nothing in it is a result to be shown, never an error."""

import functools
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, fraction, one_of
from lit_attr.visual.images import RGB, to_numpy, to_picture

Sign = Literal["signed", "positive", "absolute"]

SIGNED, UNSIGNED = "bwr", "YlOrRd"  # read by people who tell red from green badly, too
# An odd number of colours, so that zero has the middle one to itself.
_COLOURS = 255


class Heat(NamedTuple):
    """A map as it is shown.

    Attributes:
        values: float32 `[H, W]` in [-1, 1].
        note: for the caption, empty for an ordinary map; see `heat`.
        scale: the attribution that is shown as 1; 0 for a map that shows nothing.
        signed: whether a value is below zero; without one the colours are those of a strength.
    """

    values: Tensor
    note: str
    scale: float
    signed: bool

    @property
    def cmap(self) -> str:
        """The colours: blue against and red for, of a map without a sign pale to dark red."""
        return SIGNED if self.signed else UNSIGNED

    @property
    def ends(self) -> tuple[str, str]:
        """The numbers at the ends of the scale, empty for a map that shows nothing."""
        if not self.scale:
            return "", ""
        text = f"{self.scale:.2g}"
        return (f"\N{MINUS SIGN}{text}" if self.signed else "0"), text


def heat(attribution: Tensor, sign: Sign = "signed") -> tuple[Tensor, str]:
    """Sum the channels of an attribution and scale it for display.

    The scale is the 99th percentile of the absolute values, so that one outlier does not blacken the rest; what lies
    beyond is clipped. Where fewer than one pixel in a hundred differs from zero, the scale is the maximum.

    Args:
        attribution: `[C, H, W]` or `[H, W]`, any finite scale.
        sign: "signed" keeps both signs, "positive" drops what speaks against, "absolute" shows the strength alone.

    Returns:
        Values float32 `[H, W]` in [-1, 1], and a note for the caption, empty for an ordinary map. A map that is
        constant carries no ranking and comes out as zeros; NaN comes out as 0, infinities as -1 and 1. The note then
        says "all zero", "none positive", "constant (0.12)" or "3 non-finite values".

    Raises:
        ArgumentError: for a tensor of another shape.
        ValueError: for an unknown `sign`.

    Example:
        >>> heat(torch.tensor([[0.0, 1.0], [-2.0, 4.0]]))[0].tolist()[1][1]
        1.0
        >>> heat(torch.zeros(3, 2, 2))
        (tensor([[0., 0.],
                [0., 0.]]), 'all zero')
    """
    return scaled(attribution, sign)[:2]


def scaled(attribution: Tensor, sign: Sign = "signed") -> Heat:
    """As `heat`, with what the colours stand for.

    Example:
        >>> scaled(torch.tensor([[0.0, 1.0], [-2.0, 4.0]])).ends
        ('\N{MINUS SIGN}4', '4')
    """
    one_of("sign", sign, ["signed", "positive", "absolute"])
    if attribution.dim() not in {2, 3} or not attribution.numel():
        raise ArgumentError("attribution", f"shape {tuple(attribution.shape)}", "a tensor [C, H, W] or [H, W]")
    values = to_numpy(attribution)
    with np.errstate(invalid="ignore"):  # infinities of both signs at one pixel: NaN, and counted as such
        values = values.sum(0) if values.ndim == 3 else values
    if sign != "signed":
        values = values.clip(min=0) if sign == "positive" else np.abs(values)
    finite = values[np.isfinite(values)]
    lost = values.size - finite.size
    flat = _flat(finite, sign)
    scale = 0.0 if flat else _scale(finite)
    shown = np.where(np.isinf(values), values, 0.0) if flat else np.nan_to_num(values, nan=0.0) / scale
    note = ", ".join(filter(None, [f"{lost} non-finite values" * bool(lost), flat]))
    signed = bool((shown < 0).any())
    return Heat(torch.from_numpy(shown.clip(-1, 1).astype(np.float32)), note, scale, signed)


def to_rgb(values: Tensor, cmap: str = SIGNED) -> RGB:
    """Colour a map of `heat`: -1 is the first colour of the scale, 0 the middle one, 1 the last.

    Args:
        values: `[H, W]` in [-1, 1]; what lies outside is clipped.
        cmap: a colour map of matplotlib; "YlOrRd" begins at 0, for maps without a sign. The default has bright ends:
            those of "RdBu_r" are so dark that single pixels of either sign look black.

    Returns:
        uint8 `[H, W, 3]`.

    Example:
        >>> to_rgb(torch.tensor([[-1.0, 0.0, 1.0]])).tolist()
        [[[0, 0, 255], [255, 255, 255], [255, 0, 0]]]
    """
    places = to_numpy(values).clip(-1, 1)
    if cmap == UNSIGNED:
        places = 2 * places.clip(0) - 1
    half = _COLOURS // 2
    colours: RGB = _table(cmap)[np.rint(places * half).astype(np.intp) + half]
    return colours


def overlay(image: Tensor, values: Tensor, alpha: float = 0.9, cmap: str = SIGNED) -> RGB:
    """Lay a map over the grey image: the stronger the value, the more of its colour covers the image.

    Args:
        image: `[C, H, W]`.
        values: `[H, W]` in [-1, 1], as `heat` gives them.
        alpha: how much colour the values -1 and 1 have, in [0, 1].
        cmap: as of `to_rgb`.

    Returns:
        uint8 `[H, W, 3]`; a map of zeros shows the grey image alone.

    Raises:
        ArgumentError: where the map is not of the image's size.
    """
    fraction("alpha", alpha)
    if values.shape != image.shape[-2:]:
        raise ArgumentError("values", f"shape {tuple(values.shape)}", f"of the image's size {tuple(image.shape[-2:])}")
    grey = to_picture(image).mean(-1, keepdims=True, dtype=np.float32)
    grey = 150 + grey * (105 / 255)  # pale, so that the colours speak first
    weight = alpha * np.sqrt(np.abs(to_numpy(values)).clip(max=1))[..., None]
    mixed = (1 - weight) * grey + weight * to_rgb(values, cmap)
    rounded: RGB = np.rint(mixed).astype(np.uint8)
    return rounded


def _flat(finite: npt.NDArray[np.float64], sign: Sign) -> str:
    """What to call a map without structure; empty for one that has some."""
    if not finite.size:
        return "none finite"
    low, high = float(finite.min()), float(finite.max())
    if low == high == 0:
        return "none positive" if sign == "positive" else "all zero"
    # A constant map that went through float32 sums differs in its last digits.
    return f"constant ({high:.2g})" if high - low <= 1e-6 * max(abs(low), abs(high)) else ""


def _scale(finite: npt.NDArray[np.float64]) -> float:
    """The 99th percentile of the absolute values, or the largest where that is zero."""
    size = np.abs(finite)
    rank = int(np.ceil(0.99 * size.size)) - 1
    return float(np.partition(size, rank)[rank]) or float(size.max())


@functools.cache
def _table(cmap: str) -> RGB:
    """The colours of a scale, uint8 `[255, 3]`."""
    from matplotlib import colormaps  # slow to import

    one_of("cmap", cmap, list(colormaps))
    table: RGB = np.rint(colormaps[cmap].resampled(_COLOURS)(np.arange(_COLOURS))[:, :3] * 255).astype(np.uint8)
    return table

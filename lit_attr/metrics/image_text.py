"""Confidence of a two-tower image-text model when one side is masked by its attribution: ICD, ICI, TCD, TCI.

Papers: Wang, Rudner, Wilson, "Visual Explanations of Image-Text Representations via Multi-Modal Information Bottleneck
Attribution" (M2IB), NeurIPS 2023, arXiv 2312.17174. Code: github.com/YingWANGG/M2IB; that of ABE and NIB is the same.

Deviations: fractions, where the papers print percent. Places of a sequence of token embeddings are masked, where ABE's
code multiplies rows of the embedding table, so that a word that occurs twice is masked twice; special tokens stay,
where the code drops them. An increase must exceed rounding. The presets do as the published code does.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torchmetrics import Metric
from torchmetrics.utilities.prints import rank_zero_warn

from lit_attr._checks import ArgumentError, one_of
from lit_attr.baselines import Baseline, check_baseline
from lit_attr.metrics._base import fingerprint, told, valid_samples
from lit_attr.metrics._elements import named
from lit_attr.metrics._image_text import ImageTextEvaluation, Masked
from lit_attr.metrics._masking import value_range
from lit_attr.metrics._precision import narrow_states, wide

__all__ = [
    "ImageConfidenceDrop",
    "ImageConfidenceIncrease",
    "TextConfidenceDrop",
    "TextConfidenceIncrease",
]

Change: TypeAlias = Callable[[Tensor, Tensor, float], Tensor]
Preset: TypeAlias = Literal["toolkit", "m2ib", "abe"]

_PRESETS = ["toolkit", "m2ib", "abe"]
_ROUNDING = 1e-6


def _drop(clean: Tensor, masked: Tensor, rounding: float) -> Tensor:  # noqa: ARG001 - as `_increase`
    return (clean - masked).clamp_min(0)


def _increase(clean: Tensor, masked: Tensor, rounding: float) -> Tensor:
    return wide(masked - clean > rounding * clean.abs().clamp_min(1))


@dataclass(frozen=True)
class _Side:
    """The side of pairs that is masked; no module, so that one among fills is not taken for a part of the metric."""

    of_text: bool
    fill: Baseline
    keep: float | None
    preset: Preset

    def __post_init__(self) -> None:
        one_of("preset", self.preset, _PRESETS)
        check_baseline("fill", self.fill)
        if self.published and self.keep is not None:
            raise ArgumentError("keep", self.keep, f"None with preset '{self.preset}', which has a mask of its own")
        if self.keep is not None and not (isinstance(self.keep, int | float) and 0 < self.keep < 1):
            raise ArgumentError("keep", self.keep, "None, or a share in (0, 1)")

    @property
    def published(self) -> bool:
        return self.preset != "toolkit"

    @property
    def protocol(self) -> dict[str, Any]:
        mask = "map scaled to [0, 1]" if self.keep is None else f"top {self.keep:g} of the positions"
        if self.of_text and self.published:
            own = {"m2ib": "above the median of the map", "abe": f"{mask}, once for each occurrence of a token"}
            mask = f"{own[self.preset]}; special tokens are dropped"
        unit = "percent" if self.published else "fraction"
        return {"preset": self.preset, "kept": mask, "fill": named(self.fill), "unit": unit}

    def masked(self, pairs: ImageTextEvaluation) -> Masked:
        if self.of_text:
            return pairs.with_masked_text(self.fill, self.keep, self.preset)
        return pairs.with_masked_image(self.fill, self.keep)


class _Confidence(Metric):
    """The mean over pairs of one number: how the score changes when one side is masked.

    Pairs whose attribution or feature is not finite, or whose feature is zero, are skipped and counted in `invalid`;
    those without anything to mask in `undefined`; those whose map is the same everywhere count, in `constant` too.
    """

    full_state_update = False
    is_differentiable = False

    value_sum: Tensor
    square_sum: Tensor
    count: Tensor
    constant: Tensor
    invalid: Tensor
    undefined: Tensor

    def __init__(self, change: Change, side: _Side) -> None:
        super().__init__()
        self._change, self._side = change, side
        self._protocol = {"metric": type(self).__name__, "score": "cosine", **side.protocol}
        for name in ("value_sum", "square_sum"):
            self.add_state(name, torch.zeros((), dtype=torch.float64), "sum")
        for name in ("count", "constant", "invalid", "undefined"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), "sum")
        self.add_state("_cfg", fingerprint(f"{self.protocol!r}{told(side.fill)}"), "max")

    @property
    def protocol(self) -> dict[str, Any]:
        """What was computed, as plain data."""
        return dict(self._protocol)

    def per_sample(self, pairs: ImageTextEvaluation) -> Tensor:
        """The value of each pair, `[B]`; NaN where there is none."""
        return self._read(self._side.masked(pairs))

    def _read(self, masked: Masked) -> Tensor:
        known = (masked.map.isfinite() | ~masked.maskable).all(1) & masked.maskable.any(1)
        known &= (masked.clean + masked.score).isfinite()
        rounding, unit = (0, 100) if self._side.published else (_ROUNDING, 1)
        return unit * self._change(masked.clean, masked.score, rounding).where(known, torch.nan)

    def update(self, pairs: ImageTextEvaluation, valid: Tensor | None = None) -> None:
        """Add a batch; an empty one adds nothing.

        Args:
            pairs: the batch.
            valid: bool `[B]`; False for pairs that only pad the batch.

        Raises:
            ValueError: for another `valid`; where the attribution of the masked side was not given.
        """
        if len(pairs.images) == 0:
            return
        masked = self._side.masked(pairs)
        value = self._read(masked)
        asked = valid_samples(valid, value)
        low, high = value_range(masked.map, masked.maskable)
        constant, used, empty = (low == high)[:, 0], asked & value.isfinite(), asked & ~masked.maskable.any(1)
        value = value.where(used, 0).to(self.value_sum)
        self.value_sum = self.value_sum + value.sum()
        self.square_sum = self.square_sum + value.square().sum()
        counts = {"count": used, "constant": used & constant, "undefined": empty, "invalid": asked & ~used & ~empty}
        for name, which in counts.items():
            setattr(self, name, getattr(self, name) + which.sum().to(self.count))

    def compute(self) -> Tensor:
        """The mean, float32 scalar; NaN without a pair."""
        if self.undefined or self.invalid:
            found = f"{int(self.undefined)} pairs without anything to mask, {int(self.invalid)} with NaN or infinity"
            rank_zero_warn(f"{type(self).__name__} leaves out {found}", stacklevel=2)
        return (self.value_sum / self.count).float()

    def standard_error(self) -> Tensor:
        """Of the mean, scalar; NaN for fewer than two pairs. It gathers from all processes: call it on each."""
        with self.sync_context(should_sync=self._to_sync):
            spread = (self.square_sum - self.value_sum.square() / self.count).clamp_min(0)
            return (spread / (self.count - 1) / self.count).sqrt().float()

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> nn.Module:
        narrow_states(self, fn)
        return super()._apply(fn, exclude_state)


class ImageConfidenceDrop(_Confidence):
    r"""How far the cosine of image and text falls when the image is masked, lower is better (ICD).

    .. math:: \frac{1}{N} \sum_{i} \max\big(0,\; s(x, t) - s(x \odot v, t)\big)

    with the cosine s of the features of both, where v in [0, 1] is the attribution of the pixels, scaled for each
    image; masked pixels fade to the fill. A constant map keeps everything. In [0, 2]; papers print 100 times that.

    Args:
        fill: what masked pixels fade to: a number in the units of the images, or see `get_baseline`; zero is black for
            images in [0, 1], and the mean colour for normalised ones, as in the papers.
        keep: None for the soft mask; a share in (0, 1) to keep the top positions and mask the others.
        preset: "m2ib" or "abe" as their code does: the soft mask, in percent, and any increase is one.

    Raises:
        ValueError: for settings out of range; where the attribution was not given.

    Example:
        >>> from lit_attr.metrics import ImageTextEvaluation
        >>> tower = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4))
        >>> pairs = ImageTextEvaluation(
        ...     tower, lambda t: t.mean(1), torch.rand(2, 3, 2, 2), torch.rand(2, 5, 4), image_map=torch.ones(2, 2, 2)
        ... )
        >>> metric = ImageConfidenceDrop()
        >>> metric.update(pairs)
        >>> metric.compute()
        tensor(0.)
    """

    higher_is_better = False

    def __init__(self, fill: Baseline = 0.0, keep: float | None = None, preset: Preset = "toolkit") -> None:
        super().__init__(_drop, _Side(False, fill, keep, preset))


class ImageConfidenceIncrease(_Confidence):
    r"""How often the cosine of image and text rises when the image is masked, higher is better (ICI).

    .. math:: \frac{1}{N} \sum_{i} \mathbb{1}\big[s(x \odot v, t) > s(x, t)\big]

    with the cosine s of the features of both, where v in [0, 1] is the attribution of the pixels, scaled for each
    image; masked pixels fade to the fill. A constant map keeps everything. In [0, 1]; papers print percent. A rise must
    exceed 1e-6.

    Args:
        fill: what masked pixels fade to: a number in the units of the images, or see `get_baseline`; zero is black for
            images in [0, 1], and the mean colour for normalised ones, as in the papers.
        keep: None for the soft mask; a share in (0, 1) to keep the top positions and mask the others.
        preset: "m2ib" or "abe" as their code does: the soft mask, in percent, and any increase is one.

    Raises:
        ValueError: for settings out of range; where the attribution was not given.

    Example:
        >>> from lit_attr.metrics import ImageTextEvaluation
        >>> tower = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4))
        >>> pairs = ImageTextEvaluation(
        ...     tower, lambda t: t.mean(1), torch.rand(2, 3, 2, 2), torch.rand(2, 5, 4), image_map=torch.ones(2, 2, 2)
        ... )
        >>> metric = ImageConfidenceIncrease()
        >>> metric.update(pairs)
        >>> metric.compute()
        tensor(0.)
    """

    higher_is_better = True

    def __init__(self, fill: Baseline = 0.0, keep: float | None = None, preset: Preset = "toolkit") -> None:
        super().__init__(_increase, _Side(False, fill, keep, preset))


class TextConfidenceDrop(_Confidence):
    r"""How far the cosine of image and text falls when the text is masked, lower is better (TCD).

    .. math:: \frac{1}{N} \sum_{i} \max\big(0,\; s(x, t) - s(x, t \odot w)\big)

    with the cosine s of the features of both, where w in [0, 1] is the attribution of the tokens, scaled for each text;
    embeddings of masked tokens fade to the fill. A constant map keeps everything. In [0, 2]; papers print 100 times
    that. A text without a token that may be masked is left out and counted in `undefined`.

    Args:
        keep: None for the soft mask; a share in (0, 1) to keep the top positions and mask the others.
        fill: what masked embeddings fade to: a number, or a tensor such as the embedding `[E]` of a token that stands
            for none; see `get_baseline`.
        preset: "m2ib" or "abe" as their code does, in percent: both encode the texts without the tokens that may not be
            masked, masked or not; "m2ib" keeps the tokens above the median of the map, and the others become the token
            of number 0, whose embedding is given as `fill`; "abe" multiplies by the weights of all occurrences of a
            token, and needs `token_ids`. Any increase is one.

    Raises:
        ValueError: for settings out of range; where the attribution was not given.

    Example:
        >>> from lit_attr.metrics import ImageTextEvaluation
        >>> tower = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4))
        >>> pairs = ImageTextEvaluation(
        ...     tower, lambda t: t.mean(1), torch.rand(2, 3, 2, 2), torch.rand(2, 5, 4), token_map=torch.ones(2, 5)
        ... )
        >>> metric = TextConfidenceDrop()
        >>> metric.update(pairs)
        >>> metric.compute()
        tensor(0.)
    """

    higher_is_better = False

    def __init__(self, keep: float | None = None, fill: Baseline = 0.0, preset: Preset = "toolkit") -> None:
        super().__init__(_drop, _Side(True, fill, keep, preset))


class TextConfidenceIncrease(_Confidence):
    r"""How often the cosine of image and text rises when the text is masked, higher is better (TCI).

    .. math:: \frac{1}{N} \sum_{i} \mathbb{1}\big[s(x, t \odot w) > s(x, t)\big]

    with the cosine s of the features of both, where w in [0, 1] is the attribution of the tokens, scaled for each text;
    embeddings of masked tokens fade to the fill. A constant map keeps everything. In [0, 1]; papers print percent. A
    rise must exceed 1e-6. A text without a token that may be masked is left out and counted in `undefined`.

    Args:
        keep: None for the soft mask; a share in (0, 1) to keep the top positions and mask the others.
        fill: what masked embeddings fade to: a number, or a tensor such as the embedding `[E]` of a token that stands
            for none; see `get_baseline`.
        preset: "m2ib" or "abe" as their code does, in percent: both encode the texts without the tokens that may not be
            masked, masked or not; "m2ib" keeps the tokens above the median of the map, and the others become the token
            of number 0, whose embedding is given as `fill`; "abe" multiplies by the weights of all occurrences of a
            token, and needs `token_ids`. Any increase is one.

    Raises:
        ValueError: for settings out of range; where the attribution was not given.

    Example:
        >>> from lit_attr.metrics import ImageTextEvaluation
        >>> tower = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 4))
        >>> pairs = ImageTextEvaluation(
        ...     tower, lambda t: t.mean(1), torch.rand(2, 3, 2, 2), torch.rand(2, 5, 4), token_map=torch.ones(2, 5)
        ... )
        >>> metric = TextConfidenceIncrease()
        >>> metric.update(pairs)
        >>> metric.compute()
        tensor(0.)
    """

    higher_is_better = True

    def __init__(self, keep: float | None = None, fill: Baseline = 0.0, preset: Preset = "toolkit") -> None:
        super().__init__(_increase, _Side(True, fill, keep, preset))

"""What all corruptions share: settings, checks, private random numbers, and the table of all by name."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, batch_of_floats, not_negative_int, unit_range
from lit_attr.corruptions._draws import Draws
from lit_attr.registry import Registry

__all__ = ["CORRUPTIONS", "Corruption", "get_corruption"]


@dataclass(frozen=True)
class Corruption(ABC):
    """Base of the corruptions: frozen settings, called with images.

    What happens to a sample is a function of its pixels, `seed` and its key, whatever stands beside it in the batch;
    no global random state is read or changed. Different corruptions, and one corruption at different strengths, see
    the same random numbers for the same seed and key. A subclass writes `corrupt`.

    Args:
        seed: of the private random numbers, not negative.
    """

    seed: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        not_negative_int("seed", self.seed)

    def __call__(self, images: Tensor, keys: Tensor | None = None) -> Tensor:
        """The corrupted images, without a gradient.

        Args:
            images: `[B, C, H, W]` in [0, 1].
            keys: integers `[B]` of at least 0 that name the samples, such as their indices in the set; None takes
                their places in the batch, 0..B-1, which repeats the same noise in every batch.

        Returns:
            Images in [0, 1] of the same shape, dtype and device.

        Raises:
            ValueError: for images or keys of another kind.
        """
        batch_of_floats("images", images)
        if images.dim() != 4:
            raise ArgumentError("images", f"shape {tuple(images.shape)}", "[B, C, H, W]")
        unit_range("images", images, "put the normalisation into the model")
        samples = _samples(keys, len(images))
        if not samples:
            return images.clone()
        # Under autocast the matrix products of blurs would round pixels to half precision.
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            wide = images.to(torch.promote_types(images.dtype, torch.float32))
            return self.corrupt(wide, Draws(self.seed, samples, wide)).clamp(0, 1).to(images.dtype)

    @abstractmethod
    def corrupt(self, images: Tensor, draws: Draws) -> Tensor:
        """The corrupted images; values outside [0, 1] are clipped by the caller.

        Args:
            images: `[B, C, H, W]` in [0, 1], float32 or float64, not to be changed in place.
            draws: one stream of random numbers per sample.
        """


CORRUPTIONS: Registry[Corruption] = Registry("corruption", Corruption)  # type: ignore[type-abstract]


def get_corruption(corruption: str | Mapping[str, Any] | Corruption, **settings: Any) -> Corruption:
    """The corruption behind a name and settings, or behind settings with the name under `class`; one as it is.

    Raises:
        ValueError: for an unknown name or setting.
        TypeError: for settings beside a corruption that is made already.

    Example:
        >>> get_corruption("gaussian", sigma=0.2)
        GaussianNoise(seed=0, sigma=0.2)
        >>> get_corruption({"class": "fog", "severity": 5})
        Fog(seed=0, severity=5, variant='imagenet')
    """
    if isinstance(corruption, str):
        return CORRUPTIONS.build(corruption, settings)
    if isinstance(corruption, Mapping):
        settings = {**corruption, **settings}
        return CORRUPTIONS.build(str(settings.pop("class", "")), settings)
    if not isinstance(corruption, Corruption):
        raise ArgumentError("corruption", corruption, "the name of a corruption, settings, or a Corruption")
    if settings:
        msg = f"settings {sorted(settings)} go with a name, not with {corruption!r}, which has its own"
        raise TypeError(msg)
    return corruption


def _samples(keys: Tensor | None, count: int) -> list[int]:
    """The key of each sample."""
    if keys is None:
        return list(range(count))
    if keys.shape != (count,) or keys.is_floating_point() or keys.is_complex() or bool((keys < 0).any()):
        got = keys.tolist() if keys.dim() == 1 and len(keys) == count else f"shape {tuple(keys.shape)}"
        raise ArgumentError("keys", got, f"{count} integers of at least 0, one per image")
    return [int(key) for key in keys.tolist()]

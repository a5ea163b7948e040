"""Normalisation as a layer, so that images, attacks and explanations live in pixel space."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lit_attr._checks import ArgumentError

__all__ = ["Normalize"]


class Normalize(nn.Module):
    """(x - mean) / std per channel, for images `[B, C, H, W]` in [0, 1].

    Args:
        mean: one value per channel, in pixel units of [0, 1].
        std: one positive value per channel.

    Example:
        >>> Normalize([0.5], [0.25])(torch.ones(1, 1, 1, 1)).item()
        2.0
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        if not mean or len(mean) != len(std):
            raise ArgumentError(
                "std", f"{len(std)} values for {len(mean)} of `mean`", "one value per channel of `mean`"
            )
        if min(std) <= 0:
            raise ArgumentError("std", list(std), "positive")
        # Not in the state dict: they are settings, and foreign checkpoints do not know them.
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(-1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalised images.

        Raises:
            ValueError: if the number of channels differs from that of `mean`.
        """
        if images.dim() != 4 or images.shape[1] != len(self.mean):
            raise ArgumentError(
                "images", f"shape {tuple(images.shape)}", f"[B, {len(self.mean)}, H, W], as `mean` says"
            )
        return (images - self.mean.to(images.dtype)) / self.std.to(images.dtype)

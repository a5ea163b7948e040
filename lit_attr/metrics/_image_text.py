"""A batch of image-text pairs under evaluation: what several metrics need of it is computed once."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from lit_attr._checks import ArgumentError
from lit_attr._guard import no_trace
from lit_attr.baselines import Baseline, get_baseline
from lit_attr.metrics._evaluation import _Memo
from lit_attr.metrics._masking import weights
from lit_attr.metrics._precision import wide
from lit_attr.metrics.ranking import position_map

Encoder: TypeAlias = Callable[[Tensor], Tensor]


class Masked(NamedTuple):
    """Pairs with one side masked.

    Attributes:
        score: cosine of the pairs, `[B]`.
        map: by which they are masked, `[B, n]`.
        maskable: positions that may be masked, bool `[B, n]`.
    """

    score: Tensor
    map: Tensor
    maskable: Tensor


class ImageTextEvaluation(_Memo):
    """A batch of image-text pairs with attributions, shared by the metrics that evaluate it; one per batch.

    Nothing runs until it is asked for, and each tower runs once for what is not masked and once for each mask: all four
    metrics cost two passes of each. A tower that is a module, or a method of one, is in eval mode meanwhile and is left
    as it was.

    Args:
        encode_image: from images to features `[B, D]`.
        encode_text: from embeddings of tokens `[B, L, E]` to features `[B, D]`.
        images: `[B, C, H, W]`.
        tokens: embeddings of the tokens `[B, L, E]`.
        image_map: attribution of the images, `[B, H, W]`, `[B, 1, H, W]` or `[B, C, H, W]`; None where no metric of the
            image side is used.
        token_map: attribution of the tokens, `[B, L]` or `[B, L, E]`; None where no metric of the text side is used.
        maskable: which tokens may be masked, bool `[B, L]`: not those that pad, begin or end a text; None for all.

    Raises:
        ValueError: for attributions that do not fit.

    Example:
        >>> tower = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
        >>> pairs = ImageTextEvaluation(tower, lambda t: t.mean(1), torch.rand(2, 3, 2, 2), torch.rand(2, 5, 4))
        >>> pairs.clean.shape
        torch.Size([2])
    """

    def __init__(
        self,
        encode_image: Encoder,
        encode_text: Encoder,
        images: Tensor,
        tokens: Tensor,
        image_map: Tensor | None = None,
        token_map: Tensor | None = None,
        maskable: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.images, self.tokens = images, tokens
        self._encoders = {"image": encode_image, "text": encode_text}
        self._image_map = None if image_map is None else position_map(image_map, images)
        self._token_map = None if token_map is None else position_map(token_map, tokens)[..., 0]
        self.maskable = torch.ones_like(tokens[..., 0], dtype=torch.bool) if maskable is None else maskable
        if self.maskable.shape != tokens.shape[:2] or self.maskable.dtype != torch.bool:
            got = f"{self.maskable.dtype} {tuple(self.maskable.shape)} for tokens {tuple(tokens.shape)}"
            raise ArgumentError("maskable", got, "bool, [B, L]")

    @property
    def image_map(self) -> Tensor:
        """One number per pixel, `[B, 1, H, W]`; refused where it was not given."""
        return _given("image_map", self._image_map)

    @property
    def token_map(self) -> Tensor:
        """One number per token, `[B, L]`; refused where it was not given."""
        return _given("token_map", self._token_map)

    @property
    def clean(self) -> Tensor:
        """Cosine of the pairs as they are, `[B]`; NaN where a feature is zero."""
        return _cosine(self._features("image", self.images), self._features("text", self.tokens))

    def with_masked_image(self, fill: Baseline = 0.0, keep: float | None = None) -> Masked:
        """The pairs with masked images; see `ImageConfidenceDrop`."""

        def compute() -> Tensor:
            kept = weights(self.image_map, keep).to(self.images)
            return self._encode("image", torch.lerp(get_baseline("fill", fill, self.images), self.images, kept))

        score = _cosine(self.once(("masked image", fill, keep), compute), self._features("text", self.tokens))
        flat = self.image_map.flatten(1)
        return Masked(score, flat, torch.ones_like(flat, dtype=torch.bool))

    def with_masked_text(self, fill: Baseline = 0.0, keep: float | None = None) -> Masked:
        """The pairs with masked tokens; see `TextConfidenceDrop`."""

        def compute() -> Tensor:
            kept = weights(self.token_map, keep, self.maskable).to(self.tokens)[..., None]
            return self._encode("text", torch.lerp(get_baseline("fill", fill, self.tokens), self.tokens, kept))

        score = _cosine(self._features("image", self.images), self.once(("masked text", fill, keep), compute))
        return Masked(score, self.token_map, self.maskable)

    def _features(self, side: str, inputs: Tensor) -> Tensor:
        found: Tensor = self.once(side, lambda: self._encode(side, inputs))
        return found

    def _encode(self, side: str, inputs: Tensor) -> Tensor:
        encoder = self._encoders[side]
        owner = getattr(encoder, "__self__", encoder)
        with ExitStack() as stack:
            if isinstance(owner, nn.Module):
                stack.enter_context(no_trace(owner))
            stack.enter_context(torch.no_grad())
            return wide(encoder(inputs))


def _given(name: str, value: Tensor | None) -> Tensor:
    if value is None:
        raise ArgumentError(name, None, "given for a metric that masks by it")
    return value


def _cosine(one: Tensor, other: Tensor) -> Tensor:
    return (one * other).sum(1) / (one.square().sum(1) * other.square().sum(1)).sqrt()

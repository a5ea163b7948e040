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
from lit_attr.metrics._masking import above_median, at_every_occurrence, weights
from lit_attr.metrics._precision import wide
from lit_attr.metrics.ranking import position_map

Encoder: TypeAlias = Callable[[Tensor], Tensor]


class Masked(NamedTuple):
    """Pairs with one side masked.

    Attributes:
        clean: cosine of the pairs before, `[B]`; NaN where a feature is zero.
        score: cosine of the pairs, `[B]`.
        map: by which they are masked, `[B, n]`.
        maskable: positions that may be masked, bool `[B, n]`.
    """

    clean: Tensor
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
        token_ids: which token each is, long `[B, L]`; None where `preset="abe"` is not used.

    Raises:
        ValueError: for attributions, `maskable` or `token_ids` that do not fit.

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
        token_ids: Tensor | None = None,
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
        if token_ids is not None and token_ids.shape != tokens.shape[:2]:
            raise ArgumentError("token_ids", f"shape {tuple(token_ids.shape)} for {tuple(tokens.shape)}", "[B, L]")
        self._token_ids = token_ids

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
        return Masked(self.clean, score, flat, torch.ones_like(flat, dtype=torch.bool))

    def with_masked_text(self, fill: Baseline = 0.0, keep: float | None = None, preset: str = "toolkit") -> Masked:
        """The pairs with masked tokens; see `TextConfidenceDrop`."""
        bare = preset != "toolkit"

        def compute() -> Tensor:
            kept = self._token_weights(keep, preset).to(self.tokens)[..., None]
            tokens = torch.lerp(get_baseline("fill", fill, self.tokens), self.tokens, kept)
            return self._encode_bare(tokens) if bare else self._encode("text", tokens)

        masked, image = self.once(("masked text", fill, keep, preset), compute), self._features("image", self.images)
        clean = _cosine(image, self.once("bare", lambda: self._encode_bare(self.tokens))) if bare else self.clean
        return Masked(clean, _cosine(image, masked), self.token_map, self.maskable)

    def _token_weights(self, keep: float | None, preset: str) -> Tensor:
        if preset == "m2ib":
            return above_median(self.token_map, self.maskable)
        kept = weights(self.token_map, keep, self.maskable)
        return at_every_occurrence(kept, _given("token_ids", self._token_ids)) if preset == "abe" else kept

    def _encode_bare(self, tokens: Tensor) -> Tensor:
        """Of texts without what may not be masked, those of one length together; NaN where nothing is left."""
        lengths = self.maskable.sum(1)
        found = wide(tokens.new_full((len(tokens), 1), torch.nan))
        for length in sorted({length for length in lengths.tolist() if length}):
            rows = lengths == length
            features = self._encode("text", tokens[rows][self.maskable[rows]].view(-1, length, tokens.shape[2]))
            found = found.expand(-1, features.shape[1]).clone()
            found[rows] = features
        return found

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

"""What is read from one forward pass along a perturbation curve: all of it, so that no quantity costs a pass."""

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from lit_attr._checks import one_of
from lit_attr.objectives import logit, logprob

Reference: TypeAlias = Literal["uniform", "baseline", "original"]
Direction: TypeAlias = Literal["ref_first", "pred_first"]

READOUTS = ["prob", "logit", "logprob", "accuracy", "entropy", "kl"]
REFERENCES = ["uniform", "baseline", "original"]
DIRECTIONS = ["ref_first", "pred_first"]
_DIVERGENCES = [f"kl_{reference}_{direction}" for reference in REFERENCES for direction in DIRECTIONS]
ROWS = [*READOUTS[:-1], *_DIVERGENCES]


class Anchors(NamedTuple):
    """Evidence of what predictions are compared with, `[B, K]` each: the removed sample and the clean one."""

    baseline: Tensor
    original: Tensor


def row_of(readout: str) -> int:
    """The place in what `read` gives of one of the READOUTS, of which the last is KL(uniform || prediction)."""
    one_of("readout", readout, READOUTS)
    return ROWS.index(_DIVERGENCES[0] if readout == "kl" else readout)


@dataclass(frozen=True)
class Divergence:
    """A divergence between a reference and the prediction.

    Attributes:
        reference: "uniform" over the classes, the prediction for the "baseline", or for the "original" sample.
        direction: "ref_first", KL(reference || prediction), or "pred_first", KL(prediction || reference).
        normalize: divide by log K, so that KL(prediction || uniform) is in [0, 1].
    """

    reference: Reference = "uniform"
    direction: Direction = "ref_first"
    normalize: bool = False

    def __post_init__(self) -> None:
        one_of("reference", self.reference, REFERENCES)
        one_of("direction", self.direction, DIRECTIONS)

    @property
    def row(self) -> int:
        """The place of the divergence in what `read` gives."""
        return ROWS.index(f"kl_{self.reference}_{self.direction}")

    @property
    def grows(self) -> bool:
        """Whether it is large where the removed evidence is back; only that from the original is small there."""
        return self.reference != "original"

    @property
    def protocol(self) -> dict[str, Any]:
        """What is computed, in words."""
        pair = f"{self.reference} || prediction" if self.direction == "ref_first" else f"prediction || {self.reference}"
        return {"score": f"KL({pair}){' / log K' if self.normalize else ''}"}

    def unit(self, classes: int) -> float:
        """What the divergence is told in."""
        return math.log(classes) if self.normalize else 1.0


def read(evidence: Tensor, index: Tensor, anchors: Anchors) -> Tensor:
    """Everything that is known of predictions, from their evidence.

    Args:
        evidence: logits `[N, K]`, float32 or wider.
        index: the explained class `[N]`.
        anchors: of the same samples, `[N, K]` each.

    Returns:
        `[len(ROWS), N]`: probability, logit and log probability of the explained class, 1 where it is the predicted
        one and else 0, entropy, and the divergences between a reference and the prediction in both directions. All
        are NaN where evidence is NaN.
    """
    log_p, classes = evidence.log_softmax(1), evidence.shape[1]
    target = logprob(evidence, index)
    hit = (evidence.argmax(1) == index).to(target).where(~evidence.isnan().any(1), torch.nan)
    entropy = torch.special.entr(log_p.exp()).sum(1)
    # From logits: a probability that is rounded to zero has a logarithm, too.
    from_uniform = evidence.logsumexp(1) - evidence.mean(1) - math.log(classes)
    divergences = [from_uniform, math.log(classes) - entropy]
    for anchor in anchors:
        log_q = anchor.log_softmax(1)
        divergences += [_divergence(log_q, log_p), _divergence(log_p, log_q)]
    rows = [target.exp(), logit(evidence, index), target, hit, entropy]
    return torch.stack([*rows, *(divergence.clamp_min(0) for divergence in divergences)])


def _divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(P || Q) of each row, with 0 log 0 = 0."""
    p = log_p.exp()
    return (p * (log_p - log_q)).masked_fill(p == 0, 0).sum(1)

"""What can be read from the evidence along a perturbation curve, so that no quantity costs a pass of its own."""

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from lit_attr._checks import one_of
from lit_attr.objectives import Objective, logit, logprob, prob

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


def row_of(readout: str) -> str:
    """What `read` calls one of the READOUTS, of which the last is KL(uniform || prediction)."""
    one_of("readout", readout, READOUTS)
    return _DIVERGENCES[0] if readout == "kl" else readout


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
    def row(self) -> str:
        """What `read` calls it."""
        return f"kl_{self.reference}_{self.direction}"

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


def read(row: str, evidence: Tensor, index: Tensor, anchors: Anchors | None = None) -> Tensor:
    """A quantity of predictions, from their evidence.

    Args:
        row: one of ROWS: probability, logit and log probability of the explained class, 1 where it is the predicted one
            and else 0, entropy, or a divergence between a reference and the prediction.
        evidence: logits `[N, K]`, float32 or wider.
        index: the explained class `[N]`.
        anchors: of the same samples, `[N, K]` each, for divergences from one of them.

    Returns:
        `[N]`; NaN where evidence is NaN.
    """
    if row in _OF_CLASS:
        return _OF_CLASS[row](evidence, index).where(~evidence.isnan().any(1), torch.nan)
    log_p = evidence.log_softmax(1)
    entropy: Tensor = torch.special.entr(log_p.exp()).sum(1)
    if row == "entropy":
        return entropy
    _, reference, direction = row.split("_", 2)
    if reference != "uniform":
        log_q: Tensor = getattr(anchors, reference).log_softmax(1)
        found = _divergence(log_q, log_p) if direction == "ref_first" else _divergence(log_p, log_q)
    elif direction == "ref_first":  # from logits: a probability that is rounded to zero has a logarithm, too
        found = evidence.logsumexp(1) - evidence.mean(1) - math.log(evidence.shape[1])
    else:
        found = math.log(evidence.shape[1]) - entropy
    return found.clamp_min(0)


def _accuracy(evidence: Tensor, index: Tensor) -> Tensor:
    return (evidence.argmax(1) == index).to(evidence)


_OF_CLASS: dict[str, Objective] = {"prob": prob, "logit": logit, "logprob": logprob, "accuracy": _accuracy}


def _divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """KL(P || Q) of each row, with 0 log 0 = 0."""
    p = log_p.exp()
    return (p * (log_p - log_q)).masked_fill(p == 0, 0).sum(1)

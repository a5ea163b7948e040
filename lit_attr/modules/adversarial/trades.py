"""TRADES: accuracy traded for predictions that stay the same around a sample."""

from dataclasses import dataclass

import torch

from lit_attr._checks import ArgumentError, not_negative
from lit_attr._view import looking_at
from lit_attr.attacks import IterativeAttack
from lit_attr.modules.adversarial.pgd import AttackTraining
from lit_attr.modules.adversarial.training import TRAININGS, Losses, TrainingBatch, divergence, withstood
from lit_attr.targets import DistributionTarget

__all__ = ["TRADES"]


@TRAININGS.register("trades")
@dataclass(frozen=True, kw_only=True)
class TRADES(AttackTraining):
    """CE(z(x), y) + beta * KL(p(x) || p(x')), x' where the same divergence is climbed to.

    The walk begins at x + 0.001 n, n standard normal, since the divergence has no gradient at x; there p(x) is that of
    eval mode, in the loss that of training, and gradients go through both its sides.

    Paper: Zhang et al., "Theoretically Principled Trade-off between Robustness and Accuracy", 2019, section 4; beta is
    1/lambda there; on CIFAR-10 with eps 0.031 and 10 steps of 0.007.

    Args:
        beta: weight of the divergence.

    Example:
        >>> training = TRADES(beta=1.0)
        >>> batch = TrainingBatch(torch.nn.Flatten(), torch.rand(2, 1, 2, 2), torch.tensor([0, 3]))
        >>> training(batch).loss.shape
        torch.Size([])
    """

    beta: float = 6.0

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative("beta", self.beta)
        attack = self.attack
        if not isinstance(attack, IterativeAttack):
            raise ArgumentError("attack", type(attack).__name__, "an IterativeAttack, such as pgd, for TRADES")
        for name in ("targeted", "early_stop"):
            if getattr(attack, name):
                raise ArgumentError(f"attack.{name}", getattr(attack, name), "false for TRADES")
        if attack.loss != "logprob":
            raise ArgumentError("attack.loss", attack.loss, "left out for TRADES, which climbs the divergence")

    def losses(self, batch: TrainingBatch) -> Losses:
        """Both terms."""
        with looking_at(batch.model, batch.images, batch.labels) as view:
            clean = view.evidence_at(view.inputs, view.rows).softmax(1)
        noise = torch.empty_like(batch.images).normal_(0, 0.001, generator=batch.generator())
        points = self.perturb(batch, DistributionTarget(clean), batch.images + noise, loss="logit")
        own = batch.cross_entropy(batch.clean)
        logits = batch.logits(points)
        apart = self.beta * divergence(batch.clean, logits).mean()
        return Losses(own + apart, apart, withstood(logits, batch))

"""MART: samples that are misclassified count more."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from lit_attr._checks import not_negative
from lit_attr.modules.adversarial.pgd import AttackTraining
from lit_attr.modules.adversarial.training import TRAININGS, Losses, TrainingBatch, divergence, withstood

__all__ = ["MART"]


@TRAININGS.register("mart")
@dataclass(frozen=True, kw_only=True)
class MART(AttackTraining):
    """BCE(p(x'), y) + beta * KL(p(x) || p(x')) * (1 - p_y(x)), mean over samples.

    BCE = -log p_y(x') - log(1 - max_{k != y} p_k(x')). Samples that are misclassified weigh more. All is found from
    logarithms, so that no constant keeps the second one finite as in the authors' code.

    Paper: Wang et al., "Improving Adversarial Robustness Requires Revisiting Misclassified Examples", 2020, section
    3.2; there the attack is PGD with 10 steps of eps / 4, and beta, called lambda, 5.

    Args:
        beta: weight of the divergence.

    Example:
        >>> batch = TrainingBatch(torch.nn.Flatten(), torch.rand(2, 1, 2, 2), torch.tensor([0, 3]))
        >>> bool(MART(beta=1.0)(batch).loss < MART()(batch).loss)
        True
    """

    SMOOTHS: ClassVar[bool] = False

    beta: float = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative("beta", self.beta)

    def losses(self, batch: TrainingBatch) -> Losses:
        """The sum, which is adversarial in both terms."""
        logits = batch.logits(self.perturb(batch, batch.labels))
        label = batch.labels[:, None]
        log_p = logits.log_softmax(1)
        rival = log_p.scatter(1, label, -torch.inf).argmax(1, keepdim=True)
        not_rival = log_p.scatter(1, rival, -torch.inf).logsumexp(1)  # log(1 - p_k)
        boosted = -log_p.gather(1, label)[:, 0] - not_rival
        unsure = 1 - batch.clean.softmax(1).gather(1, label)[:, 0]
        loss = (boosted + self.beta * divergence(batch.clean, logits) * unsure).mean()
        return Losses(loss, loss, withstood(logits, batch))

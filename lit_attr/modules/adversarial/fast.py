"""Fast adversarial training: one step from a random start, and a guard."""

from dataclasses import dataclass, replace

from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lit_attr._checks import not_negative, not_negative_int
from lit_attr.attacks import PGD
from lit_attr.modules.adversarial.pgd import random_point
from lit_attr.modules.adversarial.training import TRAININGS, AdversarialTraining, Losses, TrainingBatch, withstood

__all__ = ["FastTraining"]

_COLLAPSE = 0.3  # healthy runs lose up to some 10 % from one step to ten, collapsed ones nearly all that they had


@TRAININGS.register("fast")
@dataclass(frozen=True, kw_only=True)
class FastTraining(AdversarialTraining):
    """The cross entropy of samples that one step of alpha * eps leads to, from a random start in the ball.

    A model can learn to withstand that step alone ("catastrophic overfitting"), which its own accuracy does not show:
    now and then a batch is also attacked by PGD of 10 steps, which is logged as `train/pgd_accuracy`, with a warning
    where that lies far below.

    Paper: Wong, Rice, Kolter, "Fast is better than free: Revisiting adversarial training", 2020, section 4; there the
    guard looks once an epoch.

    Args:
        eps: radius of the L-infinity ball.
        alpha: the step, in units of eps.
        guard_every: in each epoch, the guard looks at the first batch and at every one that is so much later; 0 is
            never. A look costs 12 forward and 10 backward passes.

    Example:
        >>> import torch
        >>> batch = TrainingBatch(torch.nn.Flatten(), torch.rand(2, 1, 2, 2), torch.tensor([0, 3]))
        >>> sorted(FastTraining(eps=0.1)(batch).more), sorted(FastTraining(guard_every=0)(batch).more)
        (['pgd_accuracy'], [])
    """

    eps: float = 8 / 255
    alpha: float = 1.25
    guard_every: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative("eps", self.eps)
        not_negative("alpha", self.alpha)
        not_negative_int("guard_every", self.guard_every)

    def losses(self, batch: TrainingBatch) -> Losses:
        """CE(z(x'), y)."""
        eps = batch.share * self.eps
        attack = PGD(eps=eps, alpha=self.alpha * eps, steps=1)
        start = random_point(batch, attack)
        attack = replace(attack, random_start=False)
        guarded = bool(self.guard_every) and batch.number % self.guard_every == 0
        more: dict[str, Tensor] = {}
        if guarded:
            found = attack.run(batch.model, batch.images, batch.labels, start=start)
            points, own = found.adversarial, withstood(found.evidence, batch).float().mean()
            strong = PGD(eps=eps, alpha=eps / 4, steps=10).run(batch.model, batch.images, batch.labels)
            more["pgd_accuracy"] = withstood(strong.evidence, batch).float().mean()
            _warn_of_collapse(float(own), float(more["pgd_accuracy"]))
        else:
            points = attack(batch.model, batch.images, batch.labels, start=start)
        logits = batch.logits(points)
        loss = batch.cross_entropy(logits)
        return Losses(loss, loss, withstood(logits, batch), more)


def _warn_of_collapse(own: float, strong: float) -> None:
    if own - strong > _COLLAPSE:
        rank_zero_warn(
            f"fast adversarial training overfits catastrophically: of this batch {own:.0%} withstand its own attack, "
            f"but {strong:.0%} PGD; lower `eps` or `alpha`, or take 'pgd_at'"
        )

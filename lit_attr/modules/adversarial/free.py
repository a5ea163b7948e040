"""Free adversarial training: one backward pass for the weights and for the perturbation."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lit_attr._checks import not_negative, positive_int
from lit_attr.modules.adversarial.training import TRAININGS, AdversarialTraining, Losses, TrainingBatch, withstood

__all__ = ["FreeTraining"]


@TRAININGS.register("free")
@dataclass(frozen=True, kw_only=True)
class FreeTraining(AdversarialTraining):
    """The cross entropy at x + d; its one backward pass gives the step of the weights, and d <- clip(d + eps sign(g)).

    Each batch is trained on `replays` times in a row, so an epoch costs that many ordinary ones, and `max_epochs` is to
    be divided by it. The perturbation d, zero at first, goes on from replay to replay and from batch to batch, by the
    place in the batch; a run that is taken up begins at zero again. `max_steps` and schedules of the learning rate
    count batches, not replays.

    g is the gradient at the adversarial image, clipped to [0, 1]; in the authors' code it is zero where that was
    clipped.

    Paper: Shafahi et al., "Adversarial Training for Free!", 2019, algorithm 1.

    Args:
        eps: radius of the L-infinity ball, and the step.
        replays: how often, m.

    Example:
        >>> batch = TrainingBatch(torch.nn.Flatten(), torch.rand(2, 1, 2, 2), torch.tensor([0, 3]))
        >>> FreeTraining(eps=0.1)(batch).loss.backward()
        >>> batch.memory["delta"].abs().flatten()[:2]
        tensor([0.1000, 0.1000])
    """

    eps: float = 8 / 255
    replays: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        not_negative("eps", self.eps)
        positive_int("replays", self.replays)

    @property
    def updates(self) -> int:
        """The replays."""
        return self.replays

    def losses(self, batch: TrainingBatch) -> Losses:
        """CE(z(x + d), y); the backward pass carries d on."""
        eps, images, memory = batch.share * self.eps, batch.images.detach(), batch.memory
        delta = memory.get("delta")
        if delta is None or delta.shape[1:] != images.shape[1:]:
            delta = torch.zeros_like(images)
        missing = max(0, len(images) - len(delta))  # a batch may be larger than those before
        delta = torch.cat([delta.to(images), images.new_zeros(missing, *images.shape[1:])])
        points = (images + delta[: len(images)]).clamp(0, 1).requires_grad_()

        def carry(gradient: Tensor) -> None:
            step = eps * gradient.nan_to_num(0).sign()  # scaled losses may overflow
            moved = (delta[: len(images)] + step).clamp(-eps, eps)
            memory["delta"] = torch.cat([moved, delta[len(images) :]])

        points.register_hook(carry)  # type: ignore[no-untyped-call]  # torch's own
        logits = batch.logits(points)
        loss = batch.cross_entropy(logits)
        return Losses(loss, loss, withstood(logits, batch))

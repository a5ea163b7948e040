"""AdvGAN: a generator that learns to fool a classifier.

Paper: Xiao et al., "Generating Adversarial Examples with Adversarial Networks", 2018.
"""

import copy
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn
from torch.func import functional_call
from torchmetrics import MeanMetric

from lit_attr._checks import ArgumentError, not_negative, not_negative_int
from lit_attr._run_dir import run_dir
from lit_attr.modules.backbones import load_safely
from lit_attr.modules.classifier import Classifier
from lit_attr.objectives import margin
from lit_attr.updates import Generator, save_generator

__all__ = ["AdvGANModule", "Discriminator"]


class Discriminator(nn.Module):
    """How much images look like those of the data: `[B, C, H, W]` of any size to scores `[B]`, 1 for data, 0 for made.

    Without batch statistics, as the generator; least squares need no sigmoid.

    Args:
        channels: of the images.
    """

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 8, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.GroupNorm(1, 16),
            nn.LeakyReLU(0.2),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.GroupNorm(1, 32),
            nn.LeakyReLU(0.2),
            nn.Conv2d(32, 1, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """The scores, means over the image."""
        scores: Tensor = self.body(images)
        return scores.mean((1, 2, 3))


class AdvGANModule(L.LightningModule):
    """Train a `Generator` against a classifier: images `[B, C, H, W]` in [0, 1] to adversarial ones of the same shape.

    With x' = clip(x + G(x), 0, 1) and the logits f of the victim, one step lowers both

        L_G = adv_weight * E max(f_y(x') - max_{j != y} f_j(x'), -kappa) + E (D(x') - 1)^2
              + pert_weight * E max(0, ||G(x)||_2 - bound),
        L_D = E (D(x) - 1)^2 + E D(x')^2,

    L_G in the generator alone and L_D in the discriminator alone; with a `target` t the margin is
    max_{j != t} f_j(x') - f_t(x'). Batches are `(images, labels)`. Logs `train/loss_adversarial`, `train/loss_gan`,
    `train/loss_perturbation`, `train/loss_discriminator` and, for `val` and `test`, `fooled`: the share of the images
    classified rightly, and not of class `target`, that are classified wrongly (as `target`) after the attack. At the
    end of `fit` the generator is written to `generator.safetensors` in the run's folder, for the update rule `advgan`;
    `save_generator` writes that of another checkpoint.

    Deviation: both networks take their steps at once, from one backward pass, not one after the other, so that the
    Trainer's clipping, accumulation, precision and plain DDP hold for it, and a step is one step.

    Args:
        victim: the checkpoint of a `Classifier` built by name, or a module that takes images in [0, 1] and gives
            logits. A copy of it is asked, in eval mode; it is no part of the checkpoint.
        in_channels: channels of the images.
        eps: the largest change of a value.
        target: the class to be taken for; None for any wrong one.
        kappa: margin beyond which the victim is fooled enough.
        adv_weight: of the margin.
        pert_weight: of the size of the perturbation.
        bound: Euclidean length up to which a perturbation costs nothing.
        lr: learning rate of the default optimiser (Adam). Without effect where an optimiser is configured.

    Raises:
        ValueError: for a number out of range, or what is no victim.
        FileNotFoundError: if there is no such checkpoint.

    Example:
        >>> victim = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> module = AdvGANModule(victim, in_channels=1, eps=0.1)
        >>> module(torch.rand(2, 1, 8, 8)).shape
        torch.Size([2, 1, 8, 8])
    """

    def __init__(  # noqa: PLR0913 - each is a key of the config
        self,
        victim: str | Any,  # str | nn.Module, but that would list every class of torch in --help
        in_channels: int = 3,
        eps: float = 8 / 255,
        *,
        target: int | None = None,
        kappa: float = 0.0,
        adv_weight: float = 10.0,
        pert_weight: float = 1.0,
        bound: float = 0.1,
        lr: float = 1e-3,
    ) -> None:
        super().__init__()
        numbers = {"kappa": kappa, "adv_weight": adv_weight, "pert_weight": pert_weight, "bound": bound, "lr": lr}
        for name, value in numbers.items():
            not_negative(name, value)
        if target is not None:
            not_negative_int("target", target)
        self.save_hyperparameters(ignore=["victim"] if isinstance(victim, nn.Module) else [])
        self.target, self.kappa, self.bound, self.lr = target, kappa, bound, lr
        self.adv_weight, self.pert_weight = adv_weight, pert_weight
        self.generator, self.discriminator = Generator(in_channels, eps), Discriminator(in_channels)
        self.val_fooled, self.test_fooled = MeanMetric(), MeanMetric()
        # In a tuple, which hides it: from the checkpoint, the optimiser, DDP, `train()`.
        self._victim = (_victim(victim),)

    def setup(self, stage: str) -> None:  # noqa: ARG002
        """Refuse data of other channels, before any work."""
        own = self.generator.channels
        theirs = getattr(getattr(self.trainer, "datamodule", None), "channels", own)
        if theirs != own:
            msg = f"the model has channels = {own}, the data {theirs}; set `model.in_channels` to fit the data"
            raise ValueError(msg)

    def configure_callbacks(self) -> list[L.Callback]:
        """What writes the generator."""
        return [_WriteGenerator()]

    def forward(self, images: Tensor) -> Tensor:
        """The adversarial images."""
        return self.generator.attack(images)

    def logits(self, images: Tensor) -> Tensor:
        """Of the victim, `[B, K]`; differentiable where `images` is."""
        logits: Tensor = self._victim[0].to(images)(images)  # to their device and type
        return logits.float()

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """The unweighted terms: "adversarial", "gan", "perturbation" (of the generator), and "discriminator"."""
        perturbation = self.generator(images)
        made = (images + perturbation).clamp(0, 1)
        logits = self.logits(made)
        gap = margin(logits, labels) if self.target is None else -margin(logits, torch.full_like(labels, self.target))
        length = perturbation.float().flatten(1).norm(dim=1)
        frozen = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        score = functional_call(self.discriminator, frozen, (made,)).float()
        of_data, of_made = self.discriminator(images).float(), self.discriminator(made.detach()).float()
        return {
            "adversarial": gap.clamp_min(-self.kappa).mean(),
            "gan": (score - 1).square().mean(),
            "perturbation": (length - self.bound).clamp_min(0).mean(),
            "discriminator": (of_data - 1).square().mean() + of_made.square().mean(),
        }

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """L_G + L_D of one batch; neither has a gradient in the other's network."""
        images, labels = batch
        terms = self.losses(images, labels)
        self.log_dict({f"train/loss_{name}": value for name, value in terms.items()}, batch_size=len(images))
        self.generator.batches_seen += 1
        fooling = self.adv_weight * terms["adversarial"] + self.pert_weight * terms["perturbation"]
        return fooling + terms["gan"] + terms["discriminator"]

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Count one batch."""
        self._evaluate(batch, "val", self.val_fooled)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Count one batch."""
        self._evaluate(batch, "test", self.test_fooled)

    def _evaluate(self, batch: tuple[Tensor, Tensor], stage: str, mean: MeanMetric) -> None:
        images, labels = batch
        before, after = self.logits(images).argmax(1), self.logits(self(images)).argmax(1)
        attacked = before == labels
        if self.target is None:
            fooled = after != labels
        else:
            attacked, fooled = attacked & (labels != self.target), after == self.target
        mean.update(fooled[attacked].float())
        self.log(f"{stage}/fooled", mean, prog_bar=stage == "val", batch_size=len(images))

    def configure_optimizers(self) -> Any:
        """Adam, for both networks, where the config names no optimiser."""
        return torch.optim.Adam(self.parameters(), lr=self.lr)


class _WriteGenerator(L.Callback):
    """The file for the update rule, at the end of training."""

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if getattr(trainer, "fast_dev_run", False):
            return
        path = run_dir(trainer) / "generator.safetensors"
        if trainer.is_global_zero and isinstance(pl_module, AdvGANModule):
            path.parent.mkdir(parents=True, exist_ok=True)
            save_generator(path, pl_module.generator)
        rank_zero_info(f"Generator: {path}")


def _victim(victim: str | Path | nn.Module) -> nn.Module:
    """A frozen copy in eval mode."""
    if isinstance(victim, nn.Module):
        return copy.deepcopy(victim).eval().requires_grad_(False)
    path = Path(victim).expanduser()
    if not path.is_file():
        msg = f"`victim`: there is no file '{victim}'; train a Classifier first, or give its checkpoint"
        raise FileNotFoundError(msg)
    stored = load_safely(path, "victim")
    if not isinstance(stored, dict) or "model" not in stored.get("hyper_parameters", {}):
        raise ArgumentError("victim", victim, "the checkpoint of a Classifier built by name (or a module)")
    found = Classifier.load_from_checkpoint(path, map_location="cpu", weights_only=True)
    return found.eval().requires_grad_(False)

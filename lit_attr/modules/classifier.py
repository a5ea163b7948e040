"""The LightningModule of image classifiers."""

import math
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassAUROC, MulticlassCalibrationError
from torchmetrics.utilities import dim_zero_cat

from lit_attr._checks import ArgumentError, fraction, not_negative, positive_int
from lit_attr.modules._agreement import refuse_other_data
from lit_attr.modules.adversarial import AdversarialTraining, TrainingBatch, get_training
from lit_attr.modules.backbones import build_backbone, given_or_built
from lit_attr.modules.normalize import Normalize

__all__ = ["Classifier"]

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Classifier(L.LightningModule):
    """An image classifier: images `[B, C, H, W]` in [0, 1] to logits `[B, num_classes]`.

    Batches are `(images, labels)`. Logs `train/loss` and, for `val` and `test`, loss, accuracy, calibration error
    (15 bins, L1) and AUROC (one against rest, mean over the classes that occur). Adversarial training also logs
    `train/loss_adversarial`, the part of the loss that is owed to adversarial samples, and `train/robust_accuracy`, the
    accuracy on them as they are trained on.

    Args:
        model: a name (see `build_backbone`), the import path of a module class that takes `num_classes`, or a module
            that takes normalised images.
        num_classes: number of classes, at least two.
        mean: per channel, in [0, 1]; their number is the number of channels.
        std: per channel.
        weights: initial weights: a torchvision enum name or a file; only for a `model` given by name. Not stored as a
            hyper-parameter: a checkpoint holds the weights itself.
        label_smoothing: share of the target probability that is spread over all classes, in [0, 1).
        mixup: alpha of the Beta distribution of mixup; 0 is off.
        cutmix: alpha of cutmix; 0 is off. With both, each batch gets one of them.
        adversarial: train against attacks: the name of a recipe ("pgd_at", "trades", "mart", "fast", "free"), or its
            settings with the name under `class` (see `lit_attr.modules.adversarial`); not with mixup and cutmix. From
            Python also an `AdversarialTraining`, which is not stored as a hyper-parameter.
        lr: peak learning rate of the default optimiser (AdamW, one cycle over the whole run). Without effect where an
            optimiser is configured (`--optimizer` on the command line).
        weight_decay: of the default optimiser.

    Raises:
        ValueError: for an unknown model, weights that do not fit, or a number out of range.

    Example:
        >>> module = Classifier("cifar_resnet8", num_classes=10, mean=[0.5], std=[0.5])
        >>> module(torch.rand(2, 1, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(  # noqa: PLR0913 - each is a key of the config
        self,
        model: str | Any,  # str | nn.Module, but that would list every class of torch in --help
        num_classes: int,
        mean: Sequence[float] = _IMAGENET_MEAN,
        std: Sequence[float] = _IMAGENET_STD,
        *,
        weights: str | None = None,
        label_smoothing: float = 0.0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
        adversarial: str | dict[str, Any] | None = None,
        lr: float = 2e-3,
        weight_decay: float = 0.05,
    ) -> None:
        super().__init__()
        positive_int("num_classes", num_classes)
        if num_classes < 2:
            raise ArgumentError("num_classes", num_classes, "at least 2")
        fraction("label_smoothing", label_smoothing, end=False)
        for name, value in {"mixup": mixup, "cutmix": cutmix, "lr": lr, "weight_decay": weight_decay}.items():
            not_negative(name, value)
        mean, std = [float(v) for v in mean], [float(v) for v in std]
        objects = {"model": isinstance(model, nn.Module), "adversarial": isinstance(adversarial, AdversarialTraining)}
        self.save_hyperparameters(ignore=[name for name, is_one in objects.items() if is_one])
        self.hparams.update(weights=None)
        self.num_classes = num_classes
        self.label_smoothing = label_smoothing
        self.lr, self.weight_decay = lr, weight_decay
        self.normalize = Normalize(mean, std)
        build = partial(build_backbone, num_classes=num_classes, in_channels=len(mean))
        self.model = given_or_built(model, num_classes, build, weights=weights)
        self.mix = _mixing(mixup, cutmix, num_classes)
        self.adversarial = None if adversarial is None else get_training(adversarial)
        if self.adversarial is not None:
            _one_class_per_image(mixup, cutmix)
            if label_smoothing and not self.adversarial.SMOOTHS:
                raise ArgumentError("label_smoothing", label_smoothing, f"0 for {type(self.adversarial).__name__}")
        self._memory: dict[str, Tensor] = {}  # of adversarial training, from batch to batch
        metrics = MetricCollection(
            {
                "accuracy": MulticlassAccuracy(num_classes, average="micro"),
                "auroc": _AUROC(num_classes),
                "calibration_error": MulticlassCalibrationError(num_classes),
            }
        )
        self.val_metrics, self.test_metrics = metrics.clone(prefix="val/"), metrics.clone(prefix="test/")
        # Exact over batches and processes of any size; a loss that is not finite is not left out.
        self.val_loss, self.test_loss = MeanMetric(nan_strategy="disable"), MeanMetric(nan_strategy="disable")

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[B, num_classes]` of images `[B, C, H, W]` in [0, 1]."""
        logits: Tensor = self.model(self.normalize(images))
        return logits

    def setup(self, stage: str) -> None:
        """Refuse data that cannot belong to this module, before any work."""
        classes = {} if stage == "predict" else {"num_classes": self.num_classes}  # images to predict on have none
        refuse_other_data(self.trainer, channels=len(self.normalize.mean), **classes)

    def on_fit_start(self) -> None:
        """Begin without what an earlier run carried on."""
        self._memory.clear()

    def on_train_epoch_start(self) -> None:
        """Refuse to accumulate gradients over batches that are each trained on several times."""
        batches = self.trainer.accumulate_grad_batches
        if self.adversarial is not None and self.adversarial.updates > 1 and batches > 1:
            name = type(self.adversarial).__name__
            raise ArgumentError("accumulate_grad_batches", batches, f"1 for {name}, which replays each batch")

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Cross entropy of one batch, mixed where asked for, or the loss of adversarial training."""
        if self.adversarial is not None:
            return self._adversarial_step(self.adversarial, batch, batch_idx)
        images, labels = batch if self.mix is None else self.mix(*batch)
        loss = F.cross_entropy(self(images), labels, label_smoothing=self.label_smoothing)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(images))
        return loss

    def _adversarial_step(self, recipe: AdversarialTraining, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        epochs = self.current_epoch + batch_idx / self.trainer.num_training_batches  # infinitely many count as none
        found = recipe(
            TrainingBatch(
                model=self,
                images=images,
                labels=labels,
                number=batch_idx,
                share=recipe.share(epochs),
                smoothing=self.label_smoothing,
                rank=self.global_rank,
                memory=self._memory,
            )
        )
        values = {
            "loss_adversarial": found.adversarial,
            "robust_accuracy": found.withstood.float().mean(),
            **found.more,
        }
        self.log("train/loss", found.loss, prog_bar=True, batch_size=len(images))
        self.log_dict({f"train/{name}": value for name, value in values.items()}, batch_size=len(images))
        return found.loss

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Any,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """One update of the weights, or as many as the recipe wants of a batch, each from a training step anew."""
        for _ in range(1 if self.adversarial is None else self.adversarial.updates):
            super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Loss and metrics of one batch."""
        self._evaluate(batch, "val", self.val_metrics, self.val_loss)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Loss and metrics of one batch."""
        self._evaluate(batch, "test", self.test_metrics, self.test_loss)

    def _evaluate(
        self, batch: tuple[Tensor, Tensor], stage: str, metrics: MetricCollection, mean_loss: MeanMetric
    ) -> None:
        images, labels = batch
        logits = self(images)
        metrics.update(logits.float(), labels)
        mean_loss.update(F.cross_entropy(logits, labels, reduction="none"))
        self.log(f"{stage}/loss", mean_loss, batch_size=len(images))
        self.log_dict(metrics, prog_bar=stage == "val", batch_size=len(images))

    def predict_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor]:  # noqa: ARG002
        """Predicted class `[B]`, its probability `[B]`, and all logits `[B, K]`."""
        logits = self(batch[0] if isinstance(batch, Sequence) else batch).float()
        confidence, prediction = logits.softmax(1).max(1)
        return {"prediction": prediction, "confidence": confidence, "logits": logits}

    def configure_optimizers(self) -> Any:
        """AdamW with one cycle of the learning rate over the whole run, where the config names no optimiser."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.lr, weight_decay=self.weight_decay)
        steps = self.trainer.estimated_stepping_batches
        if not 0 < steps < float("inf"):  # no end, or nothing to train on
            return optimizer
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _one_cycle(int(steps)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _one_cycle(steps: int) -> Callable[[int], float]:
    """The learning rate's factor: a cosine from 1/25 up to 1 over 30 % of the steps, then one down to nearly zero.

    torch's OneCycleLR keeps the number of steps in its state, so that a run could not be taken up for longer.
    """
    peak, end = 0.3 * steps - 1, steps - 1

    def factor(step: int) -> float:
        rising = step < peak
        start, goal = (1 / 25, 1.0) if rising else (1.0, 4e-6)
        part = step / peak if rising else (step - peak) / (end - peak)
        return goal + (start - goal) * (1 + math.cos(math.pi * min(1.0, part))) / 2

    return factor


class _AUROC(MulticlassAUROC):
    """One against rest, mean over the classes that occur; NaN where only one does.

    The mean of torchmetrics counts a class without samples as 0, so that the value says how many classes there are.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes, average="none")

    def compute(self) -> Tensor:  # type: ignore[override]  # as in torchmetrics itself
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "No (positive|negative) samples in targets")
            scores: Tensor = super().compute()
        labels = dim_zero_cat(self.target)
        count = torch.bincount(labels, minlength=self.num_classes)
        return scores[(count > 0) & (count < len(labels))].mean()


def _one_class_per_image(mixup: float, cutmix: float) -> None:
    for name, value in {"mixup": mixup, "cutmix": cutmix}.items():
        if value:
            raise ArgumentError(name, value, "0 with `adversarial`: an attack is on one class per image")


def _mixing(mixup: float, cutmix: float, num_classes: int) -> Any:
    from torchvision.transforms import v2

    kinds = {v2.MixUp: mixup, v2.CutMix: cutmix}
    chosen = [kind(alpha=alpha, num_classes=num_classes) for kind, alpha in kinds.items() if alpha > 0]
    return v2.RandomChoice(chosen) if len(chosen) > 1 else next(iter(chosen), None)

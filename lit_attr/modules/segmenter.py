"""The LightningModule of segmentation networks."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_attr._checks import ArgumentError, not_negative, positive_int
from lit_attr.modules._agreement import refuse_other_data
from lit_attr.modules.backbones import given_or_built
from lit_attr.modules.normalize import Normalize
from lit_attr.modules.segmentation_networks import build_segmentation_network
from lit_attr.modules.segmentation_scores import SegmentationScores
from lit_attr.targets import logits_of

__all__ = ["Segmenter"]

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_AUXILIARY_LR = 10  # times the others'
_MOMENTUM, _POWER = 0.9, 0.9


class Segmenter(L.LightningModule):
    """A segmentation network: images `[B, C, H, W]` in [0, 1] to logits `[B, num_classes, H, W]`.

    Batches are `(images, masks)`, masks being class indices `[B, H, W]`; what stands behind them is left alone. Masks
    may be of another size than the images: then the logits are brought to it, never the labels.

    The loss is the cross entropy, mean over the pixels that count, plus `aux_weight` times the same of the second head.
    Logs `train/loss` and, for `val` and `test`, loss, mean intersection over union (`miou`), pixel accuracy, and the
    intersection over union of each class (`val/iou/<class>`, NaN where it does not occur), all over the pixels of the
    whole set and of all processes.

    Without a configured optimiser it trains as torchvision's reference does: SGD with momentum 0.9, the second head at
    ten times the learning rate, and (1 - step / steps)^0.9 of it in every step.

    Args:
        model: a name (see `build_segmentation_network`), the import path of a module class that takes `num_classes`, or
            a module. It takes normalised images and gives logits `[B, num_classes, h, w]`, or a mapping with them as
            `out` and, where there is a second head, its own as `aux`. Logits of another size than the images' are
            resized bilinearly, corners not aligned, as PyTorch and torchvision do.
        num_classes: number of classes with the background, at least two.
        mean: per channel, in [0, 1]; their number is the number of channels.
        std: per channel.
        weights: initial weights: a torchvision enum name or a file; only for a `model` given by name. Not stored as a
            hyper-parameter, as is `weights_backbone`: a checkpoint holds the weights itself.
        weights_backbone: where there are no `weights`, the enum name of those of torchvision's classifier.
        ignore_index: the label of pixels that do not count; no class.
        aux_weight: weight of the second head's loss; with 0 a named network has no second head.
        lr: initial learning rate of the default optimiser. Without effect where an optimiser is configured
            (`--optimizer` on the command line).
        weight_decay: of the default optimiser.

    Raises:
        ValueError: for an unknown model, weights that do not fit, or a number out of range.

    Example:
        >>> module = Segmenter("small_segmenter", num_classes=3)
        >>> module(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 3, 64, 64])
    """

    def __init__(  # noqa: PLR0913 - each is a key of the config
        self,
        model: str | Any,  # str | nn.Module, but that would list every class of torch in --help
        num_classes: int,
        mean: Sequence[float] = _IMAGENET_MEAN,
        std: Sequence[float] = _IMAGENET_STD,
        *,
        weights: str | None = None,
        weights_backbone: str | None = None,
        ignore_index: int = 255,
        aux_weight: float = 0.5,
        lr: float = 0.02,
        weight_decay: float = 1e-4,
    ) -> None:
        super().__init__()
        positive_int("num_classes", num_classes)
        if num_classes < 2:
            raise ArgumentError("num_classes", num_classes, "at least 2")
        for name, value in {"aux_weight": aux_weight, "lr": lr, "weight_decay": weight_decay}.items():
            not_negative(name, value)
        mean, std = [float(v) for v in mean], [float(v) for v in std]
        self.save_hyperparameters(ignore=["model"] if isinstance(model, nn.Module) else [])
        self.hparams.update(weights=None, weights_backbone=None)
        self.num_classes, self.ignore_index, self.aux_weight = num_classes, ignore_index, aux_weight
        self.lr, self.weight_decay = lr, weight_decay
        self.normalize = Normalize(mean, std)
        build = partial(
            build_segmentation_network,
            num_classes=num_classes,
            in_channels=len(mean),
            auxiliary=aux_weight > 0,
        )
        self.model = given_or_built(model, num_classes, build, weights=weights, weights_backbone=weights_backbone)
        self.val_scores, self.test_scores = (SegmentationScores(num_classes, ignore_index) for _ in range(2))

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[B, num_classes, H, W]` of images `[B, C, H, W]` in [0, 1]."""
        return self._logits(self.model(self.normalize(images)), images.shape[2:])

    def setup(self, stage: str) -> None:
        """Refuse data that cannot belong to this module, before any work."""
        labels = {"num_classes": self.num_classes, "ignore_index": self.ignore_index}
        labels = {} if stage == "predict" else labels  # images to predict on have no masks
        refuse_other_data(self.trainer, channels=len(self.normalize.mean), **labels)

    def training_step(self, batch: Sequence[Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """The loss of one batch."""
        images, masks = batch[:2]
        output = self.model(self.normalize(images))
        loss = self._loss(output, masks)
        if self.aux_weight and isinstance(output, Mapping) and "aux" in output:
            loss = loss + self.aux_weight * self._loss(output["aux"], masks)
        self.log("train/loss", loss, prog_bar=True, batch_size=len(images))
        return loss

    def on_validation_epoch_start(self) -> None:
        """Count anew."""
        self.val_scores.reset()

    def on_test_epoch_start(self) -> None:
        """Count anew."""
        self.test_scores.reset()

    def validation_step(self, batch: Sequence[Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Loss and counts of one batch."""
        self._evaluate(batch, self.val_scores)

    def test_step(self, batch: Sequence[Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Loss and counts of one batch."""
        self._evaluate(batch, self.test_scores)

    def on_validation_epoch_end(self) -> None:
        """The scores of all that was counted."""
        self._log_scores("val", self.val_scores)

    def on_test_epoch_end(self) -> None:
        """The scores of all that was counted."""
        self._log_scores("test", self.test_scores)

    def predict_step(self, batch: Any, batch_idx: int) -> dict[str, Tensor]:  # noqa: ARG002
        """Predicted class of each pixel, `[B, H, W]`, its probability, `[B, H, W]`, and the logits."""
        logits = self(batch[0] if isinstance(batch, Sequence) else batch)
        confidence, prediction = logits.softmax(1).max(1)
        return {"prediction": prediction, "confidence": confidence, "logits": logits}

    def configure_optimizers(self) -> Any:
        """Torchvision's recipe, where the config names no optimiser."""
        named = list(self.model.named_parameters())
        second = [parameter for name, parameter in named if name.startswith("aux_classifier.")]
        first = [parameter for name, parameter in named if not name.startswith("aux_classifier.")]
        groups: list[dict[str, Any]] = [{"params": first}]
        if second:
            groups.append({"params": second, "lr": _AUXILIARY_LR * self.lr})
        optimizer = torch.optim.SGD(groups, self.lr, _MOMENTUM, weight_decay=self.weight_decay)
        steps = self.trainer.estimated_stepping_batches
        if not 0 < steps < float("inf"):  # no end, or nothing to train on
            return optimizer
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _polynomial(int(steps)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _logits(self, output: Any, size: Sequence[int]) -> Tensor:
        """The logits in an output of the network, float32, at a size."""
        logits = logits_of(output)
        if logits.dim() != 4 or logits.shape[1] != self.num_classes:
            accepted = f"logits [B, {self.num_classes}, h, w], as `num_classes` says"
            raise ArgumentError("model output", f"shape {tuple(logits.shape)}", accepted)
        if logits.shape[2:] == tuple(size):
            return logits
        return F.interpolate(logits, tuple(size), mode="bilinear", align_corners=False)

    def _loss(self, output: Any, masks: Tensor) -> Tensor:
        """Mean cross entropy over the pixels that count; 0 where none does, as in a crop of nothing but border."""
        logits = self._logits(output, masks.shape[1:])
        total = F.cross_entropy(logits, masks.long(), ignore_index=self.ignore_index, reduction="sum")
        return total / (masks != self.ignore_index).sum().clamp(min=1)

    def _evaluate(self, batch: Sequence[Tensor], scores: SegmentationScores) -> None:
        images, masks = batch[:2]
        # Resized once, from the network's own size to the masks'.
        scores.update(self._logits(self.model(self.normalize(images)), masks.shape[1:]), masks)

    def _log_scores(self, stage: str, scores: SegmentationScores) -> None:
        found = scores.compute()  # over all processes, so that each has the same; synchronising is for form's sake
        names = getattr(getattr(self.trainer, "datamodule", None), "class_names", None) or range(self.num_classes)
        self.log(f"{stage}/loss", found.loss, sync_dist=True)
        self.log(f"{stage}/miou", found.miou, prog_bar=stage == "val", sync_dist=True)
        self.log(f"{stage}/pixel_accuracy", found.accuracy, prog_bar=stage == "val", sync_dist=True)
        self.log_dict({f"{stage}/iou/{name}": v for name, v in zip(names, found.iou, strict=True)}, sync_dist=True)


def _polynomial(steps: int) -> Callable[[int], float]:
    """The learning rate's factor: from 1 down to 0 after `steps`."""
    return lambda step: max(0.0, 1 - step / steps) ** _POWER

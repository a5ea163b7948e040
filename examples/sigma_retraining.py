"""SIGMA retraining from Python.

    python examples/sigma_retraining.py

Trains a classifier on handwritten digits, makes variants of a fifth of the training images of which it has lost its
confidence, trains again from the same start with them, and compares (well below a minute on a CPU, no download). It is
one run of each, on some 230 images: small differences are chance. For all training images, from a config:

    python train.py fit --config configs/overlays/sigma.yaml
"""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor

from lit_attr.attacks import PGD
from lit_attr.corruptions import GaussianNoise
from lit_attr.datamodules import ImageDataModule, SIGMADataModule
from lit_attr.modules import Classifier

VARIANTS: dict[str, Any] = {"fraction": 0.2, "sigma": {"steps": 30, "epsilon": 0.05}}


def fit(data: L.LightningDataModule, name: str) -> tuple[Classifier, str]:
    """A classifier, always from the same start, and the file of its last weights."""
    L.seed_everything(0)
    model = Classifier("cifar_resnet8", num_classes=10, mean=[0.306], std=[0.323])
    trainer = L.Trainer(
        max_epochs=4,
        accelerator="cpu",
        logger=CSVLogger("runs", name=name),
        log_every_n_steps=10,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=data)
    checkpoint = f"{trainer.log_dir}/checkpoints/last.ckpt"
    trainer.save_checkpoint(checkpoint)
    return model.eval(), checkpoint


def accuracies(model: Classifier, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Of images as they are, with noise, and under attack."""
    changed = {
        "clean": images,
        "noise of 0.2": GaussianNoise(sigma=0.2)(images),
        "PGD, eps 0.05": PGD(eps=0.05, steps=10)(model, images, labels),
    }
    with torch.no_grad():
        return {what: float((model(inputs).argmax(1) == labels).float().mean()) for what, inputs in changed.items()}


def main() -> None:
    """Train, generate, train again, compare."""
    data = ImageDataModule("digits", size=8)
    before, checkpoint = fit(data, "without_variants")

    # The variants are made by the model of the checkpoint when the second training sets up its data, and kept in
    # `sigma_bank` beside it; each joins the training set with the label of the image that it was made from.
    joined = SIGMADataModule(ImageDataModule("digits", size=8), checkpoint=checkpoint, **VARIANTS)
    after, _ = fit(joined, "with_variants")

    images, labels = (torch.cat(parts) for parts in zip(*data.val_dataloader(), strict=True))
    without, with_them = (accuracies(model, images, labels) for model in (before, after))
    print(f"{len(joined.variants or [])} variants")
    for what in without:
        print(f"accuracy, {what}: {without[what]:.3f} without variants, {with_them[what]:.3f} with them")


if __name__ == "__main__":
    main()

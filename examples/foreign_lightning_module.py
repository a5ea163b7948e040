"""Callbacks on a LightningModule that knows nothing of lit_attr.

    python examples/foreign_lightning_module.py

The module and the data below are what you have already. Two callbacks in the Trainer measure the explanations and the
robustness at validation; scores and pictures go into `runs/foreign` (some seconds on a CPU, no download).
"""

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.loggers import CSVLogger
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lit_attr.callbacks import ExplanationCallback, RobustnessCallback


class Mine(L.LightningModule):
    """Any module whose `forward` gives logits of images in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(32 * 4 * 4, 10),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[B, 10]`; what else the network needs, such as normalisation, happens in here."""
        logits: Tensor = self.net(images)
        return logits

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:  # noqa: ARG002
        """Cross entropy of a batch."""
        images, labels = batch
        return F.cross_entropy(self(images), labels)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:  # noqa: ARG002
        """Accuracy; validation batches are (images, labels)."""
        images, labels = batch
        self.log("val/accuracy", (self(images).argmax(1) == labels).float().mean(), batch_size=len(images))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(self.parameters(), lr=3e-3)


def loaders() -> tuple[DataLoader[tuple[Tensor, ...]], DataLoader[tuple[Tensor, ...]]]:
    """Handwritten digits for training and validation, in [0, 1]."""
    found = load_digits()
    images, labels = torch.tensor(found.images).float().unsqueeze(1) / 16, torch.tensor(found.target)
    train, val = TensorDataset(images[:1500], labels[:1500]), TensorDataset(images[1500:], labels[1500:])
    return DataLoader(train, batch_size=64, shuffle=True), DataLoader(val, batch_size=64)


def main() -> None:
    """Train for three epochs and print what the callbacks have found."""
    L.seed_everything(0)
    explanations = ExplanationCallback(
        methods={"ig": {"steps": 16}, "grad_cam": {}},
        metrics={"insertion": {"steps": 16}, "deletion": {"steps": 16}},
        num_samples=32,
        num_images=2,
        every_n_epochs=2,
    )
    robustness = RobustnessCallback(
        {"pgd": {"eps": "8/255", "steps": 5}}, {"gaussian": {"sigma": 0.2}}, num_samples=64, num_images=2
    )
    trainer = L.Trainer(
        max_epochs=3,
        accelerator="cpu",
        callbacks=[explanations, robustness],
        logger=CSVLogger("runs", name="foreign"),
        log_every_n_steps=10,
        enable_progress_bar=False,
    )
    train, val = loaders()
    trainer.fit(Mine(), train, val)
    for name, value in sorted(trainer.callback_metrics.items()):
        print(f"{name}: {value:.3f}")
    print("pictures and tables:", trainer.log_dir)


if __name__ == "__main__":
    main()

"""A LightningModule and data that know nothing of lit_attr."""

import lightning as L
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Stripes(Dataset):
    """Grey 8x8 images in [0, 1]: class 1 is brighter on the left; the noise comes from the sample's number."""

    def __init__(self, size=16, random_noise=False):
        self.size, self.random_noise = size, random_noise

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        if not 0 <= index < self.size:
            raise IndexError(index)
        generator = None if self.random_noise else torch.Generator().manual_seed(index)
        image = 0.5 * torch.rand(1, 8, 8, generator=generator)
        label = index % 2
        image[:, :, : 4 if label else None] += 0.25
        image[:, :, 4 if label else 0 :] += 0.0 if label else 0.2
        return image.clamp(0, 1), label


class Foreign(L.LightningModule):
    """Everything that an evaluation could disturb: dropout, batch norm in training, and one that is frozen."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Conv2d(4, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(16, 2),
        )

    def on_train_epoch_start(self):
        self.net[1].eval()  # a frozen batch norm

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.cross_entropy(self(x + 0.01 * torch.randn_like(x)), y)

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val/loss", F.cross_entropy(self(x), y))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def loaders(size=16, random_noise=False):
    """Training and validation loaders; with `random_noise` the items draw from the global generator."""
    return (
        DataLoader(Stripes(16), batch_size=4, shuffle=True),
        DataLoader(Stripes(size, random_noise), batch_size=4),
    )


def trainer(folder, *callbacks, **settings):
    """A quiet Trainer on one CPU."""
    settings = {"max_epochs": 2, "logger": False, "num_sanity_val_steps": 0, "log_every_n_steps": 1, **settings}
    settings.setdefault("enable_progress_bar", False)
    return L.Trainer(
        accelerator="cpu",
        devices=1,
        default_root_dir=folder,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(c, L.pytorch.callbacks.ModelCheckpoint) for c in callbacks),
        callbacks=list(callbacks),
        **settings,
    )

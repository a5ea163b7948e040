"""The trainings that `sigma_training.py` compares, and the images that they are measured on."""

import json
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from lit_attr.bank import Bank
from lit_attr.callbacks import SIGMARefresh
from lit_attr.datamodules import ImageDataModule, SIGMADataModule
from lit_attr.modules import Classifier

BATCH = 128
STEPS = 100  # of a walk at most: the few that are longer would take most of the time
QUIET: dict[str, Any] = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


@dataclass(frozen=True)
class Setting:
    """Of one set of images: how many, epochs of the baseline, and at which strengths trainings are measured.

    With `published`, a file of weights beside the images, all trainings go on from these instead of a small network's
    random ones; `images` is the set that they are for.
    """

    epochs: int
    train: int
    test: int
    first_stride: int
    noise: float
    eps: float
    sigmas: tuple[float, ...]
    radii: tuple[float, ...]
    lr: float = 5e-3
    images: str | None = None
    published: str | None = None


SETS = {
    "digits": Setting(16, 1298, 499, 1, 0.2, 0.1, (0.1, 0.2, 0.3, 0.4, 0.5), (0.05, 0.1, 0.15)),
    "mnist": Setting(10, 2000, 500, 2, 0.2, 0.1, (0.1, 0.2, 0.3, 0.4, 0.5), (0.05, 0.1, 0.15)),
    "fashion_mnist": Setting(40, 300, 150, 2, 0.1, 0.05, (0.05, 0.1, 0.2, 0.3, 0.4), (0.0125, 0.025, 0.05)),
    "cifar10": Setting(10, 4000, 500, 2, 0.1, 8 / 255, (0.05, 0.1, 0.15, 0.2, 0.3), (2 / 255, 4 / 255, 8 / 255)),
    "cifar_resnet20": Setting(
        *(3, 1000, 300, 1, 0.1, 0.008, (0.05, 0.1, 0.15, 0.2, 0.3), (0.002, 0.004, 0.008)),
        lr=1e-3,
        images="cifar10",
        published="resnet20.pt",
    ),
}


@dataclass(frozen=True)
class Recipe:
    """A training.

    Attributes:
        length: in epochs of the baseline.
        noise: join a noisy copy of each image, drawn anew in every epoch, of so many times the set's sigma.
        matched: instead of that, noise as far away from the images as the variants of "SIGMA" are in the mean.
        adversarial: train against PGD of the set's eps.
        sigma: settings of `SIGMADataModule`; None for no variants.
        refresh: make the variants anew so many times in a training.
    """

    length: int = 1
    noise: float = 0.0
    matched: bool = False
    adversarial: bool = False
    sigma: Mapping[str, Any] | None = None
    refresh: int = 0


TRAININGS = {
    "baseline": Recipe(),
    "baseline, as long": Recipe(length=3),
    "noise": Recipe(noise=1),
    "SIGMA": Recipe(sigma={}),
    "PGD-AT": Recipe(adversarial=True),
}
SWEEP = {
    "noise, half": Recipe(noise=0.5),
    "noise, double": Recipe(noise=2),
    "noise, as far as SIGMA": Recipe(matched=True),
    "SIGMA, of a quarter": Recipe(sigma={"fraction": 0.25}),
    "SIGMA, two paths": Recipe(sigma={"sigma": {"paths": 2}, "ratio": 2.0}),
    "SIGMA, epsilon 0.5": Recipe(sigma={"sigma": {"epsilon": 0.5}}),
    "SIGMA, epsilon 0.2": Recipe(sigma={"sigma": {"epsilon": 0.2}}),
    "SIGMA, binary": Recipe(sigma={"sigma": {"pattern": "binary"}}),
    "SIGMA, no rescale": Recipe(sigma={"sigma": {"rescale": False}}),
    "SIGMA, small steps": Recipe(sigma={"sigma": {"alpha": 0.03}}),
    "SIGMA, large steps": Recipe(sigma={"sigma": {"alpha": 1.0}}),
    "SIGMA, refreshed 3 times": Recipe(sigma={}, refresh=3),
    "SIGMA and noise": Recipe(noise=1, sigma={}),
}


class Small(nn.Sequential):
    """Three convolutions, 24 thousand parameters: many trainings on one core."""

    def __init__(self, channels: int, first_stride: int) -> None:
        layers: list[nn.Module] = []
        for width, stride in [(16, first_stride), (32, 2), (64, 2)]:
            layers += [nn.Conv2d(channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


class Parts(NamedTuple):
    """Images [N, C, H, W] in [0, 1] and labels, of the training and of what is measured."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor


def read(name: str, root: Path) -> Parts:
    """The embedded digits (measured on all that is not trained on), or a folder with arrays `images` and `labels`.

    A folder has train*.npz and test*.npz; of a single file every third image is measured.
    """
    setting = SETS[name]
    if name == "digits":
        data = ImageDataModule("digits", size=8)
        data.setup()
        sets = (data.train_dataset, data.val_dataset, data.test_dataset)
        train, *rest = [_stacked(one) for one in sets]
        test = tuple(torch.cat(both) for both in zip(*rest, strict=True))
    else:
        files = [np.load(path) for path in sorted((root / (setting.images or name)).glob("*.npz"))]
        found = [_arrays(file) for file in files if "images" in file]
        if len(found) == 1:
            third = torch.arange(len(found[0][1])) % 3 == 0
            train, test = (tuple(part[rows] for part in found[0]) for rows in (~third, third))
        else:
            test, train = found  # in the order of their names
    order = torch.randperm(len(train[1]), generator=torch.Generator().manual_seed(0))[: setting.train]
    return Parts(*(part[order] for part in train), *(part[: setting.test] for part in test))


class Images(L.LightningDataModule):
    """The training part; with noise, half of each batch are noisy copies of the other half, drawn anew every time."""

    def __init__(self, parts: Parts, noise: float) -> None:
        super().__init__()
        self.parts, self.noise, self.num_classes = parts, noise, 10

    def train_dataloader(self) -> DataLoader[Any]:
        dataset = TensorDataset(self.parts.train, self.parts.train_labels)
        return DataLoader(dataset, BATCH // 2 if self.noise else BATCH, shuffle=True)

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:  # noqa: ARG002
        if not self.noise:
            return batch
        images, labels = batch
        noisy = (images + self.noise * torch.randn_like(images)).clamp(0, 1)
        return torch.cat([images, noisy]), labels.repeat(2)


@dataclass
class Trained:
    """The last weights, the seconds that they took, and what is known of the variants."""

    model: Classifier
    seconds: float
    facts: dict[str, float] = field(default_factory=dict)


def new(name: str, parts: Parts, root: Path, adversarial: Mapping[str, Any] | None) -> Classifier:
    """The network that all trainings of a seed begin with."""
    setting = SETS[name]
    settings: dict[str, Any] = {"adversarial": adversarial, "lr": setting.lr}
    if setting.published:
        return Classifier(name, 10, weights=str(root / str(setting.images) / setting.published), **settings)
    mean, std = parts.train.mean((0, 2, 3)).tolist(), parts.train.std((0, 2, 3)).tolist()
    return Classifier(Small(parts.train.shape[1], setting.first_stride), 10, mean, std, **settings)


def trained(name: str, recipe: Recipe, parts: Parts, seed: int, *, root: Path, folder: Path) -> Trained:
    """One training from the weights of a seed; the baseline's checkpoint of that seed is what variants are made of."""
    setting, start, seconds = SETS[name], folder / f"baseline_{seed}.ckpt", folder / f"baseline_{seed}.seconds"
    facts: dict[str, float] = {}
    if recipe.sigma is not None and not start.exists():
        trained(name, TRAININGS["baseline"], parts, seed, root=root, folder=folder)
    began = time.perf_counter()
    L.seed_everything(seed, verbose=False)
    adversarial = {"class": "pgd_at", "eps": setting.eps} if recipe.adversarial else None
    model = new(name, parts, root, adversarial)
    noise = recipe.noise * setting.noise
    if recipe.matched:
        noise = json.loads((folder / f"SIGMA_{seed}.json").read_text())["facts"]["rms"]
    data: L.LightningDataModule = Images(parts, noise)
    epochs, callbacks = recipe.length * setting.epochs, list[L.Callback]()
    every = 0
    with tempfile.TemporaryDirectory() as place:
        if recipe.sigma is not None:
            walks = {"steps": STEPS, "seed": seed} | recipe.sigma.get("sigma", {})
            settings = {**recipe.sigma, "sigma": walks, "seed": seed}
            data = SIGMADataModule(data, f"{place}/bank", str(start), **settings)
            every = -(-epochs // (recipe.refresh + 1)) if recipe.refresh else 0
            callbacks.append(SIGMARefresh(every))
        trainer = L.Trainer(
            max_epochs=epochs,
            callbacks=callbacks,
            reload_dataloaders_every_n_epochs=every,
            accelerator="cpu",
            **QUIET,
        )
        trainer.fit(model, datamodule=data)
        if isinstance(data, SIGMADataModule):
            facts = told_of(Bank(data.folder), parts)
    took = time.perf_counter() - began
    if recipe == TRAININGS["baseline"]:
        trainer.save_checkpoint(start)
        seconds.write_text(str(took))
    elif recipe.sigma is not None:
        took += float(seconds.read_text())
    return Trained(model.eval(), took, facts)


def told_of(bank: Bank, parts: Parts) -> dict[str, float]:
    """Of the variants: how many reached epsilon, their steps, their distance (root of the mean square of a value)."""
    walked = bank.columns["steps"] > 0
    rms = bank.columns["l2"][walked] / parts.train[0].numel() ** 0.5
    found = {"reached": bank.columns["reached"], "steps": bank.columns["steps"], "rms": rms}
    return {name: float(values.double().mean()) for name, values in found.items()}


def _stacked(dataset: Any) -> tuple[Tensor, Tensor]:
    items = [dataset[i] for i in range(len(dataset))]
    return torch.stack([image for image, _ in items]), torch.tensor([label for _, label in items])


def _arrays(file: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    images = torch.from_numpy(file["images"])
    images = images[:, None] if images.dim() == 3 else images.movedim(3, 1)
    return images.float() / 255, torch.from_numpy(file["labels"].astype(np.int64))

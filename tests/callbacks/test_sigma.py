"""A bank that follows the model in training."""

import csv
from types import SimpleNamespace

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.loggers import CSVLogger
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from _reference.foreign import trainer
from lit_attr.attribution import SIGMA
from lit_attr.bank import Bank, build_bank, model_hash
from lit_attr.callbacks import SIGMARefresh
from lit_attr.datamodules import SIGMADataModule
from lit_attr.loggers import WandbLogger

IMAGES = 0.2 + 0.6 * torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(0))
LABELS = (IMAGES.flatten(1).mean(1) > 0.5).long()


class Net(L.LightningModule):
    """Sure of what is brighter than one half; notes its weights and the samples of each epoch."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(16, 2)
        with torch.no_grad():
            self.layer.weight.copy_(torch.tensor([[-1.0], [1.0]]).expand(2, 16))
            self.layer.bias.copy_(torch.tensor([8.0, -8.0]))
        self.samples, self.hashes = [], []

    def forward(self, images):
        return self.layer(images.flatten(1))

    def on_train_epoch_start(self):
        self.samples.append(set())

    def training_step(self, batch, batch_idx):
        self.samples[-1] |= {tuple((image * 255).round().int().flatten().tolist()) for image in batch[0]}
        return F.cross_entropy(self(batch[0]), batch[1])

    def on_train_epoch_end(self):
        self.hashes.append(model_hash(self.state_dict()))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class Data(L.LightningDataModule):
    def train_dataloader(self):
        return DataLoader(TensorDataset(IMAGES, LABELS), batch_size=4, shuffle=True)


@pytest.fixture
def folder(tmp_path):
    build_bank(tmp_path / "bank", Net(), list(zip(IMAGES, LABELS.tolist(), strict=True)), sigma=SIGMA(paths=1, steps=9))
    return tmp_path / "bank"


def fit(folder, every, epochs, **settings):
    data = SIGMADataModule(Data(), str(folder), reached_only=False, sigma={"steps": 9})
    fitter = trainer(folder.parent, SIGMARefresh(every), max_epochs=epochs, **settings)
    net = Net()
    fitter.fit(net, datamodule=data)
    return net, data


def variants(folder):
    bank = Bank(folder)
    numbers = (bank.columns["steps"] > 0).nonzero()[:, 0].tolist()
    return {tuple(bank.image(number).int().flatten().tolist()) for number in numbers}


def test_variants_are_those_of_the_model_in_training(folder):
    net, data = fit(folder, 2, 5, reload_dataloaders_every_n_epochs=1)
    refreshed = [folder.with_name(f"bank_epoch_000{epoch}") for epoch in (2, 4)]
    assert sorted(path.name for path in folder.parent.glob("bank*")) == ["bank", *(path.name for path in refreshed)]
    assert data.folder == refreshed[-1]
    for epoch, path in zip((2, 4), refreshed, strict=True):
        assert Bank(path).origin["model"] == net.hashes[epoch - 1]
        assert variants(path) <= net.samples[epoch]
    assert variants(folder) <= net.samples[0]
    assert net.samples[0] == net.samples[1]
    assert not variants(refreshed[0]) <= net.samples[1]
    assert not variants(refreshed[0]) <= net.samples[4]


@pytest.mark.parametrize("precision", ["bf16-true", "64-true"])
def test_the_model_in_training_may_have_another_precision(folder, precision):
    net, data = fit(folder, 1, 2, reload_dataloaders_every_n_epochs=1, precision=precision)
    assert data.folder == folder.with_name("bank_epoch_0001")
    assert net.layer.weight.dtype != torch.float32
    assert variants(data.folder) and not variants(data.folder) <= net.samples[0]


def test_the_last_two_are_kept(folder):
    fit(folder, 1, 5, reload_dataloaders_every_n_epochs=1)
    assert sorted(path.name for path in folder.parent.glob("bank*")) == ["bank", "bank_epoch_0003", "bank_epoch_0004"]


def test_off_by_default(folder):
    net, data = fit(folder, 0, 3)
    assert data.folder == folder
    assert net.samples[0] == net.samples[2]
    assert SIGMARefresh().every_n_epochs == 0


def test_what_the_variants_are_like_is_logged_each_epoch(folder):
    logger = CSVLogger(folder.parent, name="a", version=0)
    _, data = fit(folder, 0, 2, logger=logger)
    with (folder.parent / "a/version_0/metrics.csv").open(newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["train/sigma/variants"]]
    bank = Bank(folder).columns
    assert len(data.variants) == 8
    known = {"variants": 8.0, "reached": bank["reached"].double().mean(), "l2": bank["l2"].double().mean()}
    assert [int(line["epoch"]) for line in lines] == [0, 1]
    for name, value in known.items():
        assert float(lines[0][f"train/sigma/{name}"]) == pytest.approx(float(value), rel=1e-5)


def test_the_config_of_a_run_has_the_number_of_variants(folder):
    _, data = fit(folder, 0, 1)
    told, logger = {}, WandbLogger()
    config = SimpleNamespace(update=lambda values, **_: told.update(values))
    logger._experiment = SimpleNamespace(config=config)
    for zero, known in [(False, {}), (True, {"sigma_variants": 8})]:
        fitter = SimpleNamespace(datamodule=data, is_global_zero=zero, loggers=[logger])
        SIGMARefresh().on_train_start(fitter, None)
        assert told == known


def test_the_model_is_left_in_training(folder):
    """And its weights are those without a refresh that changes no sample: with a ratio of zero."""
    weights = []
    for every in (0, 1):
        torch.manual_seed(0)
        data = SIGMADataModule(Data(), str(folder), ratio=0.0, sigma={"steps": 3})
        fitter = trainer(folder.parent, SIGMARefresh(every), max_epochs=3, reload_dataloaders_every_n_epochs=1)
        net = Net()
        fitter.fit(net, datamodule=data)
        weights.append(net.state_dict())
        assert net.layer.weight.requires_grad
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.parametrize("reload", [0, 2])
def test_a_trainer_that_keeps_its_loader_is_refused(folder, reload):
    with pytest.raises(ValueError, match=r"`trainer.reload_dataloaders_every_n_epochs` must be 3 \(or what divides"):
        fit(folder, 3, 4, reload_dataloaders_every_n_epochs=reload)


def test_other_data_are_refused(tmp_path):
    fitter = trainer(tmp_path, SIGMARefresh(1), reload_dataloaders_every_n_epochs=1)
    with pytest.raises(ValueError, match="`datamodule` must be a SIGMADataModule, where banks are refreshed, got Data"):
        fitter.fit(Net(), datamodule=Data())
    with pytest.raises(ValueError, match="`every_n_epochs` must be an integer of at least 0, got -1"):
        SIGMARefresh(-1)

"""Adversarial training by hand: batches, steps, and the samples that an attack would be asked for."""

import copy

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from _reference.foreign import trainer
from lit_attr.modules import Classifier, TrainingBatch


class Net(nn.Module):
    """Grey 6x6 images to three classes, with batch norm."""

    def __init__(self, norm=True):
        super().__init__()
        middle = nn.BatchNorm2d(4) if norm else nn.Identity()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), middle, nn.Tanh(), nn.Flatten(), nn.Linear(64, 3))

    def forward(self, x):
        return self.body(x)


class Plain(Classifier):
    """With an optimiser whose steps are easily written by hand."""

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def plain(adversarial, norm=True, **settings):
    return Plain(Net(norm), 3, mean=[0.5], std=[0.25], adversarial=adversarial, **settings)


def data(count=8):
    generator = torch.Generator().manual_seed(5)
    return torch.rand(count, 1, 6, 6, generator=generator), torch.arange(count) % 3


def batch(**settings):
    """A model in training and a batch of it."""
    model = Net().train()
    images, labels = data()
    return TrainingBatch(model=model, images=images, labels=labels, **settings)


def fit(folder, module, images, labels, *callbacks, size=8, **settings):
    settings = {"max_epochs": 1, "limit_val_batches": 0, **settings}
    fitter = trainer(folder, *callbacks, **settings)
    fitter.fit(module, DataLoader(TensorDataset(images, labels), batch_size=size))
    return fitter


def by_hand(module, losses, updates=1):
    """A module after steps of SGD, rate 0.1, down the losses `module -> loss`, each so many times in a row."""
    twin = copy.deepcopy(module).train()
    for loss in losses:
        for _ in range(updates):
            twin.zero_grad()
            loss(twin).backward()
            with torch.no_grad():
                for parameter in twin.parameters():
                    parameter.sub_(0.1 * parameter.grad)
    return twin


def assert_same(one, other, **tolerance):
    states = one.state_dict(), other.state_dict()
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], **tolerance, msg=lambda text, name=name: f"{name}: {text}")

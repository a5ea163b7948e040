"""A bank that is made in a moment, or in longer."""

import time
from pathlib import Path

import torch
from torch import nn

from lit_attr.attribution import SIGMA
from lit_attr.bank import build_bank

SIGMA_SETTINGS = SIGMA(paths=2, steps=30, epsilon=0.2)


def samples(count=22, size=4):
    """Images with the classes that `net` sees in them."""
    images = 0.1 + 0.7 * torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))
    return list(zip(images, net(size)(images).argmax(1).tolist(), strict=True))


def net(size=4, pause=0.0):
    """Confidences that fall in a few steps, for some walks below 0.2; `pause` seconds longer in every pass."""
    generator = torch.Generator().manual_seed(0)
    found = nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 3))
    with torch.no_grad():
        found[1].weight.copy_(torch.randn(found[1].weight.shape, generator=generator))
        found[1].bias.zero_()
    if pause:
        found.register_forward_hook(lambda *_: time.sleep(pause))
    return found


def make(folder, **settings):
    """The bank of these samples, in shards of four sources."""
    return build_bank(folder, settings.pop("model", net()), samples(), sigma=SIGMA_SETTINGS, shard_size=8, **settings)


def content(folder):
    """Every file of a bank, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def make_slowly(folder):
    make(Path(folder), model=net(pause=0.01))


def make_as_a_rank(rank, folder):
    make(Path(folder))

"""A small benchmark whose forward passes are counted, and that can be stopped at any of them."""

import torch
from torch import nn

from lit_attr.attribution import IntegratedGradients, Saliency
from lit_attr.benchmark import Batch, Benchmark, Store
from lit_attr.benchmark.controls import RandomMap
from lit_attr.metrics import Deletion, Infidelity, Insertion, MaxSensitivity

KEYS = [f"sample{i}" for i in range(7)]
EDGES = (0.54,)


class StoppedError(Exception):
    """Instead of a kill, in the same process."""


class Counting(nn.Module):
    """Three classes of grey 4x4 images, float64; counts the images that it sees and stops before the `stop`-th pass."""

    def __init__(self, stop=None, end=None):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.weight = nn.Parameter(torch.randn(16, 3, generator=generator, dtype=torch.float64))
        self.images = self.passes = 0
        self.stop, self.end = stop, end or self._raise

    @staticmethod
    def _raise():
        raise StoppedError

    def forward(self, x):
        if self.passes == self.stop:
            self.end()
        self.passes += 1
        self.images += len(x)
        return torch.tanh(x.flatten(1)) @ self.weight


def images():
    return torch.rand(len(KEYS), 1, 4, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


def batches(size=3, keys=KEYS, drawn=1):
    """The named samples in batches of `size`; the first `drawn` are drawn."""
    every = images()
    for start in range(0, len(keys), size):
        names = keys[start : start + size]
        rows = [KEYS.index(name) for name in names]
        yield Batch(every[rows], names, None, None, [f"label{row}" for row in rows], [row < drawn for row in rows])


def benchmark(**changed):
    settings = {
        "methods": {"saliency": Saliency(), "ig": IntegratedGradients(steps=3)},
        "metrics": {
            "insertion": Insertion(steps=4),
            "deletion": Deletion(steps=4),
            "infidelity": Infidelity(samples=3),
            "max_sensitivity": MaxSensitivity(draws=2, bounds=None),
        },
        "controls": {"random": RandomMap()},
    }
    return Benchmark(**{**settings, **changed})


def run(folder, model=None, size=3, asked=None, keys=KEYS, **more):
    """Run in a folder; the identities of the samples and the store."""
    model, store = model or Counting(), Store(folder, {"model": "counting"})
    store.claim()
    samples = (asked or benchmark()).run(model, batches(size, keys), keys, store, **more)
    return samples, store

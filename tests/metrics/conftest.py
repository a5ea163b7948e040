"""Small models for the tests of metrics."""

import numpy as np
import pytest
import torch
from torch import nn


class Counting(nn.Module):
    """Counts the samples that pass through a model, and the most in one pass."""

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.samples = self.largest = 0

    def forward(self, inputs):
        self.samples += len(inputs)
        self.largest = max(self.largest, len(inputs))
        return self.model(inputs)


def make_cnn(channels=3, classes=5, dtype=torch.float64):
    torch.manual_seed(0)
    layers = [nn.Conv2d(channels, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, classes)]
    model = nn.Sequential(*layers).to(dtype).eval()
    with torch.no_grad():
        model[-1].weight.mul_(8)  # far from uniform, so that curves have a shape
    return model


def plain_curve(model, image, target, ranking, fill, steps, path):
    """The scores of one image and the shares of changed pixels, one pixel after the other.

    The loop of RISE's `CausalMetric.single_run`, with the cut points floor(j N / T), T at most N, and ties by index.
    `ranking` and `fill` are NumPy arrays [H, W] and [C, H, W].
    """
    image = image.numpy().copy()
    width = ranking.shape[1]
    values = ranking.reshape(-1)
    order = sorted(range(values.size), key=lambda p: (-values[p], p))
    total = len(order)
    steps = min(steps, total)
    current, finish = (fill.copy(), image) if path == "insertion" else (image, fill)

    def score():
        with torch.no_grad():
            return float(model(torch.from_numpy(current)[None]).softmax(1)[0, target])

    scores, shares, done = [score()], [0.0], 0
    for j in range(1, steps + 1):
        cut = j * total // steps
        for position in order[done:cut]:
            y, x = divmod(position, width)
            current[:, y, x] = finish[:, y, x]
        done = cut
        scores.append(score())
        shares.append(cut / total)
    return np.array(scores), np.array(shares)


def plain_area(scores, shares):
    return sum((b - a) * (f + g) / 2 for a, b, f, g in zip(shares, shares[1:], scores, scores[1:], strict=False))


@pytest.fixture
def counting():
    return Counting


@pytest.fixture
def cnn():
    return make_cnn


@pytest.fixture
def plain():
    """The slow reference: scores and area."""

    def run(model, image, target, ranking, fill, steps, path):
        scores, shares = plain_curve(model, image, target, ranking, fill, steps, path)
        return plain_area(scores, shares)

    return run


@pytest.fixture
def batch():
    """Images in [0, 1] and a signed attribution of them, float64."""

    def make(size=4, channels=3, height=6, width=6, seed=1):
        generator = torch.Generator().manual_seed(seed)
        images = torch.rand(size, channels, height, width, generator=generator, dtype=torch.float64)
        return images, torch.randn(size, channels, height, width, generator=generator, dtype=torch.float64)

    return make

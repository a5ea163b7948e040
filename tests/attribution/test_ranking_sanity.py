"""Check N19: on a trained network every method finds what the prediction rests on, with the right sign."""

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

from _reference.methods import ALL, build
from lit_attr.attribution import METHODS
from lit_attr.metrics import Evaluation, Insertion

# Defaults where the few steps of the other tests are too few to say anything.
ENOUGH = {
    "agi": {"classes": 5, "steps": 10, "alpha": 0.05},
    "attexplore": {"copies": 5, "steps": 10},
    "big": {"alpha": 0.02},  # every sample has a boundary
    "expected_gradients": {"references": "uniform", "samples": 30},
    "dea": {"grid": 8, "fill": 0.0},
    "isa": {"rounds": 8},
    "laai": {"explorations": 5, "steps": 10, "alpha": 0.02},
    "mfaba": {"steps": 40, "alpha": 0.02, "eps": None},
    "occlusion": {"grid": 8, "fill": 0.0},
    "rise": {"masks": 500, "cells": 4},
    "sigma": {"paths": 4, "steps": 100},
}
CLEARLY = {"agi", "fast_ig", "ig", "laai", "mfaba"}  # by the margin that the check asks of these
UNSIGNED = {"dea", "isa", "occlusion", "rise", "saliency"}  # their negative says less
TOO_COARSE = {"grad_cam", "xres_cam"}  # for 8x8 pixels: scattered ones show a digit better than a region does


@pytest.fixture(scope="module")
def trained():
    """A small convolutional network, and digits that it is sure of."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        digits = load_digits()
        images = torch.from_numpy(digits.images).float()[:, None] / 16
        labels = torch.from_numpy(digits.target)
        layers = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU()]
        net = nn.Sequential(*layers, nn.AvgPool2d(4), nn.Flatten(), nn.Linear(32 * 4, 10))
        optimiser = torch.optim.Adam(net.parameters(), 5e-3)
        for _ in range(15):
            for rows in torch.randperm(1500).split(64):
                optimiser.zero_grad()
                F.cross_entropy(net(images[rows]), labels[rows]).backward()
                optimiser.step()
        net.eval()
        sure = net(images[1500:]).softmax(1).amax(1) > 0.9
        return net, images[1500:][sure][:40]


@pytest.mark.parametrize("name", [name for name in ALL if name not in TOO_COARSE])
def test_insertion_is_better_than_random_and_worse_than_random_upside_down(name, trained):
    net, images = trained
    method = METHODS.build(name, ENOUGH[name]) if name in ENOUGH else build(name)
    if name == "fundamental":
        method = METHODS.build(name, {"steps": 40})
    attribution = method(net, images)
    batch = Evaluation(net, images)

    def insertion(values):
        metric = Insertion(steps=16)
        metric.update(net, images, None, values, evaluation=batch)
        return float(metric.compute())

    found, random = insertion(attribution), insertion(torch.rand(images.shape))
    margin = 0.1 if name in CLEARLY else 0.03
    assert found > random + margin
    if name not in UNSIGNED:
        assert insertion(-attribution) < random - margin

"""Every registered attribution method with few steps, for tests of what all of them promise.

A method that is registered takes part by itself, with its defaults; it gets an entry below where those are slow, or
where it does not promise what the others do.
"""

import torch

from lit_attr.attribution import METHODS


def background(shape):
    """References for samples of any shape and range, as the noise that is the default is for images only."""
    return torch.rand((3, *shape), generator=torch.Generator().manual_seed(0), dtype=torch.float64)


SMALL = {
    "agi": {"steps": 3, "alpha": 1 / 255},
    "attexplore": {"steps": 3, "copies": 2},
    "big": {"steps": 5, "search_steps": 3},
    "dea": {"grid": 3},
    "expected_gradients": {"samples": 5, "references": background},
    "fundamental": {"steps": 3},
    "guided_ig": {"steps": 5, "baseline": 0.3},  # not zero, where `Detour` has kinks and the walk would begin
    "ig": {"steps": 5},
    "isa": {"rounds": 3, "ascent_steps": 2, "descent_steps": 3},
    "la": {"steps": 3},
    "laai": {"steps": 3},
    "mfaba": {"steps": 3},
    "occlusion": {"grid": 3},
    "rise": {"masks": 20, "cells": 3},
    "sigma": {"paths": 2, "steps": 3, "epsilon": 0.0},  # some classes have little confidence to lose
    "smoothgrad": {"samples": 5},
}
UNENDING = {  # walks that go all their steps
    "agi": {"alpha": 1e-9},
    "big": {"alpha": 1e-9, "bisections": 0},  # what it bisects has ended
    "mfaba": {"early_stop": False},
    "sigma": {"epsilon": 0.0},
}
ON_IMAGES_ONLY = {
    "dea",
    "grad_cam",
    "hires_cam",
    "occlusion",
    "rise",
    "xres_cam",
}  # explain places of an image, [B, 1, H, W]
# not one path, so no end point
WITHOUT_END = ON_IMAGES_ONLY | {"expected_gradients", "isa", "saliency", "smoothgrad"}
AROUND_THE_ORIGIN = {"la"}  # first-order changes around the input, which do not add up along the way
SHARED = {"sigma"}  # changes of the probability, shared out as the gradient is: not moves times gradients
BY_DIFFERENCES = {
    "dea",
    "occlusion",
    "sigma",
}  # between probabilities that lie closer to each other than half precision can tell
OF_ANY_SCALE = {"dea", "isa", "sigma"}  # of the gradient only its sign and its proportions count
ANY_CLASS = {"laai"}  # explain the certainty of the model, whatever the class

ALL = METHODS.names()
WALKS = [name for name in ALL if hasattr(METHODS.get(name), "bounds")]  # their moves have the signs of gradients


def claiming(axiom):
    """The methods that claim an axiom in the README's table, by its letter."""
    return [name for name in ALL if axiom in METHODS.get(name).ABOUT.axioms]


ON_VECTORS = [name for name in ALL if name not in ON_IMAGES_ONLY]
WITH_DUMMY_AXIOM = claiming("D")
WITH_END = [name for name in ALL if name not in WITHOUT_END | AROUND_THE_ORIGIN | SHARED]


def build(name, **settings):
    return METHODS.build(name, SMALL.get(name, {}) | settings)

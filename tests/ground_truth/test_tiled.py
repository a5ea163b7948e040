"""What lies outside the tile of a class cannot have any effect on it."""

import pytest
import torch

from _reference.nets import cnn
from lit_attr.attribution import RISE, IntegratedGradients
from lit_attr.ground_truth import Tiled

IMAGES = torch.rand(2, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
INDEX = torch.tensor([1, 3 * 3 + 2])  # class 1 of the first tile, class 2 of the last


def test_a_tile_is_classified_as_if_it_were_alone():
    net = cnn()
    model = Tiled(net)
    found = model(IMAGES).view(2, 2, 2, 3)
    for row in range(2):
        for column in range(2):
            tile = IMAGES[:, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
            torch.testing.assert_close(found[:, row, column], net(tile))


def test_attribution_outside_the_tile():
    """Exactly nothing by gradients; by RISE, whose masks go across the tiles, most of it: a known false attribution."""
    model = Tiled(cnn())
    model(IMAGES)
    inside = model.tile_of(INDEX, 16, 16)
    assert inside.sum((1, 2)).tolist() == [64, 64]
    assert bool(inside[0, :8, :8].all())
    assert bool(inside[1, 8:, 8:].all())
    ig = IntegratedGradients(steps=4)(model, IMAGES, INDEX).abs().sum(1)
    assert not ig[~inside].any()
    assert bool(ig[inside].any())
    rise = RISE(masks=50, cells=4)(model, IMAGES, INDEX)[:, 0].abs()
    assert float(rise[~inside].sum() / rise.sum()) > 0.5


def test_refusals():
    with pytest.raises(ValueError, match="`images` must be of sides that 3 divides, got 16 x 16"):
        Tiled(cnn(), tiles=3)(IMAGES)
    with pytest.raises(RuntimeError, match="run the model first"):
        Tiled(cnn()).tile_of(INDEX, 16, 16)
    with pytest.raises(ValueError, match="`tiles` must be a positive integer, got 0"):
        Tiled(cnn(), tiles=0)

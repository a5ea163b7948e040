"""What is on the panel of an attacked sample."""

import dataclasses

import numpy as np
import pytest
import torch

from lit_attr.visual import AttackedSample, draw_attacked
from lit_attr.visual.panel import CELL, HEAD, SIDE


def sample(**changes):
    torch.manual_seed(0)
    image = torch.full((1, 8, 8), 0.5)
    adversarial = image.clone()
    adversarial[0, 0, 0], adversarial[0, 7, 7], adversarial[0, 0, 7] = 0.6, 0.4, 0.55
    predictions = (("seven", 0.9), ("one", 0.8))
    return dataclasses.replace(AttackedSample(image, adversarial, 3, "seven", "pgd 8/255", predictions), **changes)


def cell(picture, number):
    left = number * CELL + (CELL - SIDE) // 2
    return picture[HEAD : HEAD + SIDE, left : left + SIDE]


def test_clean_adversarial_and_the_difference_magnified():
    clean, adversarial, difference = (cell(draw_attacked(sample()), i) for i in range(3))
    assert (clean == 128).all()
    assert adversarial[0, 0].tolist() == [153] * 3
    assert adversarial[-1, -1].tolist() == [102] * 3
    assert difference[0, 0].tolist() == [255] * 3  # the largest addition
    assert difference[-1, -1].tolist() == [0] * 3  # as much taken away
    assert difference[0, -1].tolist() == [191] * 3  # half of it
    assert difference[SIDE // 2, SIDE // 2].tolist() == [128] * 3  # nothing


def test_nothing_changed_is_grey():
    picture = draw_attacked(sample(adversarial=torch.full((1, 8, 8), 0.5)))
    assert (cell(picture, 2) == 128).all()


def test_maps_take_two_more_cells_and_similarity_is_written_below():
    maps = torch.zeros(1, 8, 8), torch.zeros(1, 8, 8)
    maps[0][0, 0, 0] = maps[1][0, 7, 7] = 1.0
    numbers = {"spearman": 0.5, "ssim": 0.25}
    picture = draw_attacked(sample(maps=maps, method="ig", similarity=numbers))
    assert picture.shape[1] == 5 * CELL
    before, after = cell(picture, 3), cell(picture, 4)
    red = (int(before[0, 0][0]) - int(before[0, 0][2]), int(before[-1, -1][0]) - int(before[-1, -1][2]))
    assert red[0] > 60 > abs(red[1])
    assert int(after[-1, -1][0]) - int(after[-1, -1][2]) > 60
    below = HEAD + SIDE + 1, slice(None)
    without = draw_attacked(sample(maps=maps, method="ig", similarity={}))
    assert np.any(picture[below[0] :, 4 * CELL :] != 255)
    assert not np.any(without[below[0] :, 4 * CELL :] != 255)


def test_sizes_must_agree():
    with pytest.raises(ValueError, match=r"`adversarial` must be of the image's size \(8, 8\), got shape \(1, 4, 4\)"):
        sample(adversarial=torch.zeros(1, 4, 4))
    with pytest.raises(ValueError, match="`maps` must be of the image's size"):
        sample(maps=(torch.zeros(1, 8, 8), torch.zeros(1, 8, 7)))

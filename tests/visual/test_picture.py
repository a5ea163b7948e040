"""The quick picture of one explanation."""

import itertools

import numpy as np
import pytest
import torch

from lit_attr._checks import ArgumentError
from lit_attr.visual import overlay, picture
from lit_attr.visual.images import to_picture


def test_input_stands_beside_its_map():
    generator = torch.Generator().manual_seed(0)
    image, values = torch.rand(3, 224, 224, generator=generator), torch.rand(224, 224, generator=generator)
    array = picture(image, values, "cat 98%")
    assert array.dtype == np.uint8
    assert array.shape == (244, 454, 3)
    assert np.array_equal(array[20:, :224], to_picture(image))
    assert (array[:20] < 128).any()  # the title


@pytest.mark.parametrize(("side", "shown"), [(8, 160), (28, 168), (100, 200), (160, 160)])
def test_small_images_grow_by_a_whole_factor(side, shown):
    image = torch.rand(1, side, side)
    array = picture(image, image)
    assert array.shape == (shown + 20, 2 * shown + 6, 3)
    assert np.array_equal(array[20 :: shown // side, : shown : shown // side], to_picture(image))


def test_the_note_of_a_zero_map_is_written():
    image = torch.rand(3, 32, 32)
    array = picture(image, torch.zeros(3, 32, 32))
    assert (array[:20] < 128).any()
    assert np.array_equal(array[20::5, 166::5], overlay(image, torch.zeros(32, 32)))


def test_the_scale_is_written():
    image = torch.rand(3, 32, 32)
    ramp = torch.arange(1024.0).view(32, 32)
    lines = [picture(image, values)[:20] for values in (ramp, 2 * ramp, ramp - 500)]
    assert all((line < 128).any() for line in lines)
    assert not any(np.array_equal(one, other) for one, other in itertools.pairwise(lines))


def test_letters_grow_with_the_picture():
    image = torch.rand(1, 1000, 1000)
    assert picture(image, image).shape == (1040, 2006, 3)


def test_a_map_of_another_size_is_refused():
    with pytest.raises(ArgumentError, match="of the image's size"):
        picture(torch.zeros(3, 8, 8), torch.rand(3, 4, 4))

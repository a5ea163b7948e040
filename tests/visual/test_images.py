"""Any image tensor becomes 8-bit RGB; a PNG is there whole or not at all."""

import numpy as np
import pytest
import torch
from PIL import Image

from lit_attr._checks import ArgumentError
from lit_attr.visual.images import save_png, to_picture


def test_unit_range_is_kept_and_channels_come_last():
    image = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1).expand(3, 2, 4)
    picture = to_picture(image)
    assert picture.shape == (2, 4, 3)
    assert picture.dtype == np.uint8
    assert picture[1, 3].tolist() == [0, 128, 255]


def test_one_channel_is_grey():
    assert to_picture(torch.full((1, 1, 1), 0.2)).tolist() == [[[51, 51, 51]]]


@pytest.mark.parametrize("channels", [2, 4, 12])
def test_other_channel_counts_show_the_mean(channels):
    image = torch.linspace(0, 0.8, channels).view(-1, 1, 1)
    assert to_picture(image).tolist() == [[[102, 102, 102]]]


def test_normalised_image_is_stretched_to_its_extremes():
    image = torch.tensor([[[-2.0, 0.0, 2.0]]])
    assert to_picture(image)[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize("value", [7.0, float("nan"), float("inf"), 3e38])
def test_degenerate_images_do_not_fail(value):
    assert to_picture(torch.full((3, 2, 2), value)).shape == (2, 2, 3)


def test_infinities_take_the_finite_extremes():
    image = torch.tensor([[[0.0, 1.0, torch.inf, -torch.inf, torch.nan]]])
    assert to_picture(image)[0, :, 0].tolist() == [0, 255, 255, 0, 0]


def test_a_batch_is_refused():
    with pytest.raises(ArgumentError, match=r"`image` must be a tensor \[C, H, W\], got shape \(1, 3, 2, 2\)"):
        to_picture(torch.zeros(1, 3, 2, 2))


def test_png_round_trip_makes_the_folder_and_leaves_nothing_else(tmp_path):
    array = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    path = tmp_path / "deep" / "a.png"
    save_png(path, array)
    save_png(path, array[::-1])
    with Image.open(path) as stored:
        assert np.array_equal(np.asarray(stored), array[::-1])
    assert [entry.name for entry in path.parent.iterdir()] == ["a.png"]


def test_failed_write_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.png"
    save_png(path, np.zeros((2, 2, 3), np.uint8))
    before = path.read_bytes()
    with pytest.raises(TypeError, match="Cannot handle"):
        save_png(path, np.zeros((2, 2, 5), np.uint8))
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.uint8])
def test_any_type_of_number(dtype):
    image = torch.tensor([[[0, 1]]]).to(dtype)
    assert to_picture(image)[0, :, 0].tolist() == [0, 255]

from dataclasses import dataclass

import pytest
import torch

from _reference.corruptions import PUBLISHED, VARIANTS, eight_bit
from lit_attr.corruptions import CORRUPTIONS, Contrast, ImageNetC
from lit_attr.corruptions.imagenet_c import cut_off, rounded


@dataclass(frozen=True)
class Plus(ImageNetC):
    levels = {"imagenet": (0.1, 0.2, 0.3, 0.4, 0.5)}  # noqa: RUF012

    def distort(self, images, level, draws):
        return images + level


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_variant_has_five_levels(name):
    levels = CORRUPTIONS.get(name).levels
    assert set(levels) == set(VARIANTS)
    for five in levels.values():
        assert len(five) == 5
        assert len(set(five)) == 5


@pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
def test_severity_chooses_the_level(severity):
    grey = torch.full((1, 1, 8, 8), 0.2)
    expected = int(255 * (0.2 + severity / 10)) / 255
    torch.testing.assert_close(Plus(severity)(grey), torch.full_like(grey, expected))


def test_every_level_survives_the_cut():
    """In float32 a level divided by 255 and multiplied again is not always the level."""
    levels = torch.arange(256) / 255
    assert torch.equal(cut_off(levels), levels)
    assert torch.equal(rounded(levels), levels)


def test_cut_off_is_a_cast_and_rounded_is_not():
    values = torch.tensor([-0.5, 0.3 / 255, 0.9 / 255, 99.99 / 255, 1.5])
    assert (cut_off(values) * 255).round().tolist() == [0, 0, 0, 99, 255]
    assert (rounded(values) * 255).round().tolist() == [0, 0, 1, 100, 255]


@pytest.mark.parametrize("severity", [0, 6, 2.0, True, "3"])
def test_other_severities_are_refused(severity):
    with pytest.raises(ValueError, match=f"`severity` must be an integer from 1 to 5, got {severity}"):
        Contrast(severity)


def test_other_variants_are_refused():
    with pytest.raises(ValueError, match=r"`variant` is 'cifar10'; accepted: .*did you mean 'cifar'"):
        Contrast(variant="cifar10")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 4, 32, 32), "`images` must be RGB or grey, with 3 channels or 1, got 4 channels"),
        ((1, 3, 7, 32), "`images` must be at least 8 pixels a side, got 7 x 32 pixels"),
    ],
)
def test_other_images_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        Contrast()(eight_bit(*shape))

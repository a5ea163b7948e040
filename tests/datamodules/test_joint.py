"""Images and masks that change together."""

import dataclasses

import pytest
import torch

from lit_attr.datamodules import JointAugmentation
from lit_attr.datamodules.joint import (
    as_joint_augmentation,
    joint_evaluation_transform,
    joint_train_transform,
    resized_mask,
)

MEAN = (0.25, 0.5, 0.75)


def pair(height=12, width=16, side=4):
    """An image whose first channel is ten times its mask, in squares."""
    columns, rows = torch.arange(width) // side, torch.arange(height) // side
    mask = rows[:, None] * 5 + columns
    return torch.stack([mask * 10, mask * 0, mask * 0]).to(torch.uint8), mask


NOTHING = JointAugmentation()


def train(augment=NOTHING, size=None, crop=None, ignore=255):
    return joint_train_transform(augment, size, crop, mean=MEAN, ignore_index=ignore)


def agree(image, mask):
    return torch.equal((image[0] * 25.5).round().long(), mask)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"flip": 1.5}, r"`flip` must be in \[0, 1\], got 1.5"),
        ({"jitter": -0.1}, r"`jitter` must be in \[0, 1\], got -0.1"),
        ({"scale": (2.0, 0.5)}, r"`scale` must be two positive numbers, the smaller one first, got \(2.0, 0.5\)"),
        ({"scale": (0.0, 1.0)}, "`scale` must be two positive numbers"),
        ({"scale": (1.0,)}, "`scale` must be two positive numbers"),
        ({"scale": 2.0}, "`scale` must be two positive numbers"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        JointAugmentation(**settings)


def test_from_a_mapping():
    augment = JointAugmentation(flip=0.5, scale=[0.5, 2])
    assert as_joint_augmentation(dataclasses.asdict(augment)) == augment == as_joint_augmentation(augment)
    with pytest.raises(ValueError, match="`joint_augment` is 'crop'; accepted: flip, jitter, scale"):
        as_joint_augmentation({"crop": 3})
    with pytest.raises(ValueError, match="`joint_augment` must be a JointAugmentation or a mapping"):
        as_joint_augmentation(0.5)


def test_the_default_changes_the_type_and_nothing_else():
    image, mask = pair()
    found, labels = train()(image, mask)
    assert (found.dtype, labels.dtype, type(found), type(labels)) == (
        torch.float32,
        torch.int64,
        torch.Tensor,
        torch.Tensor,
    )
    torch.testing.assert_close(found, image / 255)
    assert torch.equal(labels, mask)


def test_flip_turns_both():
    image, mask = pair()
    found, labels = train(JointAugmentation(flip=1.0))(image, mask)
    torch.testing.assert_close(found, image.flip(2) / 255)
    assert torch.equal(labels, mask.flip(1))


def test_every_mask_is_turned():
    image, mask = pair()
    _, first, second = train(JointAugmentation(flip=1.0))(image, mask, mask > 3)
    assert second.dtype == torch.bool
    assert torch.equal(second, first > 3)


@pytest.mark.parametrize("crop", [5, 12])
def test_windows_are_the_same_for_both(crop):
    seen = set()
    for _ in range(20):
        image, labels = train(crop=crop)(*pair())
        assert image.shape == (3, crop, crop)
        assert agree(image, labels)
        seen.add(labels.numpy().tobytes())
    assert len(seen) > 2


@pytest.mark.parametrize("ignore", [255, -100])
def test_what_an_image_does_not_fill_is_ignored_and_of_the_mean_colour(ignore):
    image, mask = pair()
    found, labels = train(crop=20, ignore=ignore)(image, mask)
    filled = labels == ignore
    assert filled.sum() == 400 - mask.numel()
    outside = found[:, filled]
    torch.testing.assert_close(outside, torch.tensor(MEAN)[:, None].expand_as(outside), atol=1 / 255, rtol=0)
    assert agree(found[:, ~filled][:, None], labels[~filled][None])


def test_jitter_changes_colours_alone():
    image = torch.full((3, 12, 16), 100, dtype=torch.uint8)
    _, mask = pair()
    found, labels = train(JointAugmentation(jitter=0.5))(image, mask)
    assert not torch.equal(found, image / 255)
    assert torch.equal(labels, mask)


def test_scale_is_drawn_between_its_bounds():
    heights = [train(JointAugmentation(scale=(0.5, 2.0)), size=24)(*pair())[0].shape[1] for _ in range(60)]
    assert min(heights) >= 12
    assert max(heights) <= 48
    assert min(heights) < 20
    assert max(heights) > 40


def test_scaled_images_and_masks_agree_where_a_pixel_is_of_one_class():
    image, mask = pair(side=4)
    for factor in (2.0, 3.0):
        found, labels = train(JointAugmentation(scale=(factor, factor)))(image, mask)
        assert found.shape[1:] == labels.shape == (12 * factor, 16 * factor)
        same = (found[0] * 25.5 - labels).abs() < 0.3
        inner = labels[1:-1, 1:-1]
        flat = torch.stack([labels.roll((y, x), (0, 1))[1:-1, 1:-1] == inner for y in (-1, 0, 1) for x in (-1, 0, 1)])
        assert flat.all(0).float().mean() > 0.4
        assert same[1:-1, 1:-1][flat.all(0)].all()


@pytest.mark.parametrize(("height", "width"), [(12, 16), (16, 12)])
def test_evaluation_brings_the_shorter_side_to_size(height, width):
    image, mask = pair(height, width)
    found, labels = joint_evaluation_transform(6)(image, mask)
    assert found.shape == (3, height // 2, width // 2)
    assert labels.shape == found.shape[1:]
    assert set(labels.unique().tolist()) <= set(mask.unique().tolist())


def test_evaluation_of_an_image_alone():
    image, _ = pair()
    found = joint_evaluation_transform(None)(image)
    torch.testing.assert_close(found, image / 255)


@pytest.mark.parametrize("size", [(2, 3), (18, 21), (4, 5)])
def test_resized_mask_takes_the_nearest_centre(size):
    mask = torch.randint(0, 9, (6, 9))
    found = resized_mask(mask, size)
    for y in range(size[0]):
        for x in range(size[1]):
            centre = ((y + 0.5) * 6 / size[0] - 0.5, (x + 0.5) * 9 / size[1] - 0.5)
            off = [(abs(i - centre[0]) + abs(j - centre[1]), int(mask[i, j])) for i in range(6) for j in range(9)]
            least = min(off)[0]
            assert int(found[y, x]) in {label for distance, label in off if distance < least + 1e-9}


def test_resized_mask_does_not_move_a_mirrored_one():
    mask = torch.randint(0, 9, (15, 21))
    assert torch.equal(resized_mask(mask.flip(1), (5, 7)), resized_mask(mask, (5, 7)).flip(1))

"""Scenes: what lies where, and what the labels rest on."""

import pytest
import torch

from lit_attr.datamodules import digit_scenes
from lit_attr.datamodules.scenes import SceneSource


def digits(count=5):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 8, 8), dtype=torch.uint8, generator=generator)


def at(scenes, where):
    """The colours of the pixels of each scene that lie somewhere, one row each."""
    return [image[:, place].T for image, place in zip(scenes.images, where, strict=True)]


def test_nothing_covers_anything_else(rng_untouched):
    scenes = digit_scenes(digits(), 200)
    together = scenes.digit.int() + scenes.key.int() + scenes.distractors.int()
    assert together.max() == 1
    assert (scenes.key.sum((1, 2)) == 64).all()
    assert (scenes.distractors.sum((1, 2)) == 128).all()
    assert (scenes.digit.sum((1, 2)) > 20).all()


def test_masks_are_exact_and_of_the_class_that_the_key_names():
    scenes = digit_scenes(digits(), 200)
    assert torch.equal(scenes.masks > 0, scenes.digit)
    keys = [colours.unique(dim=0) for colours in at(scenes, scenes.key)]
    assert all(len(colour) == 1 for colour in keys)
    blue = torch.stack([colour[0, 2] > colour[0, 0] for colour in keys])
    assert 60 < int(blue.sum()) < 140
    assert torch.equal(scenes.masks.amax((1, 2)), 1 + blue.to(torch.uint8))
    assert torch.equal(scenes.cause, scenes.digit | scenes.key)
    assert not (scenes.key & (scenes.masks > 0)).any()


def test_digits_are_brighter_than_the_ground():
    scenes = digit_scenes(digits(), 50)
    ground = ~(scenes.digit | scenes.key | scenes.distractors)
    for bright, dark in zip(at(scenes, scenes.digit), at(scenes, ground), strict=True):
        assert bright.min() > dark.max()


def test_a_swapped_key_is_the_other_key_and_nothing_else_changes():
    scenes = digit_scenes(digits(), 20)
    other = scenes.with_swapped_keys()
    changed = (other != scenes.images).any(1)
    assert torch.equal(changed, scenes.key)
    assert (scenes._replace(images=other).with_swapped_keys() == scenes.images).all()
    colours = {
        tuple(c) for found in (scenes, scenes._replace(images=other)) for c in torch.cat(at(found, scenes.key)).tolist()
    }
    assert colours == {(242, 13, 13), (13, 13, 242)}


def test_swapped_distractors_change_places():
    scenes = digit_scenes(digits(), 20)
    other = scenes._replace(images=scenes.with_swapped_distractors())
    assert torch.equal((other.images != scenes.images).any(1), scenes.distractors)
    for found in (scenes, other):
        for colours in at(found, scenes.distractors):
            assert {tuple(c) for c in colours.tolist()} == {(13, 242, 13), (242, 242, 13)}


def test_the_seed_decides():
    first, same, other = (digit_scenes(digits(), 8, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.images, same.images)
    assert not torch.equal(first.images, other.images)


@pytest.mark.parametrize("wrong", [torch.zeros(3, 8, 8), torch.zeros(8, 8, dtype=torch.uint8), digits(5)[:0]])
def test_wrong_digits(wrong):
    with pytest.raises(ValueError, match=r"`digits` must be uint8 \[M, h, w\], at least one, got"):
        digit_scenes(wrong, 3)
    with pytest.raises(ValueError, match="`count` must be a positive integer, got 0"):
        digit_scenes(digits(), 0)


def test_parts_have_scenes_of_their_own(tmp_path, rng_untouched):
    source = SceneSource()
    source.prepare(tmp_path, download=False)
    parts = {part: source.load(tmp_path, part) for part in source.parts(tmp_path)}
    assert {part: len(found.images) for part, found in parts.items()} == {"train": 1024, "val": 256, "test": 256}
    seen = [image.numpy().tobytes() for found in parts.values() for image in found.images]
    assert len(set(seen)) == len(seen)
    for found in parts.values():
        assert found.masks.unique().tolist() == [0, 1, 2]
        assert (found.causes & (found.masks == 0)).flatten(1).any(1).all()  # part of the cause lies outside the mask

"""The scenes have what they say, where they say."""

import torch

from lit_attr.ground_truth import keyed_scenes, swap_distractors, swap_keys

SCENES = keyed_scenes(400, seed=3)


def test_seeded_and_private():
    before = torch.get_rng_state()
    again = keyed_scenes(400, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(SCENES, again, strict=True))
    assert not torch.equal(SCENES.images, keyed_scenes(400, seed=4).images)


def test_labels_are_what_disc_and_key_make_them():
    has_disc, has_key = SCENES.disc.flatten(1).any(1), SCENES.key.flatten(1).any(1)
    middle = SCENES.images * SCENES.key[:, None]
    red, blue = middle[:, 0].amax((1, 2)) > 0.5, middle[:, 2].amax((1, 2)) > 0.5
    expected = torch.where(has_disc & has_key, red.long() + 2 * blue.long(), 0)
    assert torch.equal(SCENES.labels, expected)
    shares = SCENES.labels.bincount() / 400
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.25, 0.25]), rtol=0, atol=0.1)
    assert bool((keyed_scenes(50, complete=True).labels > 0).all())


def test_nothing_covers_another():
    parts = [SCENES.disc, SCENES.key, SCENES.distractors]
    assert int(torch.stack(parts).long().sum(0).max()) == 1
    assert set(SCENES.distractors.sum((1, 2)).tolist()) == {32}
    assert set(SCENES.key.sum((1, 2)).tolist()) == {0, 16}
    assert torch.equal(SCENES.truth, SCENES.disc | SCENES.key)
    assert 0 <= float(SCENES.images.min()) <= float(SCENES.images.max()) <= 1


def test_swaps_change_only_what_they_name():
    for swap, where in [(swap_keys, SCENES.key), (swap_distractors, SCENES.distractors)]:
        changed = (swap(SCENES) != SCENES.images).any(1)
        assert torch.equal(changed, where)
        again = swap(SCENES._replace(images=swap(SCENES)))
        torch.testing.assert_close(again, SCENES.images)

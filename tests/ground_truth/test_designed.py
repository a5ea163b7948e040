"""The network with weights set by hand uses disc and key, exactly."""

import torch

from lit_attr.ground_truth import Designed, keyed_scenes, swap_distractors, swap_keys

SCENES = keyed_scenes(300, seed=1)
MODEL = Designed()


def without(where):
    return SCENES.images.where(~where[:, None], torch.tensor(0.35))


def test_knows_every_label_and_follows_the_key():
    assert torch.equal(MODEL(SCENES.images).argmax(1), SCENES.labels)
    swapped = torch.where(SCENES.labels > 0, 3 - SCENES.labels, 0)
    assert torch.equal(MODEL(swap_keys(SCENES)).argmax(1), swapped)


def test_either_cause_taken_away_leaves_nothing():
    keyed = SCENES.labels > 0
    for cause in (SCENES.disc, SCENES.key):
        found = MODEL(without(cause))[keyed]
        assert not found.argmax(1).any()
        assert not found[:, 1:].any()


def test_nothing_else_has_any_effect():
    expected = MODEL(SCENES.images)
    assert torch.equal(MODEL(swap_distractors(SCENES)), expected)
    assert torch.equal(MODEL(without(~SCENES.truth)), expected)

"""KL-deletion: insertion read backwards, and its direction."""

import torch

from lit_attr.metrics import KLDeletion
from lit_attr.metrics.functional import kl_deletion, kl_insertion


def test_is_insertion_of_the_reversed_order(batch, cnn):
    images, attribution = batch()
    for more in ({}, {"reference": "original", "direction": "pred_first", "normalize": True}):
        expected = kl_insertion(cnn(), images, None, -attribution, steps=12, **more)
        torch.testing.assert_close(kl_deletion(cnn(), images, None, attribution, steps=12, **more), expected)


def test_direction_follows_the_reference():
    assert KLDeletion().higher_is_better is KLDeletion(reference="baseline").higher_is_better is False
    assert KLDeletion(reference="original").higher_is_better is True

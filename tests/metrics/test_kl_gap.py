"""KL-gap: identities."""

import pytest
import torch

from lit_attr.metrics import KLGap
from lit_attr.metrics.functional import kl_deletion, kl_gap, kl_insertion


@pytest.mark.parametrize("reference", ["uniform", "baseline", "original"])
def test_is_insertion_minus_deletion(reference, batch, cnn):
    images, attribution = batch()
    given, more = (cnn(), images, None, attribution), {"steps": 5, "reference": reference}
    torch.testing.assert_close(kl_gap(*given, **more), kl_insertion(*given, **more) - kl_deletion(*given, **more))


def test_direction_follows_the_reference():
    assert KLGap().higher_is_better is True
    assert KLGap(reference="original").higher_is_better is False

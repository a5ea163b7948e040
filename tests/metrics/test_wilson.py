"""The interval against its definition: the shares whose normal test does not reject what was seen."""

import math

import pytest

from lit_attr.metrics import wilson_interval

Z = 1.959963984540054


@pytest.mark.parametrize(("successes", "samples"), [(1, 10), (5, 10), (9, 10), (37, 500)])
def test_ends_are_the_shares_that_are_just_not_rejected(successes, samples):
    share = successes / samples
    for end in wilson_interval(successes, samples):
        assert abs(share - end) == pytest.approx(Z * math.sqrt(end * (1 - end) / samples), abs=1e-12)


def test_known_numbers_and_ends():
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, table I, method 3
    assert wilson_interval(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)  # the same
    assert wilson_interval(0, 20)[0] == 0
    assert wilson_interval(20, 20)[1] == 1
    assert wilson_interval(0, 0) == (0, 1)
    low, high = wilson_interval(5, 10, confidence=0.5)
    assert wilson_interval(5, 10)[0] < low < 0.5 < high


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 5), "`successes` must be an integer of at least 0, got -1"),
        ((1, 2.0), "`samples` must be an integer of at least 0"),
        ((3, 2), "`successes` must be at most the 2 samples, got 3"),
        ((1, 2, 1.0), r"`confidence` must be in \(0, 1\), got 1.0"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        wilson_interval(*arguments)

"""Curves of accuracy: the area, and what is on the picture."""

import numpy as np
import pytest

from lit_attr.visual import AccuracyCurve, accuracy_picture


def curve(xs, ys, name="pgd"):
    return AccuracyCurve(name, xs, ys, [y - 0.05 for y in ys], [y + 0.05 for y in ys])


@pytest.mark.parametrize(
    ("xs", "ys", "area"),
    [
        ([0.0, 1.0], [1.0, 0.0], 0.5),
        ([0.0, 0.1, 0.4], [1.0, 0.5, 0.1], (0.1 * 0.75 + 0.3 * 0.3) / 0.4),  # uneven places
        ([0.0, 2.0, 4.0], [0.7, 0.7, 0.7], 0.7),
        ([0.3], [0.4], 0.4),
    ],
)
def test_area(xs, ys, area):
    assert curve(xs, ys).area == pytest.approx(area)


def test_curves_with_places_of_their_own_and_their_intervals_are_drawn():
    one = accuracy_picture([curve([0, 0.1], [1, 0.5])], "accuracy", "eps")
    both = accuracy_picture(
        [curve([0, 0.1], [1, 0.5]), curve([0, 0.05, 0.1], [1, 0.2, 0.0], "$a_b$")], "accuracy", "eps"
    )
    assert one.shape == both.shape == (308, 440, 3)
    orange = (both.astype(int) - [217, 115, 13]).__abs__().sum(2) < 30
    assert orange.any()
    assert not ((one.astype(int) - [217, 115, 13]).__abs__().sum(2) < 30).any()
    narrow = accuracy_picture([AccuracyCurve("pgd", [0, 0.1], [1, 0.5], [1, 0.5], [1, 0.5])], "accuracy", "eps")
    assert np.sum(narrow != 255) < np.sum(one != 255)  # the band is missing

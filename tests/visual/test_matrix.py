"""The heat-map of a matrix of shares."""

import math

import pytest

from lit_attr.visual import matrix_picture

LEFT, TOP, CELL = 130, 84, 84


def corner(picture, row, column):
    """A pixel of a cell, away from its number."""
    return picture[TOP + row * CELL + 8, LEFT + column * CELL + 8].astype(int)


def test_cells_are_darker_for_larger_shares_and_white_for_none():
    picture = matrix_picture([[1.0, 0.2], [math.nan, 0.0]], ["a", "$b_c$"], "transfer")
    dark, light, none, zero = (corner(picture, *place).sum() for place in [(0, 0), (0, 1), (1, 0), (1, 1)])
    assert dark < light < zero < none == 3 * 255


def test_it_grows_with_the_matrix():
    assert matrix_picture([[0.5] * 5] * 5, list("abcde"), "transfer").shape == (
        84 + 5 * CELL + 34,
        130 + 5 * CELL + 10,
        3,
    )


def test_names_must_fit():
    with pytest.raises(ValueError, match="`values` must be a 3 x 3 matrix, got shape"):
        matrix_picture([[1.0]], list("abc"), "transfer")

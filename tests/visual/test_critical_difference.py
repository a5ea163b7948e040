"""The critical-difference diagram: what is drawn where."""

import numpy as np
import pytest

from lit_attr.visual.critical_difference import _levels, critical_difference_picture
from lit_attr.visual.curves import COLOURS

RANKS = {"ig": 1.0, "rise": 2.0, "noise": 3.0}


def bar_pixels(picture):
    """Where the colour of the bars is, `[H, W]`."""
    colour = [int(COLOURS[0][i : i + 2], 16) for i in (1, 3, 5)]
    return (picture == colour).all(-1)


def axis_ends(picture):
    """The columns of the ends of the axis of ranks: the longest dark run of all rows."""
    dark = (picture < 60).all(-1)
    row = dark.sum(1).argmax()
    return np.flatnonzero(dark[row])[[0, -1]]


def test_a_bar_reaches_from_its_best_to_its_worst_rank():
    picture = critical_difference_picture(RANKS, [("rise", "noise")], 1.5)
    columns = np.flatnonzero(bar_pixels(picture).any(0))
    left, right = axis_ends(picture)
    assert columns[0] == pytest.approx((left + right) / 2, abs=6)
    assert columns[-1] == pytest.approx(right, abs=6)


def test_no_clique_no_bar():
    assert not bar_pixels(critical_difference_picture(RANKS, [], 0.1)).any()


def test_a_distance_longer_than_the_axis_is_left_out():
    inside, outside = (critical_difference_picture(RANKS, [], distance) for distance in (1.0, float("inf")))
    assert (inside != outside).any()


def test_bars_that_overlap_lie_on_two_levels():
    ranks = {name: float(i + 1) for i, name in enumerate("abcdefgh")}
    assert _levels([("a", "c"), ("b", "d"), ("f", "h")], ranks) == [[(1, 3), (6, 8)], [(2, 4)]]
    one, two = (critical_difference_picture(ranks, c, 1.0) for c in ([("a", "c")], [("a", "c"), ("b", "d")]))
    assert two.shape[0] > one.shape[0]


def test_seventeen_names_and_long_and_odd_ones_fit():
    """Nothing is drawn at the edges, where it would be cut."""
    names = ["$5 a_note$", "fundamental(steps=20,classes=5)", *(f"m{i}" for i in range(15))]
    picture = critical_difference_picture({name: i + 1.0 for i, name in enumerate(names)}, [names[:4]], 3.0)
    assert (picture[[0, -1]] == 255).all()
    assert (picture[:, [0, 1, -2, -1]] == 255).all()


@pytest.mark.parametrize("ranks", [{"a": 1.0}, {"a": 1.0, "b": float("nan")}])
def test_ranks_that_cannot_be_drawn_are_refused(ranks):
    with pytest.raises(ValueError, match="`ranks` must be finite ranks of two names or more"):
        critical_difference_picture(ranks, [], 1.0)


def test_a_clique_of_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"`cliques` must be of names that have a rank, got \['x'\]"):
        critical_difference_picture(RANKS, [("ig", "x")], 1.0)

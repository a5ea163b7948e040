"""Scores of methods as a picture."""

import math

import numpy as np
import pytest

from lit_attr.visual import Score, scores_picture
from lit_attr.visual.curves import COLOURS
from lit_attr.visual.scores import LINE, WIDTH

TWO = {
    "insertion": {"a": Score(0.2, 0.01), "b": Score(0.8, 0.01), "c": Score(0.5, 0.01)},
    "deletion": {"a": Score(0.3), "b": Score(0.1), "c": Score(0.2)},
}


def where(picture, colour):
    """Rows and columns of the pixels that have exactly this colour."""
    return np.nonzero((picture == [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).all(-1))


def lines(picture, metric):
    """The number of coloured pixels and their mean column, per method's line from the top down, of a metric's plot."""
    rows, columns = where(picture, COLOURS[metric])
    top = picture.shape[0] - 40 - 3 * LINE
    found = [columns[(rows - top) // LINE == line] for line in range(3)]
    return [(len(each), float(each.mean())) for each in found if len(each)]


def test_the_best_of_the_first_metric_is_at_the_top_and_positions_follow_the_values():
    picture = scores_picture(TWO, {"insertion": True, "deletion": False})
    (_, b), (_, c), (_, a) = lines(picture, 0)
    assert b - c == pytest.approx(c - a, abs=1)
    assert b - a > WIDTH / 3
    (_, b), (_, c), (_, a) = lines(picture, 1)
    assert b < c < a
    assert c - b == pytest.approx(a - c, abs=1)


@pytest.mark.parametrize(("insertion", "best"), [(True, 0), (False, 0), (None, None)])
def test_the_best_is_filled_where_one_is(insertion, best):
    """Reversed, the order is too; where neither is better, methods stay in the order that is given."""
    sizes = [size for size, _ in lines(scores_picture(TWO, {"insertion": insertion}), 0)]
    filled = [line for line, size in enumerate(sizes) if size > 1.3 * min(sizes)]
    assert filled == ([] if best is None else [best])
    places = [place for _, place in lines(scores_picture(TWO, {"insertion": insertion}), 0)]
    orders = {True: [2, 1, 0], False: [0, 1, 2], None: [0, 2, 1]}
    assert np.argsort(np.argsort(places)).tolist() == orders[insertion]


def test_the_bar_is_one_standard_error_to_each_side():
    """Of values 0 and 1 on one scale, the bar of the second is as long as their distance."""
    found = {"m": {"a": Score(0.0), "b": Score(1.0, 0.5), "c": Score(0.5, math.nan)}}
    picture = scores_picture(found)
    rows, columns = where(picture, COLOURS[0])
    top = picture.shape[0] - 40 - 3 * LINE
    spans = [columns[(rows - top) // LINE == line] for line in range(3)]
    distance = spans[1].mean() - spans[0].mean()
    assert spans[1].max() - spans[1].min() == pytest.approx(distance, abs=4)
    assert spans[2].max() - spans[2].min() < 12


def test_what_is_missing_or_not_finite_is_left_out_and_stands_last():
    found = {"m": {"a": Score(math.nan), "b": Score(0.5)}, "n": {"c": Score(math.inf)}}
    picture = scores_picture(found, {"m": True, "n": True})
    assert [size > 0 for size, _ in lines(picture, 0)] == [True]
    rows, _ = where(picture, COLOURS[0])
    assert rows.max() < picture.shape[0] - 40 - 2 * LINE
    assert len(where(picture, COLOURS[1])[0]) == 0


def test_sizes_with_odd_names_many_metrics_and_none():
    metrics = {f"$m_{i}$": {"$5 a_note$" * 9: Score(float(i)), "_b": Score(1.0, 0.1)} for i in range(4)}
    wide, narrow = scores_picture(metrics), scores_picture({"m": metrics["$m_0$"]})
    assert wide.shape[0] == 2 * narrow.shape[0]
    assert wide.shape[1] - narrow.shape[1] == 2 * WIDTH
    assert scores_picture({}).dtype == np.uint8

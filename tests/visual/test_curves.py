"""Curves as pictures."""

import numpy as np

from lit_attr.visual.curves import COLOURS, Line, curves_picture, new_figure, plot_lines


def _colour(name: str) -> list[int]:
    return [int(name[i : i + 2], 16) for i in (1, 3, 5)]


def test_each_curve_has_its_colour():
    picture = curves_picture([0, 0.5, 1], {"a": [0, 0.2, 0.3], "b": [1, 0.9, 0.8]}, "t", "x")
    for colour in COLOURS[:2]:
        assert (picture == _colour(colour)).all(-1).any()
    assert not (picture == _colour(COLOURS[2])).all(-1).any()


def test_odd_names_and_values_are_drawn():
    names = {"$5 a_note$": [0.0, float("nan")], "_hidden": [1.0, 2.0], **{f"m{i}": [0.0, 1.0] for i in range(12)}}
    assert curves_picture([0, 1], names, "a $ title $", "x_$").shape == (308, 440, 3)


def test_no_curve_at_all_is_an_empty_axis():
    assert curves_picture([0, 1], {}, "t", "x").dtype == np.uint8


def test_many_lines_differ_and_need_no_legend():
    lines = [Line(f"m{i}", [0, 1], [0, i], COLOURS[i % len(COLOURS)]) for i in range(len(COLOURS) + 1)]
    first, second = (new_figure(100, 100).add_axes((0, 0, 1, 1)) for _ in range(2))
    plot_lines(first, lines, "t", "x", legend=False)
    assert first.get_legend() is None
    styles = {(line.get_color(), line.get_linestyle()) for line in first.lines}
    assert len(styles) == len(lines)
    plot_lines(second, lines[:2], "t", "x")
    assert second.get_legend() is not None

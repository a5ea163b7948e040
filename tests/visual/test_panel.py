"""Panels: size, what changes the picture, degenerate maps, and nothing global touched."""

import dataclasses

import matplotlib as mpl
import numpy as np
import pytest
import torch

from lit_attr._checks import ArgumentError
from lit_attr.visual.curves import COLOURS
from lit_attr.visual.panel import CELL, RIGHT, SIDE, WRONG, Panel, draw


def _panel(methods: int = 1, **changes: object) -> Panel:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 8, 8, generator=generator)
    maps = {f"m{i}": torch.randn(1, 8, 8, generator=generator) for i in range(methods)}
    return dataclasses.replace(
        Panel(image, index=3, prediction="seven", confidence=0.9, maps=maps, label="seven"), **changes
    )


def _has(picture: np.ndarray, colour: str) -> bool:
    return bool((picture == [int(colour[i : i + 2], 16) for i in (1, 3, 5)]).all(-1).any())


def _cell(picture: np.ndarray, number: int) -> np.ndarray:
    left = number * CELL + (CELL - SIDE) // 2
    return picture[42 : 42 + SIDE, left : left + SIDE]


@pytest.fixture
def curves():
    line = torch.linspace(0, 1, 9)
    return {"m0": {"insertion": line, "deletion": 1 - line}}


def test_cells_and_rows(curves):
    assert draw(_panel(1)).shape == (308, 2 * CELL, 3)
    assert draw(_panel(1, curves=curves)).shape == (308, 4 * CELL, 3)
    assert draw(_panel(5, curves=curves)).shape == (308, 8 * CELL, 3)
    assert draw(_panel(7, curves=curves)).shape == (616, 5 * CELL, 3)
    assert draw(_panel(0)).shape == (308, CELL, 3)


def test_scores_make_room_for_themselves():
    scores = {"m0": {f"metric_{i}": 0.5 for i in range(6)}}
    picture = draw(_panel(scores=scores))
    assert picture.shape[0] == 308 + 5 * 15
    assert picture.dtype == np.uint8


def test_pixels_of_input_and_map_are_exact():
    panel = _panel(maps={"m0": torch.ones(1, 8, 8)}, image=torch.eye(8)[None])
    shown = _cell(draw(panel), 0)[14::28, 14::28]
    assert np.array_equal(shown[..., 0], (torch.eye(8) * 255).byte().numpy())


def test_positive_is_red_and_negative_blue():
    values = torch.zeros(1, 8, 8)
    values[0, 0, 0], values[0, 7, 7] = 1.0, -1.0
    shown = _cell(draw(_panel(maps={"m0": values})), 1).astype(int)
    assert shown[14, 14].argmax() == 0
    assert shown[-14, -14].argmax() == 2
    assert np.ptp(shown[14, -14]) == 0


def test_colour_says_whether_the_prediction_is_right():
    right, wrong, unknown = (draw(_panel(label=label)) for label in ("seven", "one", None))
    assert _has(right, RIGHT)
    assert not _has(right, WRONG)
    assert _has(wrong, WRONG)
    assert not _has(unknown, RIGHT)
    assert not _has(unknown, WRONG)


@pytest.mark.parametrize(
    "change",
    [
        {"index": 4},
        {"confidence": 0.5},
        {"prediction": "eight"},
        {"label": "eight"},
        {"image": torch.zeros(1, 8, 8)},
        {"maps": {"m0": torch.eye(8)[None]}},
        {"maps": {"other": torch.eye(8)[None]}},
        {"scores": {"m0": {"insertion": 0.25}}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_fact_is_seen(change):
    assert not np.array_equal(draw(_panel()), draw(_panel(**change)))


def test_the_same_panel_is_the_same_picture():
    assert np.array_equal(draw(_panel(2)), draw(_panel(2)))


def test_curves_have_the_colour_of_their_method(curves):
    curves["m1"] = {"insertion": torch.tensor([0.3, 0.4])}
    picture = draw(_panel(2, curves=curves))
    insertion, deletion = _cell(picture, 3), _cell(picture, 4)
    assert _has(insertion, COLOURS[0])
    assert _has(insertion, COLOURS[1])
    assert not _has(deletion, COLOURS[1])


def test_curves_outside_the_unit_interval_and_single_points(curves):
    for values in (torch.linspace(-3, 9, 4), torch.tensor([0.5]), torch.full((4,), torch.nan)):
        assert draw(_panel(curves={"m0": {"insertion": values}})).shape == (308, 3 * CELL, 3)


@pytest.mark.parametrize("value", [0.0, 0.12, float("nan"), float("inf")])
def test_degenerate_maps_are_drawn_with_their_note(value):
    picture = draw(_panel(maps={"m0": torch.full((1, 8, 8), value)}))
    assert _has(picture[:42, CELL:], WRONG)
    assert not _has(draw(_panel())[:, CELL:], WRONG)


def test_values_that_are_lost_are_told_below_the_map():
    values = torch.randn(1, 8, 8)
    values[0, 0, 0] = torch.nan
    assert _has(draw(_panel(maps={"m0": values}))[42 + SIDE :, CELL:], WRONG)


def test_every_map_has_its_scale_above():
    """The bar lies between two numbers; a map without a sign has other colours and begins at zero."""
    ramp = torch.linspace(-2, 2, 64).view(1, 8, 8)
    signed, unsigned = (
        draw(_panel(maps={"m0": values}))[29:35, CELL + 10 : CELL + 10 + SIDE] for values in (ramp, ramp + 2)
    )
    bars = [strip[3, 54:-54].astype(int) for strip in (signed, unsigned)]
    assert bars[0][0].tolist() == [0, 0, 255]
    assert bars[0][-1].tolist() == [255, 0, 0]
    assert bars[1][0].min() > 200 > bars[1][-1].max()  # pale to dark
    assert not np.array_equal(draw(_panel(maps={"m0": ramp})), draw(_panel(maps={"m0": 2 * ramp})))  # the numbers


@pytest.mark.parametrize("shape", [(3, 8, 8), (3, 224, 224), (1, 20, 40), (4, 300, 100), (1, 1, 1)])
def test_any_size_of_image(shape):
    image = torch.rand(shape)
    assert draw(_panel(image=image, maps={"m0": image})).shape == (308, 2 * CELL, 3)


def test_odd_and_long_names(curves):
    name = "$5 {note}_with^a \\very long name" * 3
    panel = _panel(maps={name: torch.eye(8)[None]}, prediction=name, label="ä" * 99, scores={name: {name: 1234.5}})
    picture = draw(dataclasses.replace(panel, curves={name: curves["m0"]}))
    assert picture.shape == (308, 4 * CELL, 3)


def test_nothing_global_is_touched(curves):
    from matplotlib import pyplot as plt

    before = dict(mpl.rcParams)
    draw(_panel(3, curves=curves))
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before


def test_a_map_of_another_size_is_refused():
    with pytest.raises(ArgumentError, match=r"`maps\['m0'\]` must be of the image's size \(8, 8\), got shape"):
        _panel(maps={"m0": torch.zeros(1, 4, 4)})


def test_more_curves_than_a_legend_holds_have_none():
    line = torch.linspace(0, 1, 9)

    def text_in_the_plot(methods):
        curves = {f"m{i}": {"insertion": line} for i in range(methods)}
        picture = draw(dataclasses.replace(_panel(1), curves=curves))
        return int((picture[60 : 42 + SIDE // 2, 2 * CELL + 40 : 2 * CELL + 140] < 120).all(-1).sum())

    assert text_in_the_plot(3) > 0 == text_in_the_plot(7)


def test_classes_of_pixels_have_cells_of_their_own_and_the_region_a_line():
    classes = torch.zeros(8, 8, dtype=torch.long)
    classes[2:6, 2:6] = 1
    plain = draw(_panel(1))
    panel = _panel(1, segments={"labels": classes, "prediction": 0 * classes}, outline=classes == 1)
    picture = draw(panel)
    assert picture.shape == (308, 4 * CELL, 3)
    inside = _cell(picture, 1)[14::28, 14::28].astype(int)
    red = inside[..., 0] - inside[..., 1]
    assert bool((red[classes == 1] > 60).all())
    assert not red[classes == 0].any()
    before, after = _cell(plain, 1), _cell(picture, 3)
    changed = (before != after).any(-1)
    assert bool((after[changed] == 20).all())
    rows, columns = np.nonzero(changed)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (56, 167, 56, 167)


def test_a_region_of_another_size_is_refused():
    with pytest.raises(ArgumentError, match="`outline` must be of the image's size"):
        _panel(1, outline=torch.zeros(4, 8, dtype=torch.bool))

"""Charts: points where they belong, names that do not stand on each other, nothing that breaks out of the SVG."""

import itertools
import math
import re
import xml.etree.ElementTree as ET

import pytest

from lit_attr.visual.charts import Point, Series, curves_svg, lines_svg, ranks_svg, scatter_svg, style


def parse(svg):
    return ET.fromstring(svg)


def named(root, name):
    (group,) = [g for g in root.iter("g") if g.get("data-name") == name]
    return group


def test_curves_go_from_left_to_right_through_their_values():
    root = parse(curves_svg({"a": [0.0, 0.5, 1.0], "random": [0.0, 0.25, 0.5]}, {"a": 12}, "curves", "fraction"))
    lines = {name: named(root, name).find("polyline") for name in ("a", "random")}
    points = {n: [tuple(map(float, p.split(","))) for p in line.get("points").split()] for n, line in lines.items()}
    assert [x for x, _ in points["a"]] == sorted(x for x, _ in points["a"])
    assert points["a"][1] == pytest.approx([sum(p) / 2 for p in zip(points["a"][0], points["a"][2], strict=True)])
    assert points["random"][2][1] == pytest.approx(points["a"][1][1])  # both 0.5
    assert lines["a"].get("class") == "c2 again"
    assert lines["random"].get("class") == "control"
    assert root.get("aria-label") == "curves"


@pytest.mark.parametrize("values", [[math.nan] * 3, [2.0, 2.0], [-1.0, -3.0], [0.0], [0.9, math.inf, 0.8]])
def test_any_curve_can_be_drawn(values):
    root = parse(curves_svg({"a": values}, {"a": 0}, "t", "x"))
    assert "nan" not in ET.tostring(root).decode()
    assert "inf" not in ET.tostring(root).decode()


def test_points_lie_on_logarithmic_axes():
    points = [Point("a", 1, 0.0, 0), Point("b", 10, 0.5, 1), Point("c", 100, 1.0, 2)]
    root = parse(scatter_svg(points, {"edges": 0.5}, "t", "passes", "gap"))
    circles = {p.name: named(root, p.name).find("circle") for p in points}
    x, y = ([float(circles[name].get(axis)) for name in "abc"] for axis in ("cx", "cy"))
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)
    assert y[0] - y[1] == pytest.approx(y[1] - y[2], abs=0.2)
    (level,) = [line for line in root.iter("line") if line.get("class") == "level"]
    assert float(level.get("y1")) == pytest.approx(y[1], abs=0.1)
    assert {text.text for text in root.iter("text")} >= {"a", "b", "c", "edges", "passes", "gap", "10", "100"}


def test_a_likeness_lies_on_a_linear_axis_and_may_be_negative():
    points = [Point("a", -0.5, 0.0, 0), Point("b", 0.25, 0.5, 1), Point("c", 1.0, 1.0, 2)]
    root = parse(scatter_svg(points, {}, "t", "stable", "gap", log=False))
    x = [float(named(root, p.name).find("circle").get("cx")) for p in points]
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.2)
    assert {text.text for text in root.iter("text")} >= {"0", "1"}
    assert "nan" not in scatter_svg(points[:1], {}, "t", "stable", "gap", log=False)


def test_names_do_not_stand_on_each_other():
    points = [Point(f"method{i}", 16, 0.5 + i / 1000, i) for i in range(12)]
    root = parse(scatter_svg(points, {}, "t", "passes", "gap"))
    boxes = []
    for point in points:
        text = named(root, point.name).find("text")
        x, width = float(text.get("x")), 6 * len(point.name)
        boxes.append((x if text.get("text-anchor") == "start" else x - width, float(text.get("y"))))
    for i, (x, y) in enumerate(boxes):
        assert all(abs(x - other) >= 40 or abs(y - height) >= 11.5 for other, height in boxes[:i])


def test_ranks_stand_in_their_order_with_bars_beside_those_that_are_alike():
    ranks, cliques = {"b": 2.5, "a": 1.25, "random": 3.5, "c": 2.75}, [["a", "b"], ["b", "c"], ["c", "random"]]
    root = parse(ranks_svg(ranks, {"a": 0, "b": 1, "c": 11}, cliques, 1.5, "ranks"))
    assert [g.get("data-name") for g in root.iter("g")] == ["a", "b", "c", "random"]
    x, y = ({name: float(named(root, name).find("circle").get(axis)) for name in ranks} for axis in ("cx", "cy"))
    assert y["a"] < y["b"] < y["c"] < y["random"]
    scale = (x["random"] - x["a"]) / (3.5 - 1.25)
    assert x["b"] - x["a"] == pytest.approx(scale * 1.25, abs=0.2)
    bars = [
        [float(line.get(key)) for key in ("x1", "y1", "y2")]
        for line in root.iter("line")
        if line.get("class") == "clique"
    ]
    reached = [{name for name in ranks if low < y[name] < high} for _, low, high in bars]
    assert sorted(map(sorted, reached)) == sorted(map(sorted, cliques))
    for column in {at for at, *_ in bars}:  # bars that would touch stand beside each other
        ends = sorted(reach for at, *reach in bars if at == column)
        assert all(one[1] < other[0] for one, other in itertools.pairwise(ends))
    (length,) = [path for path in root.iter("path") if path.get("class") == "length"]
    start, stop = re.search(r"M([\d.]+),.*H([\d.]+)", length.get("d")).groups()
    assert float(stop) - float(start) == pytest.approx(1.5 * scale, abs=0.2)
    assert named(root, "random").find("circle").get("class") == "control"
    assert float(root.get("viewBox").split()[3]) > y["random"]


@pytest.mark.parametrize("count", [2, 3, 6, 11, 26])
def test_whole_ranks_are_on_the_axis(count):
    root = parse(ranks_svg({str(i): i + 1.5 for i in range(count)}, {}, [], 0.5, "ranks"))
    inside = {text for group in root.iter("g") for text in group.iter("text")}
    ticks = [text.text for text in root.iter("text") if text not in inside and "critical" not in text.text]
    assert ticks[0] == "1"
    assert 2 <= len(ticks) <= 8
    assert all(1 < int(tick) <= count for tick in ticks[1:])


@pytest.mark.parametrize("distance", [9.0, math.inf])
def test_a_distance_beyond_the_axis_is_not_drawn(distance):
    root = parse(ranks_svg({"a": 1.0, '<b> & "c"': 1.0}, {}, [], distance, "ranks"))
    assert not list(root.iter("path"))
    assert "nan" not in ET.tostring(root).decode()
    assert not list(root.iter("b"))


@pytest.mark.parametrize("points", [[Point("a", 3, 0.0, 0)], [Point("a", 3, 1.0, 0), Point("b", 3, 1.0, 1)]])
def test_points_without_any_range(points):
    assert "nan" not in scatter_svg(points, {}, "t", "passes", "gap")


def test_names_are_text():
    name = '<b> & "c"'
    for svg in (
        curves_svg({name: [0, 1]}, {}, name, name),
        scatter_svg([Point(name, 1, 1, 0)], {name: 2}, name, "x", "y"),
    ):
        root = parse(svg)
        assert root.get("aria-label") == name
        assert not list(root.iter("b"))


def test_colours_come_again_dashed():
    assert [style(number) for number in (0, 9, 10, None)] == ["c0", "c9", "c0 again", "control"]


def test_lines_have_places_of_their_own_and_intervals():
    lines = {"a": Series([0, 1, 4], [0.0, 0.5, 1.0], [0.0, 0.25, 0.5], [0.5, 0.75, 1.0]), "b": Series([2], [math.nan])}
    root = parse(lines_svg(lines, {"a": 0, "b": 1}, "t", "eps", y_range=(0, 1), marks=True))
    points = [tuple(map(float, p.split(","))) for p in named(root, "a").find("polyline").get("points").split()]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert (x1 - x0) / (x2 - x0) == pytest.approx(0.25, abs=0.001)
    assert (y0 - y1) / (y0 - y2) == pytest.approx(0.5, abs=0.001)
    around = [tuple(map(float, p.split(","))) for p in named(root, "a").find("polygon").get("points").split()]
    assert [x for x, _ in around] == [x0, x1, x2, x2, x1, x0]
    assert around[2][1] == pytest.approx(y1)  # the lower end at 4 is the value at 1
    assert [circle.find("title").text for circle in root.iter("circle")] == ["a: 0 at 0", "a: 0.5 at 1", "a: 1 at 4"]


def test_a_single_point_is_seen():
    assert len(list(parse(lines_svg({"a": Series([1], [2])}, {}, "t", "x")).iter("circle"))) == 1

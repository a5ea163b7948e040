"""Robustness of a run: the tables of the last rounds, accuracy over strength, and panels behind a slider."""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path

from lit_attr.report.faults import shown
from lit_attr.report.history import keys
from lit_attr.report.pictures import Step, figure, slider, spread
from lit_attr.report.reading import known, last_round, number, rounds, rows
from lit_attr.visual.charts import Series, lines_svg
from lit_attr.visual.html import figures, sortable

__all__ = ["robustness"]

Row = Mapping[str, str]


def robustness(folder: Path) -> str:
    """The part of the page about a folder that `RobustnessCallback` has written.

    Raises:
        OSError: for files that cannot be read.
        ValueError: for files that hold something else.
    """
    parts = list[str]()
    if (folder / "robustness.csv").is_file():
        parts.append(shown("robustness.csv", partial(_stages, folder / "robustness.csv")))
    found = rounds(folder)
    checks = [path for one in found if (path := one.folder / "sanity.csv").is_file()]
    parts += [shown(path.name, partial(_checks, path)) for path in checks[-1:]]
    chosen = [found[i] for i in spread(len(found))]
    steps = []
    for one in chosen:
        paths = sorted(path for path in one.folder.glob("*.png") if not path.name.startswith("curve_"))
        panels = "".join(figure(path, path.stem.replace("_", " ")) for path in paths)
        steps.append(Step(one.told, f'<div class="pictures">{panels}</div>'))
    if any("<img" in step.content for step in steps):
        parts.append(f"<h3>Before and after</h3>{slider('Round', f'round-{folder.name}', steps)}")
    return "".join(parts)


def _stages(path: Path) -> str:
    """The table and the charts of the last round of each stage."""
    parts = list[str]()
    found = rows(path, "epoch", "step", "stage", "name", "strength", "value", "accuracy", "low", "high")
    for stage in dict.fromkeys(row["stage"] for row in found):
        last = last_round([row for row in found if row["stage"] == stage])
        parts.append(f"<h3>{escape(stage)}, step {escape(last[0]['step'])}</h3>{_table(last, stage)}{_charts(last)}")
    return "".join(parts)


def _table(found: Sequence[Row], stage: str) -> str:
    columns = ["attack or corruption", "strength", "accuracy", "95 % interval", "fooled", "passes", "samples"]
    body = []
    for row in found:
        accuracy, success, strength = (number(row[name]) for name in ("accuracy", "success", "value"))
        first = row["name"].replace("_", " ") if row["name"] in {"clean", "worst_case"} else row["name"]
        passes = number(row["forwards"]), number(row["backwards"])
        body.append(
            [
                (first, None),
                (row["strength"].replace("_", "/") if row["value"] else "", known(strength)),
                (f"{accuracy:.3f}", known(accuracy)),
                (f"{number(row['low']):.3f} \N{EN DASH} {number(row['high']):.3f}", known(number(row["low"]))),
                ("" if row["name"] == "clean" else f"{success:.3f}", known(success)),
                (f"{passes[0]:.0f} + {passes[1]:.0f}" if sum(passes) else "", known(sum(passes))),
                (row["samples"], known(number(row["samples"]))),
            ]
        )
    return sortable(f"Robustness, {stage}", columns, body)


def _charts(found: Sequence[Row]) -> str:
    """Accuracy over strength with its interval, all that share an axis in one chart."""
    clean = next((row for row in found if row["name"] == "clean"), None)
    by_axis: dict[str, dict[str, list[Row]]] = {}
    for row in found:
        if not math.isnan(number(row["value"])):
            axis = row.get("axis") or ("eps" if "_" in row["strength"] else "strength")
            by_axis.setdefault(axis, {}).setdefault(row["name"], []).append(row)
    charts = []
    for axis, named in by_axis.items():
        lines = {}
        for name, of in named.items():
            points = sorted(of, key=lambda row: number(row["value"]))
            xs = [number(row["value"]) for row in points]
            if clean is not None:
                points, xs = [clean, *points], [0.0, *xs]
            lines[name] = Series(xs, *([number(row[part]) for row in points] for part in ("accuracy", "low", "high")))
        numbers = {name: i for i, name in enumerate(lines)}
        told = f"accuracy under {'attack' if axis.startswith('eps') else 'corruption'}"
        svg = lines_svg(lines, numbers, f"{told} over {axis}", axis, y_range=(0, 1), marks=True)
        charts.append((told, svg + keys(numbers, {})))
    return figures(charts) if charts else ""


def _checks(path: Path) -> str:
    lines = []
    for row in rows(path, *("name", "passed", "found", "limit", "meaning")):
        passed = row["passed"] == "True"
        mark = "passed" if passed else "FAILED"
        told = f"{mark}: {row['name']} ({number(row['found']):.3f}, at most {number(row['limit']):.3f})"
        lines.append(f"<li>{escape(told)}{'' if passed else ': ' + escape(row['meaning'])}</li>")
    return f"<h3>Are gradients masked?</h3><ul>{''.join(lines)}</ul>"

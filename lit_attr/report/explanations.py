"""Explanations of a run: scores of the last round, and curves and panels of all rounds behind a slider."""

from collections.abc import Mapping
from functools import partial
from html import escape
from pathlib import Path

from lit_attr._files import plain_name
from lit_attr.report.faults import read, shown
from lit_attr.report.history import keys
from lit_attr.report.pictures import Step, figure, slider, spread
from lit_attr.report.reading import Round, known, last_round, number, rounds, rows, with_error
from lit_attr.visual.charts import Series, lines_svg, value_range
from lit_attr.visual.html import figures, sortable

__all__ = ["explanations"]

Curves = dict[str, dict[str, Series]]
"""Per metric and method."""
_NONE: tuple[dict[tuple[int, int], Curves], dict[str, str]] = ({}, {})


def explanations(folder: Path) -> str:
    """The part of the page about a folder that `ExplanationCallback` has written.

    Raises:
        OSError: for files that cannot be read.
        ValueError: for files that hold something else.
    """
    parts = list[str]()
    for name, table in (("choice.csv", _choice), ("scores.csv", _scores)):
        if (folder / name).is_file():
            parts.append(shown(name, partial(table, folder / name)))
    found = rounds(folder)
    steps_of = [found[i] for i in spread(len(found))]
    curves, along = read("curves.csv", lambda: _curves(folder), _NONE, parts)
    every: dict[str, list[float]] = {}
    for by_metric in curves.values():
        for metric, lines in by_metric.items():
            every.setdefault(metric, []).extend(y for line in lines.values() for y in line.ys)
    ranges = {metric: value_range(values) for metric, values in every.items()}
    steps = [Step(r.told, _round(r, curves.get((r.epoch, r.step), {}), along, ranges)) for r in steps_of]
    if len(steps_of) < len(found):
        parts.append(f'<p class="notes">{len(steps_of)} of {len(found)} rounds are shown; all of them are files.</p>')
    parts.append(slider("Round", f"round-{folder.name}", steps))
    return "".join(parts)


def _choice(path: Path) -> str:
    found = rows(path)
    columns = list(found[0]) if found else []
    body = [[(row[column], _value(row[column])) for column in columns] for row in found]
    return f"<h3>Choice of a method</h3>{sortable('Choice of a method', columns, body)}" if columns else ""


def _scores(path: Path) -> str:
    """Methods by metrics of the last round, with standard errors; groups of samples have columns of their own."""
    counts = ["samples", "undefined", "invalid"]
    found = rows(path, "epoch", "step", "method", "metric", "group", "value", "standard_error", *counts)
    if not found:
        return ""
    last = last_round(found)
    names = {(row["metric"], row["group"]): None for row in last}
    methods = dict.fromkeys(row["method"] for row in last)
    by = {(row["method"], row["metric"], row["group"]): row for row in last}
    body = []
    for method in methods:
        cells: list[tuple[str, object]] = [(method, None)]
        for metric, group in names:
            row = by.get((method, metric, group), {})
            value, error = known(number(row.get("value"))), known(number(row.get("standard_error")))
            cells.append((with_error(value, error), value))
        body.append(cells)
    columns = ["method", *(metric if group == "all" else f"{metric}, {group}" for metric, group in names)]
    samples = dict.fromkeys(row["samples"] for row in last if row["group"] == "all")
    lost = sum(int(number(row["undefined"]) + number(row["invalid"])) for row in last)
    told = f"Mean over {', '.join(samples)} samples, with one standard error, at step {found[-1]['step']}."
    told += f" {lost} values do not exist (undefined or not finite) and are left out." if lost else ""
    return f'{sortable("Scores of explanations", columns, body)}<p class="notes">{escape(told)}</p>'


def _curves(folder: Path) -> tuple[dict[tuple[int, int], Curves], dict[str, str]]:
    """Per round, and what the curves of a metric run along."""
    path = folder / "curves.csv"
    found: dict[tuple[int, int], Curves] = {}
    along: dict[str, str] = {}
    if not path.is_file():
        return found, along
    for row in rows(path, "epoch", "step", "metric", "along", "method", "position", "value"):
        of = found.setdefault((int(row["epoch"]), int(row["step"])), {}).setdefault(row["metric"], {})
        line = of.setdefault(row["method"], Series([], []))
        line.xs.append(number(row["position"]))  # type: ignore[attr-defined]  # lists, made in the line above
        line.ys.append(number(row["value"]))  # type: ignore[attr-defined]
        along[row["metric"]] = row["along"]
    return found, along


def _round(one: Round, curves: Curves, along: Mapping[str, str], ranges: Mapping[str, tuple[float, float]]) -> str:
    charts = []
    for metric, lines in curves.items():
        numbers = {name: i for i, name in enumerate(lines)}
        svg = lines_svg(lines, numbers, f"Mean {metric} curves", along[metric], x_range=(0, 1), y_range=ranges[metric])
        charts.append((f"{metric}, mean curves", svg + keys(numbers, {})))
    panels = list[str]()
    told = read("samples.csv", lambda: _samples(one.folder / "samples.csv"), dict[tuple[str, str], str](), panels)
    for path in sorted(one.folder.glob("sample_*.png")):
        index, _, region = path.stem.removeprefix("sample_").partition("_")
        number_of = str(int(index)) if index.isdigit() else index
        panels.append(figure(path, told.get((number_of, region)) or f"sample {number_of} {region}".rstrip()))
    summary = one.folder / "scores.png"
    if summary.is_file():
        panels.append(figure(summary, "scores of all methods, with one standard error"))
    return (figures(charts) if charts else "") + f'<div class="pictures">{"".join(panels)}</div>'


def _samples(path: Path) -> dict[tuple[str, str], str]:
    """By the number of a sample, and of a region by the name of its class in the name of its file."""
    found = {}
    for row in rows(path, "index", "prediction", "confidence", "label") if path.is_file() else ():
        sure = number(row["confidence"])
        told = f"sample {row['index']}: {row['prediction']} ({sure:.0%}), label {row['label']}"
        region = plain_name(row["label"])
        found[row["index"], ""] = found[row["index"], region] = told
    return found


def _value(text: str) -> object:
    return known(number(text)) if known(number(text)) is not None else (text or None)

"""Several runs of one benchmark, of other models and data sets, told together: one long table and one page."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lit_attr._files import write_csv, write_whole
from lit_attr.benchmark._resampling import Intervals
from lit_attr.benchmark.page import table_section
from lit_attr.benchmark.statistics import Bootstrap, paired_bootstrap
from lit_attr.benchmark.tables import ARROWS, Cell, Table, number
from lit_attr.visual.html import document, section

__all__ = ["join_runs"]


class _Run(NamedTuple):
    """One run, as it lies in its folder."""

    folder: str
    summary: dict[str, Any]
    rows: list[dict[str, str]]

    @property
    def name(self) -> str:
        return f"{self.summary['model']} on {self.summary['data']}"

    def scores(self, metric: str, methods: Sequence[str]) -> NDArray[np.float64]:
        """The value of each sample, `[methods, samples]`, NaN where there is none."""
        samples = {sample: i for i, sample in enumerate(dict.fromkeys(row["sample"] for row in self.rows))}
        found = np.full((len(methods), len(samples)), np.nan)
        for row in self.rows:
            if row["metric"] == metric and row["method"] in methods and row["value"]:
                found[methods.index(row["method"]), samples[row["sample"]]] = float(row["value"])
        return found


def join_runs(folder: str | Path, baseline: str = "") -> Path:
    """Write `table.csv` and `index.html` over all runs of a benchmark in the folders below, each whole or not at all.

    The table has a row per run (its folder), model, data set, sample, method and metric; the page, for each metric, the
    means of all runs with bootstrap intervals, and the paired differences to a method. Where several runs are of one
    model and data set, their folders tell them apart. Runs that are not finished are left out.

    Args:
        folder: with a folder for each run, as `write_files` leaves it.
        baseline: a method or control map that the others are compared with; "" for none.

    Returns:
        The page.

    Raises:
        FileNotFoundError: for a folder without a finished run.
    """
    folder = Path(folder)
    runs = [
        _read(path.parent) for path in sorted(folder.glob("*/summary.json")) if (path.parent / "table.csv").is_file()
    ]
    if not runs:
        msg = f"`folder`: {folder} has no finished run of a benchmark below it"
        raise FileNotFoundError(msg)
    rows = [row for run in runs for row in _rows(run)]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    write_csv(folder / "table.csv", columns, rows)
    write_whole(folder / "index.html", _page(runs, baseline).encode())
    return folder / "index.html"


def _read(folder: Path) -> _Run:
    with (folder / "table.csv").open(newline="", encoding="utf-8") as file:
        return _Run(folder.name, json.loads((folder / "summary.json").read_text()), list(csv.DictReader(file)))


def _rows(run: _Run) -> Iterator[dict[str, str]]:
    """The long table of a run, with what it is of and the fill of the metric, where that has one."""
    protocols = {label: metric["protocol"] for label, metric in run.summary["metrics"].items()}
    for row in run.rows:
        fill = str(protocols.get(row["metric"], {}).get("fill", ""))  # unknown of a run that is under way again
        yield {"run": run.folder, "model": run.summary["model"], "data": run.summary["data"], "fill": fill, **row}


def _page(runs: Sequence[_Run], baseline: str) -> str:
    names = list(dict.fromkeys(name for run in runs for name in run.summary["methods"]))
    metrics = {label: metric["higher_is_better"] for run in runs for label, metric in run.summary["metrics"].items()}
    called = _called(runs)
    links = "".join(
        f'<li><a href="{escape(run.folder)}/index.html">{escape(name)}</a>: {run.summary["samples"]} samples'
        f"{escape(_told(run))}</li>"
        for run, name in zip(runs, called, strict=True)
    )
    # Run by run: the samples that a bootstrap draws are kept for the next metric of as many.
    found = [{label: paired_bootstrap(run.scores(label, names)) for label in metrics} for run in runs]
    columns = ["method", *called]
    parts = [section("Runs", f"<ul>{links}</ul>")]
    for label, higher in metrics.items():
        of_metric = [by_metric[label] for by_metric in found]
        parts.append(table_section(_means(label + ARROWS[higher], columns, names, of_metric)))
        if baseline in names:
            parts.append(table_section(_differences(label, columns, names, baseline, of_metric)))
    told = f"{len(runs)} {'run' if len(runs) == 1 else 'runs'}"
    return document("lit_attr benchmark", "Attribution methods, compared", told, "\n".join(parts))


def _called(runs: Sequence[_Run]) -> list[str]:
    """A name of each, by which it is known: of several runs of one model and data set with the folder."""
    times = Counter(run.name for run in runs)
    return [run.name if times[run.name] == 1 else f"{run.name} ({run.folder})" for run in runs]


def _told(run: _Run) -> str:
    return f"; {run.summary['regions']}" if "regions" in run.summary else ""


def _means(title: str, columns: list[str], names: list[str], found: Sequence[Bootstrap]) -> Table:
    """A row per method, a column per run."""
    rows = [[Cell(name), *(_interval(one.means, i) for one in found)] for i, name in enumerate(names)]
    said = ["Mean over the samples of a run, and its bootstrap interval of 95 %; an arrow points to better."]
    return Table(title, columns, rows, said)


def _differences(label: str, columns: list[str], names: list[str], baseline: str, found: Sequence[Bootstrap]) -> Table:
    """The same of the differences to a method."""
    base = names.index(baseline)
    others = [(i, name) for i, name in enumerate(names) if i != base]
    rows = [[Cell(name), *(_interval(one.differences, (i, base)) for one in found)] for i, name in others]
    said = [f"Mean over the samples of the difference to {baseline} on the same sample, and its interval of 95 %."]
    return Table(f"{label}: difference to {baseline}", columns, rows, said)


def _interval(found: Intervals, at: int | tuple[int, int]) -> Cell:
    """A mean with its interval; the mean alone where that is unknown, a dash where there is none."""
    value, low, high = (float(part[at]) for part in found[:3])
    told = number(value)
    if not (np.isfinite(low) and np.isfinite(high)):
        return told
    return Cell(f"{told.text} [{number(low).text}, {number(high).text}]", told.value)

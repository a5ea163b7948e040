"""The page of a run: parts from the files that are there; a part that cannot be read says so and loses no other."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from lit_attr._files import write_whole
from lit_attr.report.about import files, line, what_was_run
from lit_attr.report.explanations import explanations
from lit_attr.report.faults import read, shown
from lit_attr.report.history import cards, history_charts, history_table
from lit_attr.report.reading import read_history, rows
from lit_attr.report.record import read_records
from lit_attr.report.results import benchmark, comparison, predictions
from lit_attr.report.robustness import robustness
from lit_attr.visual.html import document, section

__all__ = ["report_page", "write_report"]


def write_report(folder: str | Path) -> Path:
    """Write `report.html` into the folder of a run, from what lies in it.

    Args:
        folder: of a run that ended, was interrupted or still goes on.

    Returns:
        The page's path.

    Raises:
        OSError: where there is no such folder, or it cannot be written to.

    Example:
        >>> import tempfile
        >>> write_report(tempfile.mkdtemp()).name
        'report.html'
    """
    folder = Path(folder)
    if not folder.is_dir():
        msg = f"there is no folder '{folder}'"
        raise NotADirectoryError(msg)
    path = folder / "report.html"
    write_whole(path, report_page(folder).encode("utf-8", errors="replace"))
    return path


def report_page(folder: Path) -> str:
    """The HTML; see `write_report`."""
    faults: list[str] = []
    entries = read("run.json", lambda: read_records(folder), list[dict[str, Any]](), faults)
    history = read("metrics.csv", lambda: read_history(folder), None, faults)
    order = read("a table of scores", lambda: _names(folder), list[str](), faults)
    charts = read("metrics.csv", lambda: history_charts(history, order) if history else {}, dict[str, str](), faults)
    parts: list[tuple[str, str]] = []
    if history is not None and history.values:
        parts.append(("Results", shown("metrics.csv", lambda: cards(history) + history_table(history))))
    if (folder / "comparison.csv").is_file():
        parts.append(("Comparison", shown("comparison.csv", partial(comparison, folder / "comparison.csv"))))
    if "Training" in charts:
        parts.append(("Training", charts.pop("Training")))
    parts += _measured("Explanations", _with(folder, "scores.csv", "choice.csv"), explanations, charts)
    parts += _measured("Robustness", _with(folder, "robustness.csv"), robustness, charts)
    parts += list(charts.items())
    links = {path.parent.relative_to(folder).as_posix() for path in folder.glob("benchmark/**/summary.json")}
    links |= read("run.json", lambda: {str(link) for e in entries for link in e.get("benchmark", [])}, set(), faults)
    parts += [("Benchmark", shown(link, partial(benchmark, folder / link, link))) for link in sorted(links)]
    if (folder / "predictions.csv").is_file():
        parts.append(("Predictions", shown("predictions.csv", partial(predictions, folder / "predictions.csv"))))
    configs = sorted(folder.glob("config*.yaml"))
    parts.append(("What was run", shown("run.json", lambda: what_was_run(entries, configs))))
    parts.append(("Files", shown("the list of files", lambda: files(folder))))
    about = read("run.json", lambda: line(entries), "", faults)
    name = folder.resolve().name
    return document(f"{name} - lit_attr", f"Run {name}", about, "".join([*faults, *_sections(parts)]))


def _measured(
    title: str, folders: Sequence[Path], make: Callable[[Path], str], charts: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """A part per folder, and with the first the charts over epochs, which are taken out of `charts`."""
    over = charts.pop(title, "")
    over = f"<h3>Over epochs</h3>{over}" if over else ""
    if over and not folders:
        yield title, over
    for folder in folders:
        called = title if len(folders) == 1 else f"{title}: {folder.name}"
        yield called, shown(f"{folder.name}/", partial(make, folder)) + over
        over = ""


def _sections(parts: Iterable[tuple[str, str]]) -> list[str]:
    """Links to all, then each."""
    named = {f"part-{i}": (title, content) for i, (title, content) in enumerate(parts)}
    links = "".join(f'<a href="#{name}">{escape(title)}</a>' for name, (title, _) in named.items())
    shown = [section(title, content, name) for name, (title, content) in named.items()]
    return [f'<nav aria-label="Parts of this page">{links}</nav>', *shown]


def _with(folder: Path, *names: str) -> list[Path]:
    """The folders in it that hold one of these files."""
    return sorted({path.parent for name in names for path in folder.glob(f"*/{name}")})


def _names(folder: Path) -> list[str]:
    """Of methods and attacks as they were given: in the order in which pictures show them."""
    found = [row.get("method", "") for path in folder.glob("*/scores.csv") for row in rows(path)]
    found += [row.get("name", "") for path in folder.glob("*/robustness.csv") for row in rows(path)]
    return list(dict.fromkeys(found))

"""The tables at the end of a command."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lit_attr._run_dir import run_dir

_TITLES = {"fit": "Last validation", "validate": "Validation", "test": "Test"}


class Results(L.Callback):
    """Show what was reached and where it is, at the end of a run.

    A callback, because it is in the processes that ran: the one that started them may know another folder.
    """

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Print, on rank zero."""
        checkpoint = trainer.checkpoint_callback if stage == "fit" else None
        best = checkpoint.best_model_path if isinstance(checkpoint, ModelCheckpoint) else ""
        print_results(trainer, _TITLES[stage], best)


def print_results(trainer: L.Trainer, title: str, best: str = "") -> None:
    """Print the last logged values: one table of plain ones, one of explanations (methods by metrics), and the paths.

    Every rank must call it; rank zero prints.
    """
    folder = None if getattr(trainer, "fast_dev_run", False) else run_dir(trainer)  # in which nothing is written
    _print(logged_values(trainer), title, folder, best)


def logged_values(trainer: L.Trainer) -> dict[str, float]:
    """What was logged last, by name, without that of training."""
    return {name: float(value) for name, value in trainer.callback_metrics.items() if not name.startswith("train/")}


@rank_zero_only
def print_comparison(title: str, values: Mapping[str, Mapping[str, float]]) -> None:
    """Print the values of several runs side by side.

    Args:
        title: of the table.
        values: by the name of the run, by the name of the value.
    """
    table = Table(title=title)
    table.add_column("metric")
    for run in values:
        table.add_column(escape(run), justify="right")
    for name in sorted({name for found in values.values() for name in found}):
        table.add_row(escape(name), *(f"{found[name]:.4f}" if name in found else "" for found in values.values()))
    _show(Console(), table)


@rank_zero_only
def print_paired(
    title: str, names: Sequence[str], rows: Iterable[tuple[str, float, float, float, float, float, int]]
) -> None:
    """Print measures of the same samples under two models.

    Args:
        title: of the table.
        names: of the two.
        rows: of each measure its name, both means, the difference, the ends of its interval, and the number of samples.
            A difference whose interval has no zero in it is bold.
    """
    table = Table(title=title)
    table.add_column("measure")
    for name in (*names, "difference", "95 % interval", "samples"):
        table.add_column(escape(name), justify="right")
    for measure, first, second, difference, low, high, samples in rows:
        shown = f"{difference:+.4f}"
        shown = f"[bold]{shown}[/bold]" if low > 0 or high < 0 else shown
        interval = f"{low:+.4f} to {high:+.4f}"
        table.add_row(escape(measure), f"{first:.4f}", f"{second:.4f}", shown, interval, str(samples))
    _show(Console(), table)


@rank_zero_only
def _print(values: dict[str, float], title: str, folder: Path | None, best: str) -> None:
    console = Console()
    scores = {name: value for name, value in values.items() if name.startswith("explain/")}
    plain = Table(title=title)
    plain.add_column("metric")
    plain.add_column("value", justify="right")
    robust = {name for name in values if name.startswith("robust/")}  # RobustnessCallback has a table of its own
    for name in sorted(values.keys() - scores.keys() - robust):
        plain.add_row(escape(name), f"{values[name]:.4f}")
    for table in [plain, _explanations(scores)] if scores else [plain]:
        _show(console, table)
    if folder is not None:
        console.print(f"Results, pictures and config: [bold]{escape(str(folder))}[/bold]", soft_wrap=True)
    if best:
        console.print(f"Best checkpoint: [bold]{escape(best)}[/bold]", soft_wrap=True)


def _show(console: Console, table: Table) -> None:
    """At full width: Rich would rather cut numbers than exceed a narrow terminal, or the 80 columns of a file."""
    wide = console.options.update(max_width=10_000)
    console.width = max(console.width, console.measure(table, options=wide).maximum)
    console.print(table)


def _explanations(scores: dict[str, float]) -> Table:
    """Methods by metrics; a metric of some samples only ("gap/below_0.7") has a column of its own, one class none."""
    table = Table(title="Explanations")
    metrics = [name for name in dict.fromkeys(name.split("/", 2)[2] for name in scores) if "/of_" not in name]
    methods = list(dict.fromkeys(name.split("/")[1] for name in scores))
    table.add_column("method")
    for metric in metrics:
        table.add_column(escape(metric), justify="right")
    for method in methods:
        found = (scores.get(f"explain/{method}/{metric}") for metric in metrics)
        table.add_row(escape(method), *("" if value is None else f"{value:.3f}" for value in found))
    return table

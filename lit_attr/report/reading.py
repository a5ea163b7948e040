"""The files of a run as plain data."""

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["History", "Round", "known", "last_round", "number", "read_history", "rounds", "rows", "with_error"]

_ROUND = re.compile(r"(?:(?P<stage>[a-z]+)_)?epoch_(?P<epoch>\d+)_step_(?P<step>\d+)")


class History(NamedTuple):
    """What was logged: per name its places and values, and what the places count."""

    values: dict[str, list[tuple[float, float]]]
    along: str


class Round(NamedTuple):
    """A folder of one round of explanations or of attacks."""

    folder: Path
    stage: str
    epoch: int
    step: int

    @property
    def told(self) -> str:
        """For people; epochs are counted from 1, as that many are finished."""
        return ", ".join(
            filter(None, [self.stage, f"epoch {self.epoch + (self.stage != 'test')}", f"step {self.step}"])
        )


def rows(path: Path, *columns: str) -> list[dict[str, str]]:
    """The lines of a CSV file by the names of its columns; a last line that was cut is left out.

    Args:
        path: of the file.
        columns: that it must have.

    Raises:
        OSError: where it cannot be read.
        ValueError: where it is no table, or lacks a column.
    """
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        reader = csv.DictReader(file)
        try:
            names = reader.fieldnames or []
            found = [row for row in reader if None not in row and None not in row.values()]
        except csv.Error as error:
            msg = f"line {reader.line_num}: {error}"
            raise ValueError(msg) from error
    missing = [name for name in columns if name not in names]
    if missing:
        msg = f"no column {missing[0]!r}" if names else "it is empty"
        raise ValueError(msg)
    return found


def number(text: str | None) -> float:
    """NaN for what is none."""
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def known(value: float) -> float | None:
    """None for NaN."""
    return None if math.isnan(value) else value


def with_error(value: float | None, error: float | None) -> str:
    """A value with its standard error, of which either may be unknown."""
    text = "" if value is None else f"{value:.3f}"
    return text if error is None else f"{text} \N{PLUS-MINUS SIGN} {error:.3f}"


def last_round(found: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The lines of the epoch and step of the last of them."""
    return [row for row in found if (row["epoch"], row["step"]) == (found[-1]["epoch"], found[-1]["step"])]


def read_history(folder: Path) -> History | None:
    """`metrics.csv` as Lightning's CSVLogger writes it, else `history.csv`; None where there is neither.

    Places are finished epochs: an epoch's last step lies at a whole number, those before it in between.
    """
    logged, own = folder / "metrics.csv", folder / "history.csv"
    if logged.is_file():
        lines = rows(logged, "step")
    elif own.is_file():
        lines = [
            {"epoch": row["epoch"], "step": row["step"], row["name"]: row["value"]}
            for row in rows(own, "epoch", "step", "name", "value")
        ]
    else:
        return None
    places = _places(lines)
    values: dict[str, list[tuple[float, float]]] = {}
    for line in lines:
        step = number(line.get("step"))
        place = places(number(line.get("epoch")), step) if places else step
        for name, text in line.items():
            value = number(text)
            if name not in {"step", "epoch"} and not math.isnan(value):
                values.setdefault(name, []).append((place, value))
    return History(values, "epoch" if places else "step")


def rounds(folder: Path) -> list[Round]:
    """The rounds that have a folder, in their order."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _ROUND.fullmatch(path.name)
        if match and path.is_dir():
            found.append(Round(path, match["stage"] or "", int(match["epoch"]), int(match["step"])))
    return sorted(found, key=lambda r: (r.step, r.epoch, r.stage == "test"))


class _Places:
    """From epoch and step to finished epochs."""

    def __init__(self, ends: dict[float, float]) -> None:
        self._ends = ends
        self._starts: dict[float, float] = {}
        before, lengths = -1.0, list[float]()
        for epoch in sorted(ends):
            self._starts[epoch] = before
            lengths.append(ends[epoch] - before)
            before = ends[epoch]
        if len(lengths) > 1 and lengths[-1] < lengths[-2]:  # interrupted in the last
            self._ends = {**ends, max(ends): self._starts[max(ends)] + lengths[-2]}

    def __call__(self, epoch: float, step: float) -> float:
        start, end = self._starts[epoch], self._ends[epoch]
        return epoch + (step - start) / max(1.0, end - start)


def _places(lines: list[dict[str, str]]) -> _Places | None:
    """None where not every line has an epoch and a step."""
    ends: dict[float, float] = {}
    for epoch, step in _numbers(lines):
        if math.isnan(epoch) or math.isnan(step):
            return None
        ends[epoch] = max(step, ends.get(epoch, -1.0))
    return _Places(ends) if ends else None


def _numbers(lines: list[dict[str, str]]) -> Iterator[tuple[float, float]]:
    for line in lines:
        yield number(line.get("epoch")), number(line.get("step"))

"""What a folder says about the commands that ran in it: `run.json`, a list with an entry per command."""

import json
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from lit_attr._files import write_whole

__all__ = ["Record", "read_records"]

_NAME = "run.json"
_PACKAGES = ("lit_attr", "torch", "torchvision", "lightning", "torchmetrics", "torchattacks", "captum", "numpy")


class Record:
    """The entry of one command, written when it starts and again when it ends.

    Args:
        folder: of the run; it is made where it is missing.
        stage: "fit", "validate", "test" or "predict".
        facts: what is known beyond the command line, the versions and the time; plain data.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> record = Record(Path(folder), "test", {"seed": 3})
        >>> record.end("finished")
        >>> [(entry["stage"], entry["status"], entry["seed"]) for entry in read_records(Path(folder))]
        [('test', 'finished', 3)]
    """

    def __init__(self, folder: Path, stage: str, facts: Mapping[str, Any]) -> None:
        self._path = folder / _NAME
        self._entry = {
            "stage": stage,
            "status": "running",
            "started": _now(),
            "ended": None,
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
            **facts,
            "versions": {"python": platform.python_version(), **_versions()},
        }
        self._write()

    def add(self, facts: Mapping[str, Any]) -> None:
        """Facts that are known only later."""
        self._entry |= facts

    def end(self, status: str) -> None:
        """Write how it ended: "finished", or why not."""
        self._entry |= {"status": status, "ended": _now()}
        self._write()

    def _write(self) -> None:
        """Beside the entries of other commands; one of ours is told by its start."""
        try:
            others = [entry for entry in read_records(self._path.parent) if entry["started"] != self._entry["started"]]
        except (ValueError, KeyError, TypeError):  # a file that is not ours, or was cut
            others = []
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._path, json.dumps([*others, self._entry], indent=1, default=str).encode())


def read_records(folder: Path) -> list[dict[str, Any]]:
    """The entries, the last command last; none where there is no file.

    Raises:
        ValueError: for a file that holds something else.
    """
    path = folder / _NAME
    if not path.is_file():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        msg = f"{_NAME} is no list of entries"
        raise ValueError(msg)
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

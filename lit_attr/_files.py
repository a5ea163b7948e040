"""Files that are there whole or not at all."""

import csv
import errno
import hashlib
import io
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Another name to write a file under; it gets its own at the end, and what fails leaves nothing behind."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, and come back when it is on the disk, so that others may be told of it."""
    with whole(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name too
    finally:
        os.close(folder)


def sha256(path: Path) -> str:
    """Of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def require_space(folder: Path, needed: int) -> None:
    """Refuse a folder on a disk with less free space.

    Raises:
        OSError: with ENOSPC.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        msg = f"the bank takes {readable(needed)}, and only {readable(free)} are free"
        raise OSError(errno.ENOSPC, msg, str(folder))


def readable(size: float) -> str:
    """Bytes in the unit that suits them.

    Example:
        >>> readable(1_536_000)
        '1.54 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def plain_name(text: str) -> str:
    """A text as a part of a file's name: whatever is neither letter nor digit becomes a line.

    Example:
        >>> plain_name("hf-hub:timm/vit a")
        'hf_hub_timm_vit_a'
    """
    return "".join(c if c.isalnum() else "_" for c in text)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any] | Mapping[str, Any]]) -> None:
    """Write a table whole; a row is its cells in order, or cells by column, of which those it lacks are empty.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp(), "table.csv")
        >>> write_csv(path, ["a", "b"], [[1, 2], {"a": 3}])
        >>> path.read_text().split()
        ['a,b', '1,2', '3,']
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)  # refuses cells of other columns
    writer.writeheader()
    for row in rows:
        if isinstance(row, Mapping):
            writer.writerow(row)
        else:
            writer.writer.writerow(row)
    write_whole(path, text.getvalue().encode(errors="surrogateescape"))  # names of files need not be valid UTF-8


def append_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Add rows to a table, which a new file begins with its columns."""
    with path.open("a", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file).writerows(rows if file.tell() else [columns, *rows])

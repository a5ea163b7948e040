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


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as the text of a CSV file with these columns; what a row lacks is empty.

    Example:
        >>> csv_text(["a", "b"], [{"a": 1, "b": 2}, {"a": 3}]).split()
        ['a,b', '1,2', '3,']
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()

"""What W&B has stored of an offline run, read back from its file."""

import json
import struct
from pathlib import Path

from wandb.proto.wandb_internal_pb2 import Record


def records(file: Path) -> list[Record]:
    """The records of a run's file: a LevelDB log, pieces with a head of seven bytes in blocks of 32 KiB."""
    data, at, parts, found = file.read_bytes(), 7, b"", []
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in {1, 4}:  # the whole record, or its last piece
            found.append(Record.FromString(parts))
            parts = b""
    return found


def history(file: Path) -> list[dict[str, object]]:
    """What was logged, row by row; the parts of a nested value under names with slashes."""
    rows = [record.history.item for record in records(file) if record.WhichOneof("record_type") == "history"]
    return [{"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in row} for row in rows]


def config(file: Path) -> dict[str, object]:
    """The run's config, as its last updates leave it."""
    found: dict[str, object] = {}
    for record in records(file):
        kind = record.WhichOneof("record_type")
        update = {"run": record.run.config.update, "config": record.config.update}.get(kind, [])
        found |= {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in update}
    return found

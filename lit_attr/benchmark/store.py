"""Results per sample on disk as they come: small files, each whole or absent, found again by what they are of."""

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lit_attr._checks import ArgumentError
from lit_attr._files import write_whole

__all__ = ["Shard", "Store"]

_FORMAT = "1"


@dataclass(frozen=True, eq=False)
class Shard:
    """What one method gave for a few samples.

    Attributes:
        method: identity of the method with its settings.
        samples: identity of each sample, `B`.
        items: identities of the metrics that they were measured by.
        tensors: what was found, each `[B, ...]`.
        facts: what else is known, as plain data.
    """

    method: str
    samples: tuple[str, ...]
    items: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of its file: the same for the same method, samples and items."""
        what = zlib.crc32(json.dumps([self.samples, sorted(self.items)]).encode())
        return f"{self.method}-{what:08x}.safetensors"


class Store:
    """A folder of shards, all of one model.

    A shard is written under another name and renamed when it is on the disk, so that a run that is killed at any point
    leaves whole shards; a run that is started again knows what is in them. Several processes may write into one folder,
    each its own samples.

    Args:
        folder: where; made where it is missing.
        origin: what all shards are of, such as the identity of the model. A folder of another origin is refused.

    Raises:
        ArgumentError: for a folder, or a shard in it, of another origin; it is named.

    Example:
        >>> import tempfile, torch
        >>> store = Store(tempfile.mkdtemp(), {"model": "a"})
        >>> store.write(Shard("ig", ("s1", "s2"), ("gap",), {"value/gap": torch.tensor([0.5, 0.75])}))
        >>> [shard.samples for shard in Store(store.folder, {"model": "a"}).shards()]
        [('s1', 's2')]
    """

    def __init__(self, folder: str | Path, origin: Mapping[str, str]) -> None:
        self.folder = Path(folder)
        self.origin = {"format": _FORMAT, **origin}
        self._shards = self.folder / "shards"

    def claim(self) -> None:
        """Note the origin in the folder, or see that the note says the same, and put away what cannot be read.

        For one process, before the others ask for `shards`. A shard that is cut short or damaged is removed with a
        warning that names it: what it held is computed again.
        """
        note = self.folder / "manifest.json"
        self._shards.mkdir(parents=True, exist_ok=True)
        if note.is_file():
            found = json.loads(note.read_text())
            for key, value in self.origin.items():
                if found.get(key) != value:
                    accepted = f"a folder with results of {key} {value}, or a new one"
                    raise ArgumentError("folder", f"{self.folder}, of {key} {found.get(key)}", accepted)
        else:
            write_whole(note, json.dumps(self.origin, indent=1).encode())
        for path in self._paths():
            if self._read(path) is None:
                from lightning.pytorch.utilities import rank_zero_warn  # slow to come, and `lit_attr.select` needs none

                rank_zero_warn(f"{path} is cut short or damaged; it is removed, and what it held is computed again")
                path.unlink()

    def write(self, shard: Shard) -> None:
        """Put a shard on the disk, whole or not at all."""
        self._shards.mkdir(parents=True, exist_ok=True)
        path = self._shards / shard.name
        unfinished = path.with_name(f".{path.name}.tmp")  # the same again after a kill, which so leaves nothing behind
        # Copies: what metrics share is one tensor, and safetensors refuses those.
        kept = {name: value.detach().cpu().contiguous().clone() for name, value in shard.tensors.items()}
        about = {"method": shard.method, "samples": shard.samples, "items": shard.items, "facts": shard.facts}
        note = {"about": json.dumps(about), "origin": json.dumps(self.origin), "sum": _sum(kept)}
        save_file(kept, unfinished, metadata=note)
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)

    def shards(self) -> Iterator[Shard]:
        """All whole shards, in the order of their names."""
        for path in self._paths():
            shard = self._read(path)
            if shard is not None:
                yield shard

    def _paths(self) -> Iterable[Path]:
        return sorted(self._shards.glob("[!.]*.safetensors"))

    def _read(self, path: Path) -> Shard | None:
        """A shard; None for a file that is damaged. One of another origin is refused."""
        try:
            with safe_open(path, "pt") as file:
                note = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            about, origin = json.loads(note["about"]), json.loads(note["origin"])
        except (SafetensorError, OSError, KeyError, ValueError):
            return None
        if origin != self.origin:
            accepted = f"one with results of {self.origin} only: remove that file, or give a new folder"
            raise ArgumentError("folder", f"{path}, of {origin}", accepted)
        if note.get("sum") != _sum(tensors):
            return None
        return Shard(about["method"], tuple(about["samples"]), tuple(about["items"]), tensors, about["facts"])


def _sum(tensors: Mapping[str, Tensor]) -> str:
    total = 0
    for name in sorted(tensors):
        plain = tensors[name].reshape(-1).view(torch.uint8)  # NumPy has no bfloat16
        total = zlib.crc32(plain.numpy().tobytes(), zlib.crc32(name.encode(), total))
    return f"{total:08x}"

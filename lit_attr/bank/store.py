"""A bank on disk: shards in safetensors, and a manifest that says what they must be.

`manifest.json` has what the variants come from (`origin`: the model, the settings, the samples), and of each shard that
is finished its size and SHA-256. Each process notes the shards that it has finished in a journal of its own, from which
the manifest is completed; so a run that was killed at any point goes on where it was. Every file but a journal is there
whole or not at all; of a journal a last line that is cut is left out.
"""

import hashlib
import json
import os
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from lit_attr._files import sha256, write_whole

__all__ = ["Bank", "BankError", "Store"]

_VERSION = 1
_MANIFEST = "manifest.json"
_OPEN = 32  # shards: each holds a file descriptor
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_COLUMNS = ("index", "label", "path", "key", "confidence", "steps", "reached", "l2", "ssim", "digest")


class BankError(ValueError):
    """A bank that is damaged, not finished, or another one than is asked for; the message names the file."""


class Store:
    """The folder of a bank, finished or not.

    Args:
        folder: where it is, or will be.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    @property
    def exists(self) -> bool:
        """Whether a bank was begun here."""
        return (self.folder / _MANIFEST).is_file()

    def manifest(self) -> dict[str, Any]:
        """What the folder holds.

        Raises:
            BankError: where there is no manifest of ours.
        """
        path = self.folder / _MANIFEST
        try:
            found = json.loads(path.read_text())
        except FileNotFoundError as error:
            msg = f"`bank`: {self.folder} has no {_MANIFEST}; give the folder of a bank"
            raise BankError(msg) from error
        except (json.JSONDecodeError, UnicodeDecodeError):
            found = None
        if not isinstance(found, dict) or found.get("version") != _VERSION or "origin" not in found:
            msg = f"`bank`: {path} is damaged, or no manifest of a bank of version {_VERSION}"
            raise BankError(msg)
        return found

    def begin(self, origin: Mapping[str, Any], names: Sequence[str]) -> list[str]:
        """Claim the folder for a bank, or go on with it; the names of the shards that are missing.

        To be called by one process, before any calls `put`.

        Raises:
            BankError: if the folder holds another bank, or a shard that is not as it was written.
        """
        if self.exists:
            self._require(origin)
            found = self.manifest()
        else:
            if self.folder.is_dir() and any(self.folder.glob("*.safetensors")):
                msg = f"`bank`: {self.folder} holds shards without a {_MANIFEST}; give another folder, or remove it"
                raise BankError(msg)
            self.folder.mkdir(parents=True, exist_ok=True)
            found = {"version": _VERSION, "origin": dict(origin), "complete": False, "shards": {}}
        known = found["shards"] | self._journals()
        found["shards"] = {name: facts for name, facts in known.items() if (self.folder / name).is_file()}
        for name in found["shards"]:
            self.check(name, found)
        missing = [name for name in names if name not in found["shards"]]
        self._write(found | {"complete": found["complete"] and not missing})
        for path in self.folder.glob("*.tmp"):  # of writers that were killed
            path.unlink()
        return missing

    def put(self, name: str, tensors: Mapping[str, Tensor], rank: int) -> None:
        """Write a shard, then note that it is finished."""
        content = save({key: value.contiguous() for key, value in tensors.items()}, self._metadata(name))
        write_whole(self.folder / name, content)
        facts = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        facts |= {"variants": len(tensors["index"]), "reached": int(tensors["reached"].sum())}
        with (self.folder / f"journal.rank{rank}.jsonl").open("a") as journal:
            journal.write("\n" + json.dumps({name: facts}))  # the line before may be cut
            journal.flush()
            os.fsync(journal.fileno())

    def finish(self, names: Sequence[str]) -> None:
        """Complete the manifest; to be called by one process, when all have finished."""
        found = self.manifest()
        shards = found["shards"] | self._journals()
        found["shards"] = {name: shards[name] for name in names}
        for fact in ("variants", "reached", "bytes"):
            found[fact] = sum(facts[fact] for facts in shards.values())
        found["complete"] = True
        self._write(found)

    def check(self, name: str, manifest: Mapping[str, Any]) -> None:
        """Refuse a shard that is not as it was written.

        Raises:
            BankError: which names it.
        """
        path, facts = self.folder / name, manifest["shards"][name]
        remedy = "remove it and build the bank again, to have it made again"
        if not path.is_file():
            msg = f"`bank`: the shard {path} is missing; build the bank again to have it made again"
            raise BankError(msg)
        size = path.stat().st_size
        if size < facts["bytes"]:
            msg = f"`bank`: the shard {path} is truncated, {size} of {facts['bytes']} bytes; {remedy}"
            raise BankError(msg)
        if sha256(path) != facts["sha256"]:
            msg = f"`bank`: the shard {path} is not the one that was written{self._stranger(path, manifest)}; {remedy}"
            raise BankError(msg)

    def _stranger(self, path: Path, manifest: Mapping[str, Any]) -> str:
        """In words, whether a shard is of another bank."""
        try:
            with safe_open(path, framework="pt") as file:
                bank = (file.metadata() or {}).get("bank", "")
        except SafetensorError:
            return ""
        return "" if bank.startswith(_name_of(manifest["origin"])) else " but of another bank"

    def _require(self, origin: Mapping[str, Any]) -> None:
        theirs = self.manifest()["origin"]
        for key in sorted({*theirs, *origin}):
            if theirs.get(key) != origin.get(key):
                msg = (
                    f"`bank`: {self.folder} holds variants of another `{key}` ({theirs.get(key)}; now "
                    f"{origin.get(key)}); give another folder, or remove it"
                )
                raise BankError(msg)

    def _metadata(self, name: str) -> dict[str, str]:
        return {"bank": f"{_name_of(self.manifest()['origin'])} {name}"}  # of several entries the order is left open

    def _journals(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for path in sorted(self.folder.glob("journal.rank*.jsonl")):
            for line in path.read_text().splitlines():
                try:
                    found |= json.loads(line or "{}")
                except json.JSONDecodeError:  # cut as the process was killed
                    continue
        return found

    def _write(self, manifest: Mapping[str, Any]) -> None:
        write_whole(self.folder / _MANIFEST, json.dumps(manifest, indent=1).encode())
        for path in self.folder.glob("journal.rank*.jsonl"):  # what they say is in it
            path.unlink()


class Bank:
    """A finished bank: its variants by number, and what is known of each.

    Columns, one value per variant: `index` (of the source in the training set), `label` (its class; of a source with a
    mask the class whose region has lost the confidence), `path` (the number of the walk
    among those of its source), `key` (of the walk's random numbers), `confidence` (of the label, at the end), `steps`,
    `reached` (whether confidence fell to epsilon), `l2` and `ssim` (distance and likeness to the source; the latter is
    NaN below 11 pixels), `digest` (of the source, see `digest_of`).

    Args:
        folder: of the bank.

    Attributes:
        origin: what the variants come from.
        columns: by name, tensors `[N]`.

    Raises:
        BankError: if it is not finished, or a shard is missing, truncated or foreign; the message names it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.store = Store(folder)
        self.folder = self.store.folder
        manifest = self.store.manifest()
        if not manifest["complete"]:
            msg = f"`bank`: {self.folder} is not finished ({len(manifest['shards'])} shards); build it again to go on"
            raise BankError(msg)
        self.origin: dict[str, Any] = manifest["origin"]
        self._names = list(manifest["shards"])
        self._open: OrderedDict[str, Any] = OrderedDict()
        for name in self._names:
            self.store.check(name, manifest)
        counts = torch.tensor([manifest["shards"][name]["variants"] for name in self._names])
        self._ends = counts.cumsum(0)
        read = [[self._shard(name).get_tensor(column) for column in _COLUMNS] for name in self._names]
        self.columns = {
            column: torch.cat(parts) for column, parts in zip(_COLUMNS, zip(*read, strict=True), strict=True)
        }

    def __len__(self) -> int:
        return len(self.columns["index"])

    def image(self, number: int) -> Tensor:
        """A variant as it is stored, uint8 (0..255) or float16 (in the range of the inputs)."""
        if not 0 <= number < len(self):
            msg = f"variant {number} of a bank of {len(self)}"
            raise IndexError(msg)
        shard = int(torch.searchsorted(self._ends, number, right=True))
        first = int(self._ends[shard - 1]) if shard else 0
        found: Tensor = self._shard(self._names[shard]).get_slice("images")[number - first]
        return found

    def _shard(self, name: str) -> Any:
        """An open shard; the last used ones stay open."""
        if name not in self._open:
            self._open[name] = safe_open(self.folder / name, framework="pt")
        self._open.move_to_end(name)
        if len(self._open) > _OPEN:
            self._open.popitem(last=False)
        return self._open[name]

    def __getstate__(self) -> dict[str, Any]:
        """Without the open files, which a worker process opens for itself."""
        return self.__dict__ | {"_open": OrderedDict()}


def digest_of(image: Tensor, label: int | Tensor = 0) -> int:
    """Eight bytes that tell a source from others, as a signed number: of its values in 1/255, rounded, and of its mask.

    A class index is not in it: it has a column of its own.
    """
    levels = (image.detach().cpu().float() * 255).round().to(torch.int32).contiguous()
    told = str(tuple(levels.shape)).encode() + levels.numpy().tobytes()
    if isinstance(label, Tensor):
        told += label.cpu().to(torch.int32).contiguous().numpy().tobytes()
    return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest(), "little", signed=True)


def in_words(setting: object) -> str:
    """A setting as text, the same in every process: a function is known by its name, not by its address."""
    return _ADDRESS.sub("", str(setting))


def _name_of(origin: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(origin, sort_keys=True).encode()).hexdigest()

"""Adversarial samples of a whole data set, kept on disk with what they come from.

They lie in files of a few samples, each of which is there whole or not at all and says which attack, model and samples
it is of. So processes share the files among them, and a run that was killed goes on with those that are missing.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.data import Dataset

from lit_attr._checks import ArgumentError, positive_int
from lit_attr._files import write_whole
from lit_attr._ranks import on_each_rank, rank_and_size
from lit_attr._view import looking_at
from lit_attr.attacks import Attack, get_attack
from lit_attr.attacks.attack import rightly
from lit_attr.bank.build import Samples, model_hash
from lit_attr.bank.store import digest_of, in_words

__all__ = ["AdversarialSet", "attack_samples"]

_ORIGIN = "adversarial"  # key of the files' metadata
_COLUMNS = ("label", "right", "fooled")


class AdversarialSet(Dataset[tuple[Tensor, int]]):
    """Adversarial samples from a folder of `attack_samples`; items are (sample, label).

    Args:
        folder: where they are.

    Attributes:
        origin: the attack, its settings, the model's hash and the number of samples, in plain values.
        columns: of each sample, tensors `[N]`: its `label`; `right`, whether the model predicted that without the
            attack; `fooled`, whether it does not with it.

    Raises:
        ArgumentError: for a folder that is not finished, or holds other files.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._paths = sorted(self.folder.glob("*.safetensors"))
        told = [_told(path) for path in self._paths]
        if not told:
            raise ArgumentError("folder", self.folder, "one that `attack_samples` has filled")
        self.origin: dict[str, Any] = told[0]["origin"]
        read: list[list[Tensor]] = []
        for path, each in zip(self._paths, told, strict=True):
            _require(path, each["origin"], self.origin)
            with safe_open(path, framework="pt") as file:
                read.append([file.get_tensor(name) for name in _COLUMNS])
        self.columns = {name: torch.cat(parts) for name, parts in zip(_COLUMNS, zip(*read, strict=True), strict=True)}
        if len(self) < self.origin["samples"]:
            got = f"{self.folder}, which has {len(self)} of {self.origin['samples']} samples"
            raise ArgumentError("folder", got, "a finished one; call `attack_samples` again to go on")

    def __len__(self) -> int:
        return len(self.columns["label"])

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """A sample as the attack left it, and its true class."""
        if not 0 <= index < len(self):
            msg = f"sample {index} of {len(self)}"
            raise IndexError(msg)
        number, place = divmod(index, self.origin["size"])
        with safe_open(self._paths[number], framework="pt") as file:
            sample: Tensor = file.get_slice("sample")[place]
        return sample, int(self.columns["label"][index])


def attack_samples(
    folder: str | Path,
    attack: str | Mapping[str, Any] | Attack,
    model: nn.Module,
    samples: Samples,
    *,
    size: int = 64,
) -> AdversarialSet:
    """Attack every sample of a data set and keep what comes of it, or go on where a run was killed.

    Where there is a process group, every process must call this, with its copy of the model; each does its share of the
    files, and they are the same for any number of processes.

    Args:
        folder: where to write; files of another attack, model or data set are refused.
        attack: its name, settings with the name under `class`, or an `Attack`; an untargeted one, or one that chooses
            its targets.
        model: see `Attack.run`; evaluated where its parameters are.
        samples: of a length, with items (float tensor, class index), the same whenever they are read.
        size: samples in a file, which are attacked at once and lost when a run is killed.

    Raises:
        ArgumentError: for what cannot be attacked, see `Attack.run`, and for files of something else.

    Example:
        >>> import tempfile
        >>> samples = [(torch.rand(1, 4, 4), i % 2) for i in range(5)]
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = attack_samples(folder, {"class": "pgd", "eps": 0.1}, model, samples, size=2)
        ...     len(found), found[4][0].shape, found.origin["attack"]
        (5, torch.Size([1, 4, 4]), 'PGD')
    """
    attack = get_attack(attack)
    positive_int("size", size)
    total = len(samples)  # type: ignore[arg-type]  # a data set with a length
    positive_int("the number of samples", total)
    if attack.targeted is True:
        raise ArgumentError("attack.targeted", True, "false, 'random' or 'least_likely': the true class is given")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    origin = _origin(attack, model, total, size)
    rank, ranks = rank_and_size()

    def work() -> None:
        for number in range(rank, -(-total // size), ranks):
            path = folder / f"part_{number:06d}.safetensors"
            numbers = range(number * size, min((number + 1) * size, total))
            read = [samples[i] for i in numbers]
            told = {"origin": origin, "samples": _hashed(read)}
            if path.exists():
                _require(path, _told(path), told)
            else:
                write_whole(path, save(_attacked(attack, model, read), {_ORIGIN: json.dumps(told)}))

    on_each_rank(work)
    return AdversarialSet(folder)


def _attacked(attack: Attack, model: nn.Module, read: Sequence[tuple[Tensor, int]]) -> dict[str, Tensor]:
    """What an attack makes of some samples, on the CPU."""
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    inputs = torch.stack([sample for sample, _ in read]).to(device)
    labels = torch.tensor([int(label) for _, label in read], device=device)
    with looking_at(model, inputs, labels) as view:
        right = rightly(view.evidence_at(view.inputs, view.rows, attack.max_batch), labels)
    found = attack.run(model, inputs, labels)
    fooled = ~rightly(found.evidence, labels)
    columns = {"sample": found.adversarial, "label": labels, "right": right, "fooled": fooled}
    return {name: values.cpu().contiguous() for name, values in columns.items()}


def _origin(attack: Attack, model: nn.Module, total: int, size: int) -> dict[str, Any]:
    """What the samples come from, in plain values."""
    settings = {f.name: in_words(getattr(attack, f.name)) for f in fields(attack) if f.name != "max_batch"}
    known = model_hash(model.state_dict())
    return {"attack": type(attack).__name__, "settings": settings, "model": known, "samples": total, "size": size}


def _hashed(read: Sequence[tuple[Tensor, int]]) -> str:
    told = repr([(digest_of(sample), int(label)) for sample, label in read])
    return hashlib.sha256(told.encode()).hexdigest()


def _told(path: Path) -> dict[str, Any]:
    """What a file says that it comes from."""
    try:
        with safe_open(path, framework="pt") as file:
            found: dict[str, Any] = json.loads((file.metadata() or {})[_ORIGIN])
    except (SafetensorError, KeyError) as error:
        raise ArgumentError(
            "folder", f"{path}, which is damaged or something else", "one of adversarial samples"
        ) from error
    return found


def _require(path: Path, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Refuse a file that comes from something else, saying from what."""
    for key, value in ours.items():
        if isinstance(value, dict):
            _require(path, theirs.get(key, {}), value)
        elif theirs.get(key) != value:
            got = f"{path.parent}, where {path.name} has another `{key}` ({theirs.get(key)}; now {value})"
            raise ArgumentError("folder", got, "a new one, or one of the same attack, model and samples")

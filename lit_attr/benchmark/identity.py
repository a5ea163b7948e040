"""What tells models, samples and settings apart, also after a restart: short texts that are equal where those are."""

import dataclasses
import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lit_attr.attribution import Method
from lit_attr.metrics import AttributionMetric
from lit_attr.targets import Target

__all__ = ["model_identity", "sample_identities", "settings_identity"]

_DIGITS = 16
_WITHOUT_EFFECT = {"max_batch"}  # results do not depend on it, and a run that ran out of memory goes on with a smaller
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def model_identity(model: nn.Module) -> str:
    """A model, by the types of its parts and the bytes of its parameters and buffers.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> before = model_identity(model)
        >>> nn.init.zeros_(model.bias) is model.bias, model_identity(model) == before
        (True, False)
    """
    parts = hashlib.sha256()
    for name, module in model.named_modules():
        parts.update(f"{name} {type(module).__qualname__};".encode())
    for name, value in model.state_dict().items():
        parts.update(name.encode())
        parts.update(_bytes(value) if isinstance(value, Tensor) else described(value).encode())
    return parts.hexdigest()[:_DIGITS]


def sample_identities(inputs: Tensor, target: Target | Tensor | int | None, masks: Tensor | None = None) -> list[str]:
    """Each sample of a batch, by the bytes of its input, of what is explained of it, and of its mask."""
    return [_hashed(_parts_of(row, inputs, target, masks)) for row in range(len(inputs))]


def settings_identity(label: str, item: Method | AttributionMetric | Any) -> str:
    """A method or metric under the name that it is logged under, by its settings.

    Functions among them are told by their names: give one that was changed another label, so that it is measured again.

    Example:
        >>> from lit_attr.attribution import IntegratedGradients
        >>> steps = [settings_identity("ig", IntegratedGradients(steps=n)) for n in (8, 8, 9)]
        >>> steps[0] == steps[1], steps[1] == steps[2]
        (True, False)
    """
    if isinstance(item, AttributionMetric):
        protocol = {key: value for key, value in item.protocol.items() if key != "confidence_edges"}
        text = f"{_name(type(item))} {described(protocol)} {_ADDRESS.sub('', item.identity)}"
    else:
        text = described(item.resolved() if isinstance(item, Method) else item)
    return _hashed([label.encode(), text.encode()])


def described(value: object) -> str:
    """A setting in words that differ where settings do and are the same in every process."""
    if isinstance(value, Tensor):
        return f"{value.dtype} {tuple(value.shape)} {_hashed([_bytes(value)])}"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        known = [f.name for f in dataclasses.fields(value) if f.name not in _WITHOUT_EFFECT]
        inside = ", ".join(f"{name}={described(getattr(value, name))}" for name in known)
        return f"{_name(type(value))}({inside})"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{described(key)}: {described(value[key])}" for key in sorted(value, key=str)) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(described, value)) + "]"
    return _name(value) if hasattr(value, "__qualname__") else _ADDRESS.sub("", repr(value))


def _name(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _parts_of(row: int, inputs: Tensor, target: Target | Tensor | int | None, masks: Tensor | None) -> Iterator[bytes]:
    yield described([str(inputs.dtype), list(inputs.shape[1:])]).encode()
    yield _bytes(inputs[row])
    if masks is not None:
        yield b"mask" + _bytes(masks[row])
    if isinstance(target, Target):
        yield _name(type(target)).encode()
        for name, value in sorted(vars(target).items()):
            if name.startswith("_") and isinstance(value, int | list):
                continue  # kept of the whole batch, such as its highest class
            of_sample = isinstance(value, Tensor) and value.dim() and len(value) == len(inputs)
            yield name.encode() + (_bytes(value[row]) if of_sample else described(value).encode())
    else:
        yield str(int(target[row]) if isinstance(target, Tensor) and target.dim() else target).encode()


def _hashed(parts: Any) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "big") + part)
    return found.hexdigest()[:_DIGITS]


def _bytes(value: Tensor) -> bytes:
    plain = value.detach().cpu().contiguous().reshape(-1)
    return plain.view(torch.uint8).numpy().tobytes() if len(plain) else b""

"""Every argument check and its wording, once. Each error names the argument, its value and what is accepted."""

from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lit_attr.registry import did_you_mean

_TYPES: dict[Any, tuple[str, Any]] = {
    bool: ("true or false", bool),
    int: ("an integer", int),
    float: ("a number", int | float),
}


class ArgumentError(ValueError):
    """An argument outside what is accepted; the message is built here so that all read alike.

    Example:
        >>> raise ArgumentError("steps", 0, "a positive integer")
        Traceback (most recent call last):
        lit_attr._checks.ArgumentError: `steps` must be a positive integer, got 0
    """

    def __init__(self, name: str, value: object, accepted: str) -> None:
        super().__init__(f"`{name}` must be {accepted}, got {value if isinstance(value, str | Path) else repr(value)}")

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """From the finished message: an error must survive the way from a worker process."""
        return type(self).__new__, (type(self), *self.args)


def positive_int(name: str, value: object) -> None:
    """Refuse anything but an integer of at least one."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ArgumentError(name, value, "a positive integer")


def not_negative_int(name: str, value: object) -> None:
    """Refuse anything but an integer of at least zero."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ArgumentError(name, value, "an integer of at least 0")


def batch_limit(name: str, value: object) -> None:
    """Refuse anything but an integer of at least one, or None for no limit of the user's."""
    if value is not None:
        positive_int(name, value)


def not_negative(name: str, value: float) -> None:
    """Refuse a negative number, NaN, and what is no number."""
    if not (isinstance(value, int | float) and value >= 0):
        raise ArgumentError(name, value, "a number of at least 0")


def fraction(name: str, value: float, *, end: bool = True) -> None:
    """Refuse what is no number in [0, 1], or in [0, 1) where `end` is false."""
    if not (isinstance(value, int | float) and 0 <= value <= 1) or (value == 1 and not end):
        raise ArgumentError(name, value, "in [0, 1]" if end else "in [0, 1)")


def count_or_share(name: str, value: float) -> None:
    """Refuse what is neither a share in (0, 1) nor a number of things."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and (0 < value < 1 or (value >= 1 and value % 1 == 0))):
        raise ArgumentError(name, value, "a share in (0, 1), or a positive integer")


def numbers(name: str, values: object, accepted: str, good: Callable[[float], bool]) -> tuple[float, ...]:
    """The numbers as a tuple; refuse a single number, none at all, and what is not `good`."""
    found = tuple(values) if isinstance(values, Iterable) and not isinstance(values, str) else ()
    if not found or not all(isinstance(value, int | float) and good(value) for value in found):
        raise ArgumentError(name, found or values, accepted)
    return found


def one_of(name: str, value: str, accepted: Iterable[str]) -> None:
    """Refuse a word that is not in the list."""
    accepted = list(accepted)
    if value not in accepted:
        msg = f"`{name}` is '{value}'; {did_you_mean(str(value), accepted)}"
        raise ValueError(msg)


def batch_of_floats(name: str, value: object) -> None:
    """Refuse what is not a floating tensor with a batch axis, and NaN or infinity in it."""
    if not isinstance(value, Tensor) or not value.is_floating_point() or value.dim() < 2:
        got = f"a {value.dtype} tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
        raise ArgumentError(name, got, "a floating tensor [B, ...]")
    if not bool(torch.isfinite(value).all()):
        raise ArgumentError(name, "NaN or infinite values", "finite")


def unit_range(name: str, value: Tensor, instead: str) -> None:
    """Refuse images outside [0, 1]; `instead` says what to do with them."""
    if value.numel() == 0:
        return
    low, high = (float(v) for v in torch.aminmax(value.detach()))
    if low < -1e-4 or high > 1 + 1e-4:
        raise ArgumentError(name, f"[{low:.3g}, {high:.3g}]: {instead}", "images in [0, 1]")


def classes_below(name: str, index: Tensor, num_classes: int) -> None:
    """Refuse a class index outside 0..num_classes-1."""
    if index.numel() and not bool(((index >= 0) & (index < num_classes)).all()):
        bad = int(index[(index < 0) | (index >= num_classes)][0])
        raise ArgumentError(name, bad, f"a class index in 0..{num_classes - 1}")


def setting_types(settings: Any) -> None:
    """Refuse fields of a frozen dataclass of another type than declared; lists, as configs have them, become tuples.

    Integers but the seed are left to closer checks.
    """
    for setting in fields(settings):
        value = getattr(settings, setting.name)
        if isinstance(value, list):  # a tuple can be hashed
            object.__setattr__(settings, setting.name, tuple(value))
        if setting.type in _TYPES and (setting.type is not int or setting.name == "seed"):
            accepted, kinds = _TYPES[setting.type]
            if not isinstance(value, kinds) or (isinstance(value, bool) and setting.type is not bool):
                raise ArgumentError(setting.name, value, accepted)

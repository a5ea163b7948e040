"""Named parts (methods, attacks, metrics): one table per kind, built from plain settings.

A registry holds classes under the short names that configs, logs and command lines use. A duplicate name is refused
when it is registered; an unknown name or setting is refused with what is accepted and the nearest match.
"""

import ast
import contextlib
import dataclasses
import difflib
import importlib
import inspect
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

__all__ = ["Registry"]

T = TypeVar("T")
C = TypeVar("C", bound=type)

_MOST = 24  # names in one message


def did_you_mean(word: str, accepted: Iterable[str]) -> str:
    """The end of an error message: the accepted names, of many only those nearest to `word`, and the nearest."""
    accepted = sorted(accepted)
    near = difflib.get_close_matches(word, accepted, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    if len(accepted) > _MOST:
        closest = difflib.get_close_matches(word, accepted, n=8, cutoff=0)
        return f"accepted: {', '.join(closest)} and {len(accepted) - len(closest)} more{hint}"
    return f"accepted: {', '.join(accepted)}{hint}"


def import_path(what: str, path: str) -> Any:
    """What `path` ("package.module.Name") names; `what` begins the message where it cannot be imported."""
    module, _, attribute = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, TypeError, ValueError) as error:  # the last two for "." at an end
        msg = f"{what} '{path}' cannot be imported: {error}"
        raise ValueError(msg) from error


class Registry(Generic[T]):
    """A table from short names to classes of one kind.

    Args:
        kind: what the entries are, as error messages call them ("method", "metric").
        base: the class whose subclasses are accepted.

    Example:
        >>> shapes = Registry("shape", object)
        >>> @shapes.register("circle")
        ... class Circle:
        ...     def __init__(self, radius: float = 1.0) -> None:
        ...         self.radius = radius
        >>> shapes.names()
        ['circle']
        >>> shapes.build("circle", {"radius": 2.0}).radius
        2.0
        >>> shapes.build("cirle")
        Traceback (most recent call last):
        ValueError: unknown shape 'cirle'; accepted: circle; did you mean 'circle'?
    """

    def __init__(self, kind: str, base: type[T]) -> None:
        self.kind = kind
        self.base = base
        self._classes: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[C], C]:
        """Class decorator that files a class under `name`; a name can be taken once."""

        def add(cls: C) -> C:
            if self.base not in cls.__mro__:
                msg = f"{self.kind} '{name}': {cls.__qualname__} is not a subclass of {self.base.__qualname__}"
                raise TypeError(msg)
            if name in self._classes:
                msg = f"{self.kind} '{name}' is already registered, by {self._classes[name].__qualname__}"
                raise ValueError(msg)
            self._classes[name] = cls
            return cls

        return add

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._classes)

    def get(self, name: str) -> type[T]:
        """The class of `name`: a registered name, or the full import path of a class of this kind."""
        if name in self._classes:
            return self._classes[name]
        if "." in name:
            return self._imported(name)
        msg = f"unknown {self.kind} '{name}'; {did_you_mean(name, self._classes)}"
        raise ValueError(msg)

    def name_of(self, item: T) -> str:
        """The name an instance is logged under: its registered name, else its class name in lower case."""
        for name, cls in self._classes.items():
            if type(item) is cls:
                return name
        return type(item).__name__.lower()

    def build(self, name: str, settings: Mapping[str, Any] | None = None) -> T:
        """An instance of `name` with `settings` as keyword arguments."""
        cls = self.get(name)
        settings = dict(settings or {})
        defaults = _settings_of(cls)
        for key in settings:
            if key not in defaults:
                msg = f"{self.kind} '{name}' has no setting '{key}'; {did_you_mean(key, defaults)}"
                raise ValueError(msg)
        return cls(**{key: _read(value, defaults[key]) for key, value in settings.items()})

    def build_all(self, items: Sequence[str | T] | Mapping[str, Mapping[str, Any] | T | None]) -> dict[str, T]:
        """Instances by the name they are logged under.

        Args:
            items: a list of names and instances, or a mapping from the name to log under to an instance or to
                settings. In settings the key `class` names the entry where it differs from the key of the mapping,
                so that one class can stand in the table twice: `{"ig": {}, "ig_fast": {"class": "ig", "steps": 8}}`.

        Raises:
            ValueError: for an unknown name or setting, or a name given twice.
            TypeError: for an item that is neither a name nor an instance of this kind.
        """
        built: dict[str, T] = {}
        pairs = items.items() if isinstance(items, Mapping) else [(None, item) for item in items]
        for key, item in pairs:
            label, instance = self._build_one(key, item)
            if label in built:
                msg = f"{self.kind} '{label}' is given twice; use a mapping with two names"
                raise ValueError(msg)
            built[label] = instance
        return built

    def _build_one(self, key: str | None, item: object) -> tuple[str, T]:
        if isinstance(item, self.base):
            return key or self.name_of(item), item
        if isinstance(item, str) and key is None:
            instance = self.build(item)
            return item if item in self._classes else self.name_of(instance), instance
        if key is not None and (item is None or isinstance(item, Mapping)):
            settings = dict(item or {})
            return key, self.build(str(settings.pop("class", key)), settings)
        msg = f"{self.kind}: expected a name, an instance or settings, got {item!r}; {did_you_mean('', self._classes)}"
        raise TypeError(msg)

    def _imported(self, path: str) -> type[T]:
        cls = import_path(self.kind, path)
        if not (isinstance(cls, type) and issubclass(cls, self.base)):
            msg = f"{self.kind} '{path}' is not a subclass of {self.base.__qualname__}"
            raise ValueError(msg)
        return cls


def _settings_of(cls: type) -> dict[str, Any]:
    """The settings of a class with their defaults."""
    if dataclasses.is_dataclass(cls):
        return {field.name: field.default for field in dataclasses.fields(cls) if field.init}
    found: dict[str, Any] = {}
    for name, parameter in inspect.signature(cls).parameters.items():
        if typing.get_origin(parameter.annotation) is typing.Unpack:  # `**more: Unpack[More]`
            (more,) = typing.get_args(parameter.annotation)
            found |= dict.fromkeys(more.__annotations__)
        elif name not in {"args", "kwargs"}:
            found[name] = parameter.default
    return found


def _read(value: Any, default: Any) -> Any:
    """A number that was typed as one setting among others: a command line hands it over as text."""
    if isinstance(value, str) and isinstance(default, int | float):
        text = {"true": "True", "false": "False"}.get(value.strip(), value.strip())
        with contextlib.suppress(ValueError, SyntaxError):
            found = ast.literal_eval(text)
            return found if isinstance(found, int | float) else value
    return value

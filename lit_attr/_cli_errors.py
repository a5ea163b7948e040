"""One clear line out of the parser's many: what was wrong, and what is accepted."""

import contextlib
import importlib
import inspect
import re
from collections.abc import Iterator

from jsonargparse import ArgumentParser

from lit_attr.registry import did_you_mean

_KEY = re.compile(r'Parser key "([^"]+)"')
_CLASS = re.compile(r"Problem with given class_path '([^']+)'")
_SETTING = re.compile(r"Option '([^']+)' is not accepted")
_UNKNOWN = re.compile(r"unrecognized arguments: --([\w.\-]+)")
_NO_CLASS = re.compile(r"Expected a dot import path string: (\S+)")
_SUBTYPE = re.compile(r"<class '([\w.]+)'>")
_TYPE = re.compile(r"Expected a <class '(\w+)'>")
_NOISE = ("- Expected a path but", "Expected a <class 'NoneType'>", "Problem with given class_path", "Parser key")


def one_line(message: str, parser: ArgumentParser) -> str:
    """The line to print for an error message of jsonargparse.

    Args:
        message: what the parser or the instantiation of a class reported, over many lines.
        parser: knows the accepted keys.
    """
    key = ".".join(dict.fromkeys(_KEY.findall(message)))
    if unknown := _UNKNOWN.search(message):
        return _unknown_key(unknown[1], message, parser)
    if setting := _SETTING.search(message):
        return _no_setting(key, setting[1], message)
    causes = list(dict.fromkeys(_causes(message)))
    plain = [cause for cause in causes if (kind := _TYPE.search(cause)) and kind[1] != "list"]
    if (no_class := _NO_CLASS.search(message)) and not plain:
        return _no_such_class(key, no_class[1], message)
    causes = plain or causes
    given = re.search(r"^ *Given value: (.*)$", message, re.MULTILINE)
    if all(_TYPE.search(cause) or "typing.Literal" in cause for cause in causes) and causes:
        accepted = " or ".join(_accepted(cause) for cause in causes)
        got = re.search(r"Got value: (.*)$", message, re.MULTILINE) or given
        return f"`{key}` must be {accepted}, got {got[1] if got else 'something else'}"
    return (f"`{key}`: " if key else "") + "; ".join(causes or [message.strip().splitlines()[0]])


def _causes(message: str) -> Iterator[str]:
    """The lines that say what is wrong: the bullets below "Errors:", or all lines where there are none."""
    body = message.split("Errors:\n", 1)[-1].split("Given value type:", maxsplit=1)[0]
    body = re.sub(r"^(\s*-?\s*)?Parser key \"[^\"]+\":", "", body, flags=re.MULTILINE)
    for line in body.splitlines():
        text = line.strip().removeprefix("- ").strip()
        if text and not any(noise in text or noise in line for noise in _NOISE):
            yield text


def _accepted(cause: str) -> str:
    names = {"int": "an integer", "float": "a number", "str": "text", "bool": "true or false", "list": "a list"}
    if kind := _TYPE.search(cause):
        return names.get(kind[1], f"a {kind[1]}")
    return re.sub(r".*typing\.Literal\[(.*)\].*", r"\1", cause).replace(", ", " or ")


def _unknown_key(key: str, message: str, parser: ArgumentParser) -> str:
    """An option nobody knows, at the top or inside the settings of a class."""
    if owner := _CLASS.search(message):
        accepted = _nested_settings(owner[1], key.rpartition(".")[0])
        return f"{owner[1]} has no setting '{key}'; {did_you_mean(key.rpartition('.')[2], accepted)}"
    known = {option[2:] for action in parser._actions for option in action.option_strings if option.startswith("--")}
    parent = key.rpartition(".")[0]
    near = {option for option in known if option.rpartition(".")[0] == parent} if parent else known
    return f"unknown setting '{key}'; {did_you_mean(key, near or {k for k in known if '.' not in k})}"


def _no_setting(key: str, setting: str, message: str) -> str:
    owner = _CLASS.findall(message)[-1]
    return f"`{key}`: {owner} has no setting '{setting}'; {did_you_mean(setting, _nested_settings(owner, ''))}"


def _nested_settings(class_path: str, inside: str) -> list[str]:
    """The parameters of a class, or of the dataclass that is its parameter `inside`."""
    module, _, name = class_path.rpartition(".")
    parameters = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    if inside in parameters:
        found = parameters[inside].annotation
        kinds = [kind for kind in getattr(found, "__args__", (found,)) if isinstance(kind, type)]
        with contextlib.suppress(IndexError, ValueError):
            parameters = inspect.signature(kinds[0]).parameters
    return [name for name, p in parameters.items() if p.kind not in {p.VAR_POSITIONAL, p.VAR_KEYWORD}]


def _no_such_class(key: str, name: str, message: str) -> str:
    bases = list(_SUBTYPE.findall(message.split("Errors:", maxsplit=1)[0]) + re.findall(r"\[([\w.]+)\]", message))
    base = next((path for path in bases if "." in path), "")
    found: list[str] = []
    if base:
        module, _, attribute = base.rpartition(".")
        found = [cls.__name__ for cls in _subclasses(getattr(importlib.import_module(module), attribute))]
    kind = base.rpartition(".")[2] or "class"
    return f"`{key}`: no {kind} '{name}'; {did_you_mean(name, set(found))}; or its import path"


def _subclasses(cls: type) -> Iterator[type]:
    subclasses: list[type] = cls.__subclasses__()
    for sub in subclasses:
        if not sub.__name__.startswith("_") and not inspect.isabstract(sub):
            yield sub
        yield from _subclasses(sub)

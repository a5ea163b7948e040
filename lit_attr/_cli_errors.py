"""One clear line out of the parser's many: what was wrong, and what is accepted."""

import contextlib
import inspect
import pkgutil
import re
from collections.abc import Iterator

from jsonargparse import ArgumentParser

from lit_attr.registry import did_you_mean

_KEY = re.compile(r'Parser key "([^"]+)"')
_CLASS = re.compile(r"Problem with given class_path '([^']+)'")
_SETTING = re.compile(r"Option '([^']+)' is not accepted$", re.MULTILINE)
_UNKNOWN = re.compile(
    r"unrecognized arguments: --([\w.\-]+)|(?:Subcommand|Group) '([^']+)' does not accept option '([^']+)'"
)
_TOO_EARLY = re.compile(r"Option '([^']+)' is not accepted before subcommand '(\w+)'")
_REQUIRED = re.compile(r"^ *the following arguments are required: (.*)$", re.MULTILINE)
_NO_MAPPING = re.compile(r"^Unexpected config: (.*)")
_NO_CLASS = re.compile(r"Expected a dot import path string: (\S+)")
_OTHER_CLASS = re.compile(r"does not correspond to a subclass of (\w+)")
_GIVEN = re.compile(r"^ *Given value: (.*)$", re.MULTILINE)
_GOT = re.compile(r"Got value: (.*)$", re.MULTILINE)
_SUBTYPE = re.compile(r"<class '([\w.]+)'>")
_TYPE = re.compile(r"Expected a <class '(?:[\w.]+\.)?(\w+)'>")
_NOISE = (
    "- Expected a path but",
    "Expected a <class 'NoneType'>",
    "Problem with given class_path",
    "Parser key",
    "Not a valid subclass of",
    "Subclass types expect one of",
    "- a class path (str)",
    "- a dict with",
    "Does not validate against any of",
    "Subtypes: [",
    "Errors:",
)
_ACCEPTED = {
    "int": "an integer",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "dict": "a mapping",
    "list": "a list",
    "Sequence": "a list",
    "Iterable": "a list",
}
_SET_BY_THE_TRAINER = {"torch.optim.lr_scheduler": "optimizer", "torch.optim": "params"}


def one_line(message: str, parser: ArgumentParser) -> str:
    """The line to print for an error message of jsonargparse.

    Args:
        message: what the parser or the instantiation of a class reported, over many lines.
        parser: knows the accepted keys.
    """
    message = _first_alternative(message)
    key = ".".join(dict.fromkeys(_KEY.findall(message)))
    if early := _TOO_EARLY.search(message):
        return f"`{early[1]}` is not accepted before '{early[2]}'; give the config after it: {early[2]} --config <file>"
    if unknown := _UNKNOWN.search(message):
        group = f"{unknown[2]}." if _CLASS.search(message) else ""  # else it is the subcommand
        return _unknown_key(unknown[1] or group + unknown[3], message, parser)
    if setting := _SETTING.search(message):
        return _no_setting(key, setting[1], message)
    if (needed := _REQUIRED.search(message)) and (owner := _CLASS.findall(message)):
        return f"`{key}`: {owner[-1]} needs a value for {needed[1]}"
    if found := _NO_MAPPING.search(message):
        return f"a config must be a mapping of settings, got {found[1] or 'an empty file'}"
    return _wrong_value(key, message)


def _first_alternative(message: str) -> str:
    """Without the classes that were tried after the one that was given, such as the base class of a list's items."""
    bullets = re.split(r"^(?=    - )", message, flags=re.MULTILINE)
    tried = [bullet for bullet in bullets if bullet.startswith("    - Problem with given class_path")]
    return "".join(bullet for bullet in bullets if bullet not in tried[1:] or bullet is tried[0])


def _wrong_value(key: str, message: str) -> str:
    causes = list(dict.fromkeys(_causes(message)))
    kinds = {kind[1] for cause in causes if (kind := _TYPE.search(cause))}
    got = _GOT.search(message) or _GIVEN.search(message)
    no_class = _NO_CLASS.search(message)
    if no_class and kinds <= {"bool", "list", "Iterable"}:
        return _no_such_class(key, no_class[1], message)
    causes = [cause for cause in causes if not _NO_CLASS.search(cause)]
    if (other := [kind[1] for cause in causes if (kind := _OTHER_CLASS.search(cause))]) and got:
        return f"`{key}`: {got[1]} is no {' or '.join(other)}"
    if causes and all(_TYPE.search(cause) or "typing.Literal" in cause for cause in causes):
        accepted = " or ".join(dict.fromkeys(_accepted(cause) for cause in causes))
        return f"`{key}` must be {accepted}, got {got[1] if got else 'something else'}"
    causes = [cause for cause in causes if not _TYPE.search(cause)]  # the other types that would have been accepted
    return (f"`{key}`: " if key else "") + "; ".join(causes or message.strip().splitlines()[:1] or ["no message"])


def _causes(message: str) -> Iterator[str]:
    """The lines that say what is wrong: the bullets below "Errors:", or all lines where there are none."""
    body = message.split("Errors:\n", 1)[-1].split("Given value type:", maxsplit=1)[0]
    body = re.sub(r"^(\s*-?\s*)?Parser key \"[^\"]+\":", "", body, flags=re.MULTILINE)
    for line in body.splitlines():
        text = line.strip().removeprefix("- ").strip()
        if text and not any(noise in text or noise in line for noise in _NOISE):
            yield text


def _accepted(cause: str) -> str:
    if kind := _TYPE.search(cause):
        return _ACCEPTED.get(kind[1], f"a {kind[1]}")
    return re.sub(r".*typing\.Literal\[(.*)\].*", r"\1", cause).replace(", ", " or ")


def _unknown_key(key: str, message: str, parser: ArgumentParser) -> str:
    """An option nobody knows, at the top or inside the settings of a class."""
    if owner := _CLASS.search(message):
        accepted = _nested_settings(owner[1], key.rpartition(".")[0])
        return f"{owner[1]} has no setting '{key}'; {did_you_mean(key.rpartition('.')[2], accepted)}"
    options = {option for action in parser._actions for option in action.option_strings}
    known = {option[2:] for option in options if option.startswith("--") and not option.endswith("+")}
    parent = key.rpartition(".")[0]
    near = {option for option in known if option.rpartition(".")[0] == parent} if parent else known
    return f"unknown setting '{key}'; {did_you_mean(key, near or {k for k in known if '.' not in k})}"


def _no_setting(key: str, setting: str, message: str) -> str:
    owner = _CLASS.findall(message)[-1]
    return f"`{key}`: {owner} has no setting '{setting}'; {did_you_mean(setting, _nested_settings(owner, ''))}"


def _nested_settings(class_path: str, inside: str) -> list[str]:
    """The parameters of a class, or of the dataclass that is its parameter `inside`."""
    parameters = inspect.signature(pkgutil.resolve_name(class_path)).parameters
    if inside in parameters:
        found = parameters[inside].annotation
        kinds = [kind for kind in getattr(found, "__args__", (found,)) if isinstance(kind, type)]
        with contextlib.suppress(IndexError, ValueError):
            parameters = inspect.signature(kinds[0]).parameters
    skipped = _SET_BY_THE_TRAINER.get(class_path.rpartition(".")[0])
    variadic = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    return [name for name, p in parameters.items() if p.kind not in variadic and name != skipped]


def _no_such_class(key: str, name: str, message: str) -> str:
    bases = _SUBTYPE.findall(message.split("Errors:", maxsplit=1)[0])
    bases += re.findall(r"\[([\w.]+)\]", message)
    base = next((path for path in bases if "." in path), "")
    found: list[str] = []
    if base:
        found = [cls.__name__ for cls in _subclasses(pkgutil.resolve_name(base))]
    kind = base.rpartition(".")[2] or "class"
    return f"`{key}`: no {kind} '{name}'; {did_you_mean(name, set(found))}; or its import path"


def _subclasses(cls: type) -> Iterator[type]:
    subclasses: list[type] = cls.__subclasses__()
    for sub in subclasses:
        if not sub.__name__.startswith("_") and not inspect.isabstract(sub):
            yield sub
        yield from _subclasses(sub)

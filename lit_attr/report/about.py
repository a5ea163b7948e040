"""What was run: facts, versions, the config; and the files that a folder holds."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lit_attr._files import readable

__all__ = ["files", "line", "what_was_run"]

_SHOWN_FIRST = ("stage", "status", "command", "seed", "model", "parameters", "data", "classes", "samples", "device")
_MOST_FILES = 400
_MOST_SEEN = 20_000  # a run without loggers has the working folder, in which data may lie
Entry = Mapping[str, Any]


def line(entries: Sequence[Entry]) -> str:
    """One line about the last command."""
    if not entries:
        return "What was run is not known: there is no run.json in the folder."
    entry = entries[-1]
    what = [str(entry.get("stage", "?")), f"of {entry['model']}" if entry.get("model") else ""]
    what += [f"on {entry['data']}" if entry.get("data") else "", f"- {_status(entry)}"]
    return " ".join(filter(None, what))


def what_was_run(entries: Sequence[Entry], configs: Sequence[Path]) -> str:
    """Facts of each command, the last one open, and the configs as they were."""
    parts = []
    for i, entry in enumerate(reversed(entries)):
        facts = {name: entry[name] for name in _SHOWN_FIRST if entry.get(name)}
        facts |= {name: entry[name] for name in ("started", "ended") if entry.get(name)}
        facts |= {n: v for n, v in entry.items() if n not in {*_SHOWN_FIRST, *facts, "versions", "ended"} and v}
        facts["versions"] = entry.get("versions", {})
        inside = "".join(f"<dt>{escape(name)}</dt><dd>{_shown(value)}</dd>" for name, value in facts.items())
        told = f"<dl>{inside}</dl>"
        head = escape(f"{entry.get('stage', '?')}, {entry.get('started', '?')}")
        parts.append(told if i == 0 else f"<details><summary>Before: {head}</summary>{told}</details>")
    for path in configs:
        text = path.read_text(encoding="utf-8", errors="replace")
        parts.append(f'<details><summary>{escape(path.name)}</summary><pre tabindex="0">{escape(text)}</pre></details>')
    return "".join(parts)


def files(folder: Path) -> str:
    """Links to what lies in the folder, pictures of rounds by their folders alone."""
    found, folders = [], dict[Path, int]()
    seen = list(islice(folder.rglob("*"), _MOST_SEEN + 1))
    for path in sorted(seen[:_MOST_SEEN]):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if hidden or not path.is_file() or path == folder / "report.html":
            continue
        if path.suffix == ".png" or path.name.endswith(".safetensors"):
            folders[path.parent] = folders.get(path.parent, 0) + 1
        else:
            found.append((path, readable(path.stat().st_size)))
    found += [(path, f"{count} pictures and maps") for path, count in sorted(folders.items())]
    lines = []
    for path, told in found[:_MOST_FILES]:
        name = path.relative_to(folder).as_posix()
        lines.append(f'<li><a href="{escape(quote(name))}">{escape(name)}</a> ({escape(told)})</li>')
    if len(found) > _MOST_FILES:
        lines.append(f"<li>and {len(found) - _MOST_FILES} more</li>")
    if len(seen) > _MOST_SEEN:
        lines.append(f"<li>and others: the folder has more than {_MOST_SEEN:,} files</li>")
    return f'<ul class="files">{"".join(lines)}</ul>'


def _status(entry: Entry) -> str:
    status = str(entry.get("status", "?"))
    if status == "running":
        return "not finished when this page was made"
    try:
        began, ended = (datetime.fromisoformat(str(entry[name])) for name in ("started", "ended"))
    except (KeyError, ValueError):
        return status
    return f"{status} {ended:%Y-%m-%d %H:%M} UTC after {str(ended - began).partition('.')[0]}"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return escape(", ".join(f"{name} {item}" for name, item in value.items()))
    return escape(", ".join(map(str, value)) if isinstance(value, list) else str(value))

"""Pages that bring everything with them: one file, no picture or script from elsewhere, light and dark, any width."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

__all__ = ["document", "figures", "notes", "section", "sortable"]


def document(title: str, heading: str, about: str, content: str) -> str:
    """The whole page.

    Args:
        title: of the browser's tab.
        heading: at the top.
        about: a line below it.
        content: HTML.

    Example:
        >>> page = document("run", "A <run>", "about", "<p>content</p>")
        >>> "<h1>A &lt;run&gt;</h1><p>about</p>" in page, "<p>content</p>" in page
        (True, True)
    """
    parts = {"TITLE": escape(title), "HEADING": escape(heading), "ABOUT": escape(about), "CONTENT": content}
    page = files("lit_attr.visual").joinpath("page.html").read_text(encoding="utf-8")
    return re.sub(r"\$([A-Z]+)", lambda place: parts[place[1]], page)


def section(title: str, content: str, name: str = "") -> str:
    """A part with its heading; `name` is what links go to."""
    return f"<section{f' id={name!r}' if name else ''}><h2>{escape(title)}</h2>{content}</section>"


def sortable(title: str, columns: Sequence[str], rows: Iterable[Sequence[tuple[str, object]]]) -> str:
    """A table that is sorted by a click on a column's head.

    Args:
        title: what it is called by screen readers.
        columns: the heads.
        rows: text and value per cell; None for a cell without a value, which is sorted to the end.
    """
    head = "".join(
        f'<th scope="col" aria-sort="none"><button type="button">{escape(column)}</button></th>' for column in columns
    )
    body = []
    for (first, _), *others in rows:
        cells = "".join(f'<td data-value="{_value(value)}">{escape(text)}</td>' for text, value in others)
        body.append(f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>')
    inside = f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>"
    return f'<div class="wide" tabindex="0" role="region" aria-label="{escape(title)}"><table>{inside}</table></div>'


def notes(texts: Sequence[str]) -> str:
    """The first is shown; the others, where there are many, on demand."""
    first, others = texts[:1], texts[1:]
    text = "".join(f'<p class="notes">{escape(note)}</p>' for note in first)
    if not others:
        return text
    inside = "".join(f"<li>{escape(note)}</li>" for note in others)
    return f'{text}<details class="notes"><summary>More about these numbers</summary><ul>{inside}</ul></details>'


def figures(charts: Iterable[tuple[str, str]]) -> str:
    """Charts in as many columns as there is room for.

    Args:
        charts: title and SVG, or other HTML.
    """
    inside = "".join(f"<figure><figcaption>{escape(text)}</figcaption>{svg}</figure>" for text, svg in charts)
    return f'<div class="figures">{inside}</div>'


def _value(value: object) -> str:
    return "" if value is None else escape(value if isinstance(value, str) else repr(value))

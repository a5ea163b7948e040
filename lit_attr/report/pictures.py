"""Pictures inside a page, and rounds of them behind a slider."""

import base64
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from lit_attr.report.faults import fault

__all__ = ["MOST_ROUNDS", "Step", "embedded", "figure", "slider", "spread"]

MOST_ROUNDS = 24  # a page of all rounds of a long training would be too heavy for a phone
_NATURAL = 0.62  # of a panel's pixels, below which its letters are too small to read; the rest is scrolled to


class Step(NamedTuple):
    """What is shown at one place of a slider."""

    told: str
    content: str


def spread(count: int, most: int = MOST_ROUNDS) -> list[int]:
    """At most `most` of `count` places, the first and the last among them.

    Example:
        >>> spread(3), spread(100, 5)
        ([0, 1, 2], [0, 25, 50, 74, 99])
    """
    if count <= most:
        return list(range(count))
    return [round(i * (count - 1) / (most - 1)) for i in range(most)]


def embedded(path: Path) -> tuple[str, int]:
    """A picture as the address of its own content, without loss and smaller than as a PNG, and its width.

    Raises:
        OSError: where it is no picture.
    """
    from PIL import Image, features

    with Image.open(path) as picture:
        width, shown = picture.width, picture.convert("RGB")
    kind = "webp" if features.check("webp") else "png"
    data = io.BytesIO()
    shown.save(data, format=kind, lossless=True)
    return f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode()}", width


def figure(path: Path, told: str) -> str:
    """A panel with a line below; on a narrow screen it is scrolled sideways. One that cannot be read is told."""
    try:
        source, width = embedded(path)
    except (OSError, SyntaxError) as error:  # Pillow's PNG reader raises SyntaxError for a broken file
        return fault(path.name, error)
    text = escape(told)
    image = f'<img src="{source}" alt="{text}" style="width: max(100%, {round(width * _NATURAL)}px)">'
    around = f'tabindex="0" role="region" aria-label="{text}" style="width: {width + 2}px"'
    return f"<figure><div {around}>{image}</div><figcaption>{text}</figcaption></figure>"


def slider(label: str, name: str, steps: Sequence[Step]) -> str:
    """Rounds of which one is shown, the last at first; moved with the pointer or with the arrow keys.

    Args:
        label: what is chosen.
        name: of the control, distinct in the page.
        steps: in their order.
    """
    shown = "".join(
        f'<div class="round" data-told="{escape(step.told)}"{" hidden" * (i < len(steps) - 1)}>{step.content}</div>'
        for i, step in enumerate(steps)
    )
    if len(steps) < 2:
        return "".join(f"<p>{escape(step.told)}</p>{step.content}" for step in steps)
    last = len(steps) - 1
    control = f'<input type="range" id="{name}" min="0" max="{last}" step="1" value="{last}">'
    head = f'<label for="{name}">{escape(label)}</label>{control}<output for="{name}">{escape(steps[-1].told)}</output>'
    return f'<div class="rounds"><div class="slider">{head}</div>{shown}</div>'

"""How far the making of a bank is, shown while it is made."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

Advance = Callable[[int], object]


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(rate(task.speed or 0))


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Advance]:
    """A bar with images per second and the time left, where there is a terminal; tell it of finished images."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Speed(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=total)
        yield lambda count: progress.advance(task, count)


def rate(speed: float) -> str:
    """Of images per second.

    Example:
        >>> rate(12.345), rate(2345.6)
        ('12.3 images/s', '2346 images/s')
    """
    return f"{speed:.3g} images/s" if speed < 1000 else f"{speed:.0f} images/s"

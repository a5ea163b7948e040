"""One more line in the Trainer's progress display while a callback works."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import lightning as L
from lightning.pytorch.callbacks import RichProgressBar


class Advance(Protocol):
    """Report finished items."""

    def __call__(self, count: int, note: str = "") -> None:
        """`count` more are done; `note` stands behind the description."""


@contextmanager
def progress_line(trainer: L.Trainer, description: str, total: int) -> Iterator[Advance]:
    """Show `description` with a bar of `total` items where the Trainer has a Rich display; otherwise show nothing."""
    bar = trainer.progress_bar_callback
    if not isinstance(bar, RichProgressBar) or bar.is_disabled or bar.progress is None:
        yield lambda count, note="": None  # noqa: ARG005
        return
    progress = bar.progress
    # One line per display, hidden when done: RichProgressBar finds its own tasks by position, so none may be removed.
    known = {task.description: task.id for task in progress.tasks}
    task = known.get(description)
    if task is None:
        task = progress.add_task(description, total=total)
    progress.reset(task, total=total, visible=True)

    def advance(count: int, note: str = "") -> None:
        progress.update(task, advance=count, description=description + note)
        bar.refresh()

    try:
        yield advance
    finally:
        progress.update(task, visible=False, description=description)
        bar.refresh()

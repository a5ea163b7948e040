"""What cannot be read is told where it would stand, and nothing else is lost."""

from collections.abc import Callable
from html import escape
from typing import TypeVar

__all__ = ["fault", "read", "shown"]

T = TypeVar("T")


def shown(name: str, make: Callable[[], str]) -> str:
    """What `make` gives, or that `name` could not be read, and why.

    Example:
        >>> shown("a.csv", lambda: "<p>whole</p>")
        '<p>whole</p>'
    """
    try:
        return make()
    except Exception as error:  # whatever a file holds: one part is no reason to lose the others
        return fault(name, error)


def read(name: str, find: Callable[[], T], otherwise: T, faults: list[str]) -> T:
    """What `find` gives; else `otherwise`, and the reason is added to `faults`."""
    try:
        return find()
    except Exception as error:  # as in `shown`
        faults.append(fault(name, error))
        return otherwise


def fault(name: str, error: Exception) -> str:
    """The line in the page."""
    told = f"{name} could not be read: {type(error).__name__}: {error}"
    return f'<p class="fault" role="alert">{escape(told)}</p>'

"""How long it will take, known ahead from the declared passes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from lit_attr._view import Passes

__all__ = ["Forecast", "Progress"]

_BACKWARD = 2  # forward passes that a backward pass takes the time of


class Progress(NamedTuple):
    """How far a benchmark is.

    Attributes:
        done: passes that are made, in the time of forward passes, as declared.
        total: all that this run has to make.
        seconds_left: at the speed so far; None before anything is done.
        at: what was finished last, "" at first.
    """

    done: float
    total: float
    seconds_left: float | None
    at: str = ""


class Forecast:
    """Time left: the passes that are declared for what is not done, at the speed of those that are.

    Args:
        clock: seconds.

    Example:
        >>> now = iter([0.0, 4.0])
        >>> forecast = Forecast(lambda: next(now))
        >>> forecast.plan("ig", Passes(8, 8), ["a", "b", "c"])
        >>> forecast.finish("ig", ["a"])
        >>> forecast.now().seconds_left
        8.0
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._start = clock, 0.0
        self._left: dict[tuple[str, str], float] = {}
        self.total: float | None = None
        self._done, self._at = 0.0, ""

    def plan(self, name: str, passes: Passes, keys: Sequence[str]) -> None:
        """Add what there is to do under a name: `passes` for each of these samples. The clock starts with the first."""
        if self.total is None:
            self._start, self.total = self._clock(), 0.0
        cost = passes.forward + _BACKWARD * passes.backward
        self._left.update(dict.fromkeys(((name, key) for key in keys), cost))
        self.total += cost * len(keys)

    def finish(self, name: str, keys: Sequence[str]) -> None:
        """Note that a name is done with these samples; once for each, however many parts there were."""
        self._done += sum(self._left.pop((name, key), 0.0) for key in keys)
        self._at = name

    def now(self) -> Progress:
        """How far it is."""
        left = sum(self._left.values())
        spent = self._clock() - self._start
        return Progress(self._done, self.total or 0.0, spent * left / self._done if self._done else None, self._at)

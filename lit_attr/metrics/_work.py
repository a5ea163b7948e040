"""What a metric does, in pieces that others may need, too."""

from collections.abc import Hashable, Iterable
from typing import Literal, NamedTuple, TypeAlias

from lit_attr._view import Passes

Per: TypeAlias = Literal["attribution", "sample", "model"]


class Work(NamedTuple):
    """A piece of work that is done once for all who need it.

    Attributes:
        key: the same for the same work.
        passes: of the model.
        explanations: how often the explanation method runs in it, which costs its passes.
        per: what it is done once for: each "attribution"; each "sample", whatever its attributions; or the "model", of
            which `AttributionMetric.passes` tells nothing.
    """

    key: Hashable
    passes: Passes
    explanations: int = 0
    per: Per = "attribution"


CLEAN = Work("clean", Passes(1, 0), per="sample")
"""The forward pass of the sample as it is."""


def total(pieces: Iterable[Work]) -> Work:
    """All pieces, each key once.

    Example:
        >>> total([CLEAN, Work("a", Passes(2, 1), 1), Work("a", Passes(2, 1), 1)])[1:3]
        (Passes(forward=3, backward=1), 1)
    """
    once = {piece.key: piece for piece in pieces}.values()
    forward, backward = (sum(piece.passes[way] for piece in once) for way in (0, 1))
    return Work("total", Passes(forward, backward), sum(piece.explanations for piece in once))

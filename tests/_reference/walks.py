"""Walks of one update rule, for tests of it."""

import torch
import torch.nn.functional as F

from lit_attr._view import looking_at
from lit_attr.updates import Region, Route, Walks, walk


def minus_cross_entropy(evidence, index):
    return -F.cross_entropy(evidence, index, reduction="none")


def turns(
    net,
    rule,
    x,
    y,
    *,
    paths=1,
    toward=-1.0,
    steps=2,
    region=Region(0.1, (0, 1)),  # noqa: B008 - frozen
    loss=minus_cross_entropy,
    seed=0,
    max_batch=None,
    stop=None,
    watched=False,
):
    """All turns of walks away from `y` (or towards it), and the passes per sample.

    The walk itself asks the model only where a rule looks at its gradient, so that the rest are the rule's own passes.
    """
    own = getattr(rule, "loss", None)
    route = Route(rule, steps, region, None if own else loss, stop, seed=seed, max_batch=max_batch)
    walks = Walks.of(y[:, None].expand(-1, paths), toward)
    with looking_at(net, x, y) as view:
        return list(walk(view, x[walks.rows], walks, route, None, watched=watched)), view.passes


def points(*args, **settings):
    """Where all walks are, `[T + 1, N, ...]`."""
    return torch.stack([turn.points for turn in turns(*args, **settings)[0]])

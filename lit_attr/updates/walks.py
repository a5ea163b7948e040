"""Which walks there are, and when they have arrived."""

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Walks", "at_goal", "left_class"]


class Walks(NamedTuple):
    """N walks.

    Attributes:
        rows: the sample of each, `[N]`.
        goal: the class that each climbs to, or away from, `[N]`.
        toward: 1.0 for a walk that climbs to its goal, -1.0 for one that leaves it, `[N]`.
        path: the number of each among the walks of its sample, `[N]`.
        paths: how many walks a sample has.
        keys: of the random numbers of each, int64 `[N]`; None for those of its path, the same for all samples.
    """

    rows: Tensor
    goal: Tensor
    toward: Tensor
    path: Tensor
    paths: int
    keys: Tensor | None = None

    @classmethod
    def of(cls, goals: Tensor, toward: Tensor | float = 1.0, keys: Tensor | None = None) -> "Walks":
        """M walks of each sample, from their goals `[B, M]`; `toward` is a number or `[M]`, `keys` are `[B, M]`."""
        samples, paths = goals.shape
        place = torch.arange(goals.numel(), device=goals.device)
        signs = torch.as_tensor(toward, device=goals.device, dtype=torch.float32).expand(paths).repeat(samples)
        own = None if keys is None else keys.flatten()
        return cls(place // max(1, paths), goals.flatten(), signs, place % max(1, paths), paths, own)

    def at(self, places: Tensor) -> "Walks":
        """Some of them."""
        keys = None if self.keys is None else self.keys[places]
        return Walks(self.rows[places], self.goal[places], self.toward[places], self.path[places], self.paths, keys)


def left_class(evidence: Tensor, walks: Walks) -> Tensor:
    """Walks that arrive where another class than their goal is predicted, bool `[n]`."""
    return evidence.argmax(1) != walks.goal


def at_goal(evidence: Tensor, walks: Walks) -> Tensor:
    """Walks that arrive where their goal is predicted, bool `[n]`."""
    return evidence.argmax(1) == walks.goal

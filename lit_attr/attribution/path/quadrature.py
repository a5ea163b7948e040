"""Quadrature on [0, 1]: nodes and weights. Every rule integrates a constant exactly."""

from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from lit_attr._checks import one_of, positive_int

__all__ = ["Rule", "quadrature"]

Rule: TypeAlias = Literal["trapezoid", "left", "right", "midpoint", "gauss-legendre"]


def quadrature(rule: Rule, steps: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of a rule with `steps` intervals (for Gauss-Legendre: `steps` nodes).

    Returns:
        Nodes in [0, 1], ascending, and weights that sum to one; float64. The trapezoid has `steps + 1` nodes, the
        others `steps`.

    Example:
        >>> quadrature("trapezoid", 2)
        (tensor([0.0000, 0.5000, 1.0000], dtype=torch.float64),
         tensor([0.2500, 0.5000, 0.2500], dtype=torch.float64))
    """
    one_of("rule", rule, get_args(Rule))
    positive_int("steps", steps)
    if rule == "gauss-legendre":
        roots, at_roots = np.polynomial.legendre.leggauss(steps)  # on [-1, 1]
        return torch.from_numpy((roots + 1) / 2), torch.from_numpy(at_roots / 2)
    grid = torch.arange(steps + 1, dtype=torch.float64) / steps
    if rule == "trapezoid":
        weights = torch.full_like(grid, 1 / steps)
        weights[[0, -1]] /= 2
        return grid, weights
    nodes = {"left": grid[:-1], "right": grid[1:], "midpoint": (grid[:-1] + grid[1:]) / 2}[rule]
    return nodes, torch.full_like(nodes, 1 / steps)

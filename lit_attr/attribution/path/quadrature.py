"""Quadrature on [0, 1]: nodes and weights. Every rule integrates a constant exactly, but those of published codes."""

from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, one_of, positive_int

__all__ = ["Published", "Rule", "quadrature"]

Rule: TypeAlias = Literal["trapezoid", "left", "right", "midpoint", "gauss-legendre"]
Published: TypeAlias = Literal["captum", "abe"]


def quadrature(rule: Rule | Published, steps: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of a rule with `steps` intervals (for Gauss-Legendre: `steps` nodes).

    The rules of two published codes are there to reproduce their numbers, which they make too small or too large:
    "captum", its `riemann_trapezoid`, with weights 1 / n on n nodes, half of that at both ends, and "abe", with 1 / n
    on n + 1 nodes.

    Returns:
        Nodes in [0, 1], ascending, and weights that sum to one; float64. The trapezoid has `steps + 1` nodes, the
        others `steps`. With "captum" the weights sum to (n - 1) / n, with "abe" to (n + 1) / n.

    Example:
        >>> quadrature("trapezoid", 2)
        (tensor([0.0000, 0.5000, 1.0000], dtype=torch.float64),
         tensor([0.2500, 0.5000, 0.2500], dtype=torch.float64))
    """
    one_of("rule", rule, [*get_args(Rule), *get_args(Published)])
    positive_int("steps", steps)
    if rule == "captum":
        if steps == 1:
            raise ArgumentError("steps", steps, "at least 2 with the rule 'captum', whose nodes are both ends")
        nodes, weights = quadrature("trapezoid", steps - 1)
        return nodes, weights * (steps - 1) / steps
    if rule == "gauss-legendre":
        roots, at_roots = np.polynomial.legendre.leggauss(steps)  # on [-1, 1]
        return torch.from_numpy((roots + 1) / 2), torch.from_numpy(at_roots / 2)
    grid = torch.arange(steps + 1, dtype=torch.float64) / steps
    if rule == "abe":
        return grid, torch.full_like(grid, 1 / steps)
    if rule == "trapezoid":
        weights = torch.full_like(grid, 1 / steps)
        weights[[0, -1]] /= 2
        return grid, weights
    nodes = {"left": grid[:-1], "right": grid[1:], "midpoint": (grid[:-1] + grid[1:]) / 2}[rule]
    return nodes, torch.full_like(nodes, 1 / steps)

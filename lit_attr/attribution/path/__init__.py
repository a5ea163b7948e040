"""The path engine: quadrature on straight paths, and points that are known in advance."""

from lit_attr.attribution.path.points import Gathered, gather_gradients
from lit_attr.attribution.path.quadrature import Published, Rule, quadrature

__all__ = ["Gathered", "Published", "Rule", "gather_gradients", "quadrature"]

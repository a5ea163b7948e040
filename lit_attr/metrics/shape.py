"""Shape of a map: how few positions carry it. Nothing is asked of the model.

Papers: the Gini index of an attribution is that of Chalasani et al., "Concise Explanations of Neural Networks using
Adversarial Training", ICML 2020, arXiv 1810.06583; complexity is that of Bhatt, Weller, Moura, "Evaluating and
Aggregating Feature-based Model Explanations", IJCAI 2020, arXiv 2005.00631; effective complexity is that of Quantus.

Deviations: the map is the signed sum over channels, of which the size counts. Nothing is added to it and it is not
scaled by others of its batch, as Quantus does, so that a value depends neither on the scale nor on the batch.
"""

from torch import Tensor

from lit_attr._checks import fraction
from lit_attr._view import Passes
from lit_attr.metrics._base import METRICS, AttributionMetric, Reading
from lit_attr.metrics._evaluation import Explained
from lit_attr.metrics._precision import wide

__all__ = ["Complexity", "EffectiveComplexity", "Gini", "complexity", "effective_complexity", "gini"]

_MAP = "absolute value of the signed sum over channels"
_ZERO = "the attribution is zero everywhere"


def gini(maps: Tensor) -> Tensor:
    """The Gini index of each map, `[B]`; see `Gini`.

    Args:
        maps: `[B, ...]`; sum channels first (`lit_attr.metrics.ranking.position_map`), or each scalar is a position.

    Returns:
        In [0, 1 - 1/n], float64; NaN for a map of zeros, or one that is not finite.

    Example:
        >>> import torch
        >>> gini(torch.tensor([[0.0, 0.0, 0.0, 5.0], [1.0, -1.0, 1.0, 1.0]])).tolist()
        [0.75, 0.0]
    """
    sizes = _sizes(maps).sort(dim=1).values
    n = sizes.shape[1]
    weights = 2 * sizes.new_ones(n).cumsum(0) - n - 1
    return (sizes * weights).sum(1) / (n * sizes.sum(1))


def complexity(maps: Tensor) -> Tensor:
    """The entropy of each map as shares of its sum, `[B]`; see `Complexity`.

    Args:
        maps: as in `gini`.

    Returns:
        In [0, log n], float64; NaN for a map of zeros, or one that is not finite.

    Example:
        >>> import torch
        >>> complexity(torch.tensor([[0.0, 3.0], [2.0, -2.0]])).exp().tolist()
        [1.0, 2.0]
    """
    sizes = _sizes(maps)
    shares = sizes / sizes.sum(1, keepdim=True)
    return -(shares.xlogy(shares)).sum(1)


def effective_complexity(maps: Tensor, epsilon: float = 1e-5) -> Tensor:
    """The number of positions of each map that count, `[B]`; see `EffectiveComplexity`.

    Args:
        maps: as in `gini`.
        epsilon: share of the largest value that does not count yet.

    Returns:
        In 1..n, float64; NaN for a map of zeros, or one that is not finite.

    Example:
        >>> import torch
        >>> effective_complexity(torch.tensor([[0.0, -3.0, 1.0, 0.2]]), epsilon=0.1).tolist()
        [2.0]
    """
    sizes = _sizes(maps)
    return wide((sizes > epsilon).sum(1)).where(sizes.isfinite().all(1), float("nan"))


def _sizes(maps: Tensor) -> Tensor:
    """|a| as shares of the largest, `[B, n]`: no sum of them overflows, and zeros become NaN."""
    sizes = wide(maps).flatten(1).abs()
    return sizes / sizes.amax(1, keepdim=True)


def _reading(value: Tensor) -> Reading:
    return Reading(value, defined=value.isfinite())


@METRICS.register("gini")
class Gini(AttributionMetric):
    r"""How unequally a map is shared out over positions, higher is sparser.

    .. math:: G = \frac{\sum_{i=1}^{n} (2i - n - 1)\, v_{(i)}}{n \sum_i v_i}, \quad v_{(1)} \le \dots \le v_{(n)}

    with v = |a| over the n positions of the map a. 0 where all are equal, 1 - 1/n where one has everything; undefined
    for a map of zeros. Neither scale nor order matters. It asks nothing of the model.

    Example:
        >>> import torch
        >>> metric = Gini()
        >>> metric.update(torch.nn.Identity(), torch.rand(1, 1, 2, 2), 0, torch.tensor([[[0.0, 0.0], [0.0, 5.0]]]))
        >>> metric.compute()
        tensor(0.7500)
    """

    higher_is_better = True
    UNDEFINED = _ZERO

    def __init__(self) -> None:
        super().__init__({"map": _MAP}, Passes(0, 0))

    def measure(self, explained: Explained) -> Reading:
        """The index of each sample."""
        return _reading(gini(explained.positions))


@METRICS.register("complexity")
class Complexity(AttributionMetric):
    r"""Entropy of a map's shares, lower is sparser.

    .. math:: H = -\sum_{i=1}^{n} s_i \log s_i, \quad s_i = \frac{|a_i|}{\sum_j |a_j|}

    in nats over the n positions of the map a; exp(H) is the number of equal shares of that entropy. In [0, log n]: maps
    of different size do not compare. Undefined for a map of zeros. It asks nothing of the model.

    Example:
        >>> import torch
        >>> metric = Complexity()
        >>> metric.update(torch.nn.Identity(), torch.rand(1, 1, 2, 2), 0, torch.ones(1, 2, 2))
        >>> metric.compute().exp()
        tensor(4.)
    """

    higher_is_better = False
    UNDEFINED = _ZERO

    def __init__(self) -> None:
        super().__init__({"map": _MAP, "unit": "nat"}, Passes(0, 0))

    def measure(self, explained: Explained) -> Reading:
        """The entropy of each sample."""
        return _reading(complexity(explained.positions))


@METRICS.register("effective_complexity")
class EffectiveComplexity(AttributionMetric):
    r"""How many positions count, lower is sparser.

    .. math:: \#\{i : |a_i| > \varepsilon \max_j |a_j|\}

    over the n positions of the map a, in 1..n. Undefined for a map of zeros. It asks nothing of the model.

    Args:
        epsilon: in [0, 1); with the default, Quantus', a map without exact zeros nearly always counts in full.

    Raises:
        ValueError: for an epsilon out of range.

    Example:
        >>> import torch
        >>> metric = EffectiveComplexity(epsilon=0.1)
        >>> metric.update(torch.nn.Identity(), torch.rand(1, 1, 2, 2), 0, torch.tensor([[[0.1, 2.0], [-3.0, 0.0]]]))
        >>> metric.compute()
        tensor(2.)
    """

    higher_is_better = False
    UNDEFINED = _ZERO

    def __init__(self, epsilon: float = 1e-5) -> None:
        fraction("epsilon", epsilon, end=False)
        super().__init__({"map": _MAP, "epsilon": epsilon}, Passes(0, 0))
        self.epsilon = epsilon

    def measure(self, explained: Explained) -> Reading:
        """The number of each sample."""
        return _reading(effective_complexity(explained.positions, self.epsilon))

"""The interval of a share.

Paper: Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", 1927.
"""

import math
from statistics import NormalDist

from lit_attr._checks import ArgumentError, not_negative_int

__all__ = ["wilson_interval"]


def wilson_interval(successes: int, samples: int, confidence: float = 0.95) -> tuple[float, float]:
    r"""Wilson's interval of a share.

    .. math:: \frac{p + z^2 / 2n \pm z \sqrt{p (1 - p) / n + z^2 / 4n^2}}{1 + z^2 / n}, \quad p = k / n

    Args:
        successes: k.
        samples: n; of none nothing is known, [0, 1].
        confidence: the probability of the normal distribution within z, in (0, 1).

    Raises:
        ValueError: for counts below zero, more successes than samples, or a confidence outside (0, 1).

    Example:
        >>> [round(end, 3) for end in wilson_interval(8, 10)]
        [0.49, 0.943]
    """
    not_negative_int("successes", successes)
    not_negative_int("samples", samples)
    if successes > samples:
        raise ArgumentError("successes", successes, f"at most the {samples} samples")
    if not 0 < confidence < 1:
        raise ArgumentError("confidence", confidence, "in (0, 1)")
    if samples == 0:
        return 0.0, 1.0
    z, p = NormalDist().inv_cdf((1 + confidence) / 2), successes / samples
    middle = p + z * z / (2 * samples)
    spread = z * math.sqrt(p * (1 - p) / samples + z * z / (4 * samples**2))
    low, high = ((middle + side) / (1 + z * z / samples) for side in (-spread, spread))
    # At the ends the square root cancels exactly but for rounding.
    return (0.0 if successes == 0 else low), (1.0 if successes == samples else high)

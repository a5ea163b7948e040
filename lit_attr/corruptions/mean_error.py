"""Mean corruption error: how much corruptions raise a classifier's error, beside a baseline.

Paper: Hendrycks, Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and Perturbations", ICLR
2019, arXiv 1903.12261, section 4.2. The errors of AlexNet are the unrounded ones that the authors give out, by which
mCE is computed everywhere; its clean error is that of the paper's table.
"""

from collections.abc import Mapping

from lit_attr._checks import ArgumentError, fraction

__all__ = ["ALEXNET", "ALEXNET_CLEAN", "mean_corruption_error", "relative_mean_corruption_error"]

SEVERITIES = {1, 2, 3, 4, 5}

ALEXNET = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
ALEXNET_CLEAN = 0.435

Errors = Mapping[str, Mapping[int, float]]


def mean_corruption_error(errors: Errors, baseline: Mapping[str, float] | None = None) -> float:
    r"""Mean corruption error (mCE) in percent, lower is better.

    .. math:: \text{mCE} = 100 \cdot \frac{1}{|C|} \sum_{c \in C} \frac{\sum_{s=1}^5 E_{s,c}}{\sum_{s=1}^5 B_{s,c}}

    where `E` are the errors of the classifier under corruption `c` at severity `s`, and `B` those of the baseline,
    given as their means over severities. 100 for the baseline itself, 0 for a classifier without errors.

    Args:
        errors: share of wrong answers in [0, 1], by name of the corruption and by severity 1 to 5.
        baseline: mean error over the five severities, by name of the same corruptions; None takes AlexNet on
            ImageNet-C, the published baseline of its 15 corruptions.

    Raises:
        ValueError: where the corruptions differ from those of the baseline, a severity is missing or an error lies
            outside [0, 1].

    Example:
        >>> errors = {"fog": {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4, 5: 0.5}, "snow": dict.fromkeys(range(1, 6), 0.4)}
        >>> round(mean_corruption_error(errors, {"fog": 0.6, "snow": 0.4}), 6)
        75.0
    """
    baseline = ALEXNET if baseline is None else baseline
    means = _means(errors, baseline)
    return 100 * sum(mean / _positive(name, baseline[name]) for name, mean in means.items()) / len(means)


def relative_mean_corruption_error(
    errors: Errors,
    clean: float,
    baseline: Mapping[str, float] | None = None,
    baseline_clean: float | None = None,
) -> float:
    r"""Relative mCE in percent, lower is better: what corruptions add to the error, beside what they add to a baseline.

    .. math:: 100 \cdot \frac{1}{|C|} \sum_{c \in C}
              \frac{\sum_{s=1}^5 (E_{s,c} - E_\text{clean})}{\sum_{s=1}^5 (B_{s,c} - B_\text{clean})}

    Args:
        errors: as in `mean_corruption_error`.
        clean: error of the classifier without corruption.
        baseline: as in `mean_corruption_error`.
        baseline_clean: error of the baseline without corruption, given together with `baseline`.

    Raises:
        ValueError: as in `mean_corruption_error`, for only one of the last two, and for a corruption that does not
            raise the error of the baseline.

    Example:
        >>> errors = {"fog": {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4, 5: 0.5}}
        >>> round(relative_mean_corruption_error(errors, 0.1, {"fog": 0.6}, 0.2), 6)
        50.0
    """
    if (baseline is None) != (baseline_clean is None):
        raise ArgumentError("baseline_clean", baseline_clean, "given together with `baseline`")
    baseline = ALEXNET if baseline is None else baseline
    baseline_clean = ALEXNET_CLEAN if baseline_clean is None else baseline_clean
    fraction("clean", clean)
    fraction("baseline_clean", baseline_clean)
    means = _means(errors, baseline)
    raised = {name: _positive(name, baseline[name] - baseline_clean) for name in means}
    return 100 * sum((mean - clean) / raised[name] for name, mean in means.items()) / len(means)


def _means(errors: Errors, baseline: Mapping[str, float]) -> dict[str, float]:
    """The mean error over severities of each corruption."""
    if not errors or set(errors) != set(baseline):
        missing, extra = sorted(set(baseline) - set(errors)), sorted(set(errors) - set(baseline))
        raise ArgumentError("errors", f"{missing} missing, {extra} too many", "of the corruptions of the baseline")
    for name, by_severity in errors.items():
        if set(by_severity) != SEVERITIES:
            raise ArgumentError(f"errors['{name}']", sorted(by_severity), "of the severities 1 to 5")
        for severity, error in by_severity.items():
            fraction(f"errors['{name}'][{severity}]", error)
        fraction(f"baseline['{name}']", baseline[name])
    return {name: sum(by_severity.values()) / len(SEVERITIES) for name, by_severity in errors.items()}


def _positive(name: str, value: float) -> float:
    if not value > 0:
        raise ArgumentError(f"baseline['{name}']", value, "raised by the corruption, which is divided by")
    return value

import pytest

from _reference.corruptions import PUBLISHED
from lit_attr.corruptions import (
    ALEXNET,
    ALEXNET_CLEAN,
    mean_corruption_error,
    relative_mean_corruption_error,
)

FIVE = range(1, 6)


def flat(means):
    return {name: dict.fromkeys(FIVE, mean) for name, mean in means.items()}


def test_alexnet_has_the_published_errors():
    """As papers print them, in percent, and in the usual order: noise, blur, weather, digital."""
    table = [88.6, 89.4, 92.3, 82.0, 82.6, 78.6, 79.8, 86.7, 82.7, 81.9, 56.5, 85.3, 64.6, 71.8, 60.7]
    assert [100 * error for error in ALEXNET.values()] == pytest.approx(table, abs=0.051)
    extras = {"speckle_noise", "gaussian_blur", "spatter", "saturate"}
    assert set(ALEXNET) | extras == set(PUBLISHED)
    assert not set(ALEXNET) & extras


def test_alexnet_beside_itself():
    assert mean_corruption_error(flat(ALEXNET)) == pytest.approx(100)
    assert relative_mean_corruption_error(flat(ALEXNET), ALEXNET_CLEAN) == pytest.approx(100)


def test_a_perfect_classifier():
    perfect = flat(dict.fromkeys(ALEXNET, 0.0))
    assert mean_corruption_error(perfect) == 0
    assert relative_mean_corruption_error(perfect, 0.0) == 0


def test_severities_count_alike_and_corruptions_too():
    errors = {"a": dict(zip(FIVE, [0.0, 0.1, 0.2, 0.3, 0.4], strict=True)), "b": dict.fromkeys(FIVE, 0.3)}
    assert mean_corruption_error(errors, {"a": 0.4, "b": 0.3}) == pytest.approx(100 * (0.5 + 1) / 2)
    relative = relative_mean_corruption_error(errors, 0.1, {"a": 0.4, "b": 0.3}, 0.2)
    assert relative == pytest.approx(100 * (0.1 / 0.2 + 0.2 / 0.1) / 2)


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        (
            {"fog": dict.fromkeys(range(1, 5), 0.1)},
            r"`errors\['fog'\]` must be of the severities 1 to 5, got \[1, 2, 3",
        ),
        ({"fog": dict.fromkeys(range(6), 0.1)}, r"`errors\['fog'\]` must be of the severities 1 to 5, got \[0, 1"),
        ({"fog": dict.fromkeys(FIVE, 12.0)}, r"`errors\['fog'\]\[1\]` must be in \[0, 1\], got 12"),
        ({}, r"`errors` must be of the corruptions of the baseline, got \['fog'\] missing, \[\] too many"),
        (flat({"fog": 0.1, "snow": 0.1}), r"got \[\] missing, \['snow'\] too many"),
    ],
)
def test_errors_that_do_not_fit_are_refused(errors, message):
    with pytest.raises(ValueError, match=message):
        mean_corruption_error(errors, {"fog": 0.5})


def test_one_of_fifteen_is_refused():
    with pytest.raises(ValueError, match=r"`errors` must be of the corruptions of the baseline, got \['brightness'"):
        mean_corruption_error(flat({"fog": 0.1}))


def test_a_baseline_without_errors_is_refused():
    with pytest.raises(ValueError, match=r"`baseline\['fog'\]` must be raised by the corruption, .* got 0"):
        mean_corruption_error(flat({"fog": 0.1}), {"fog": 0.0})
    with pytest.raises(ValueError, match=r"`baseline\['fog'\]` must be raised by the corruption, .* got -0.1"):
        relative_mean_corruption_error(flat({"fog": 0.1}), 0.1, {"fog": 0.25}, 0.375)


def test_clean_errors_are_checked():
    with pytest.raises(ValueError, match="`baseline_clean` must be given together with `baseline`, got None"):
        relative_mean_corruption_error(flat({"fog": 0.1}), 0.1, {"fog": 0.2})
    with pytest.raises(ValueError, match=r"`clean` must be in \[0, 1\], got 24"):
        relative_mean_corruption_error(flat(ALEXNET), 24)

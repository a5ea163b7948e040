"""The forecast: passes that are left, at the speed of those that are made."""

from lit_attr._view import Passes
from lit_attr.benchmark.forecast import Forecast


def test_time_left():
    clock = iter([100.0, 103.0, 103.0, 110.0])
    forecast = Forecast(lambda: next(clock))
    forecast.plan("a", Passes(1, 2), ["x", "y"])  # 5 each
    forecast.plan("b", Passes(10, 0), ["x", "y", "z"])
    assert forecast.now() == (0, 40, None, "")
    forecast.finish("a", ["x"])
    assert forecast.now() == (5, 40, 3 / 5 * 35, "a")
    forecast.finish("b", ["x", "y", "z"])
    forecast.finish("a", ["x", "y"])  # x counts once
    assert forecast.now() == (40, 40, 0, "a")


def test_nothing_to_do():
    forecast = Forecast(lambda: 0.0)
    forecast.plan("a", Passes(1, 0), [])
    forecast.finish("a", ["x"])
    assert forecast.now() == (0, 0, None, "a")


def test_samples_that_cost_differently():
    forecast = Forecast(lambda: 0.0)
    forecast.plan("a", Passes(1, 0), ["x"])
    forecast.plan("a", Passes(0, 2), ["y"])
    assert forecast.now().total == 5
    forecast.finish("a", ["y"])
    assert forecast.now() == (4, 5, 0, "a")

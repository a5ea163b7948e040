"""The functions are those of the metrics' own files."""

import inspect

import pytest

from lit_attr.metrics import METRICS, functional


@pytest.mark.parametrize("name", functional.__all__)
def test_function_takes_the_settings_of_the_class(name):
    function, cls = getattr(functional, name), METRICS.get(name)
    assert function.__module__ == cls.__module__
    settings = list(inspect.signature(cls).parameters.values())
    assert [str(p) for p in list(inspect.signature(function).parameters.values())[4:]] == [str(p) for p in settings]

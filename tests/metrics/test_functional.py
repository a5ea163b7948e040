"""The functions are those of the metrics' own files."""

import inspect

import pytest

from lit_attr.metrics import METRICS, functional


@pytest.mark.parametrize("name", functional.__all__)
def test_function_takes_the_settings_of_the_class(name):
    function, cls = getattr(functional, name), METRICS.get(name)
    assert function.__module__ == cls.__module__
    settings = [str(p) for p in inspect.signature(cls).parameters.values()]
    taken = [str(p) for p in inspect.signature(function).parameters.values()]
    given = taken[: len(taken) - len(settings)]  # a batch, or only the maps of those that ask nothing of the model
    assert taken == given + settings
    assert all("=" not in argument for argument in given)

"""One process here; two in bank/test_build.py."""

import pytest

from lit_attr._ranks import on_each_rank, on_rank_zero, rank_and_size


def fail():
    raise KeyError("here")


def test_alone():
    assert rank_and_size() == (0, 1)
    assert on_rank_zero(lambda: 3) == 3
    assert on_each_rank(lambda: 3) == [3]


@pytest.mark.parametrize("call", [on_rank_zero, on_each_rank])
def test_errors_are_raised(call):
    with pytest.raises(KeyError, match="here"):
        call(fail)

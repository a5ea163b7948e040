import math
import pickle
from pathlib import Path

import pytest
import torch

from lit_attr import _checks
from lit_attr._checks import ArgumentError


def test_message():
    assert str(ArgumentError("steps", 0, "a positive integer")) == "`steps` must be a positive integer, got 0"


def test_message_shows_words_without_quotes_and_other_things_as_code():
    assert str(ArgumentError("a", "the word", "b")).endswith("got the word")
    assert str(ArgumentError("a", Path("x/y"), "b")).endswith("got x/y")
    assert str(ArgumentError("a", ["the word"], "b")).endswith("got ['the word']")


def test_it_is_a_value_error():
    with pytest.raises(ValueError, match="`steps` must be"):
        raise ArgumentError("steps", 0, "a positive integer")


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_it_comes_back_from_another_process(protocol):
    error = ArgumentError("steps", torch.zeros(1), "a positive integer")
    found = pickle.loads(pickle.dumps(error, protocol))
    assert type(found) is ArgumentError
    assert str(found) == str(error)


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "1", None])
def test_positive_int_refuses(value):
    with pytest.raises(ArgumentError, match="`n` must be a positive integer, got"):
        _checks.positive_int("n", value)


@pytest.mark.parametrize("value", [-1e-9, -math.inf, math.nan, "1", None])
def test_not_negative_refuses(value):
    with pytest.raises(ArgumentError, match="`s` must be a number of at least 0, got"):
        _checks.not_negative("s", value)


@pytest.mark.parametrize("value", [-0.1, 1.1, math.nan, math.inf, "0.5", None])
def test_fraction_refuses(value):
    with pytest.raises(ArgumentError, match=r"`q` must be in \[0, 1\], got"):
        _checks.fraction("q", value)


def test_fraction_refuses_the_end_where_asked():
    with pytest.raises(ArgumentError, match=r"`q` must be in \[0, 1\), got 1"):
        _checks.fraction("q", 1, end=False)


@pytest.mark.parametrize("value", [0, -2, 1.5, True, math.nan, math.inf, "2", None])
def test_count_or_share_refuses(value):
    with pytest.raises(ArgumentError, match=r"`k` must be a share in \(0, 1\), or a positive integer, got"):
        _checks.count_or_share("k", value)


@pytest.mark.parametrize("values", [(), 5, "5", None, (5, "5"), [5, -1]])
def test_numbers_refuses(values):
    with pytest.raises(ArgumentError, match="`p` must be at least one positive number, got "):
        _checks.numbers("p", values, "at least one positive number", lambda p: p > 0)


def test_numbers_gives_a_tuple():
    assert _checks.numbers("p", [5, 0.5], "positive", lambda p: p > 0) == (5, 0.5)


def test_one_of_refuses_and_names_the_nearest():
    with pytest.raises(ValueError, match=r"`rule` is 'lft'; accepted: left, right; did you mean 'left'\?"):
        _checks.one_of("rule", "lft", ["right", "left"])


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (torch.zeros(2, 3, dtype=torch.uint8), r"a torch.uint8 tensor of shape \(2, 3\)"),
        (torch.zeros(3), r"a torch.float32 tensor of shape \(3,\)"),
        ([[1.0]], r"\[\[1.0\]\]"),
        (None, "None"),
    ],
)
def test_batch_of_floats_refuses(value, got):
    with pytest.raises(ArgumentError, match=rf"`x` must be a floating tensor \[B, ...\], got {got}"):
        _checks.batch_of_floats("x", value)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_batch_of_floats_refuses_what_is_not_finite(bad):
    with pytest.raises(ArgumentError, match="`x` must be finite, got NaN or infinite values"):
        _checks.batch_of_floats("x", torch.tensor([[0.0, bad]]))


@pytest.mark.parametrize(("values", "shown"), [([-0.5, 1], r"\[-0.5, 1\]"), ([0, 255], r"\[0, 255\]")])
def test_unit_range_refuses_and_says_what_to_do(values, shown):
    with pytest.raises(ArgumentError, match=rf"`x` must be images in \[0, 1\], got {shown}: divide it"):
        _checks.unit_range("x", torch.tensor(values), "divide it")


@pytest.mark.parametrize("bad", [-1, 3, 7])
def test_classes_below_refuses_and_shows_the_first_bad_one(bad):
    with pytest.raises(ArgumentError, match=rf"`target` must be a class index in 0..2, got {bad}"):
        _checks.classes_below("target", torch.tensor([0, bad, 9]), 3)


def test_what_is_right_passes():
    _checks.positive_int("n", 1)
    _checks.not_negative("s", 0)
    _checks.not_negative("s", math.inf)
    _checks.fraction("q", 0)
    _checks.count_or_share("k", 0.5)
    _checks.count_or_share("k", 1)
    _checks.count_or_share("k", 3.0)
    _checks.fraction("q", 1)
    _checks.one_of("rule", "left", ["left"])
    _checks.batch_of_floats("x", torch.zeros(0, 3))
    _checks.batch_of_floats("x", torch.zeros(1, 1, dtype=torch.bfloat16))
    _checks.unit_range("x", torch.tensor([0.0, 1.00005]), "")  # the rounding of a resize
    _checks.unit_range("x", torch.zeros(0), "")
    _checks.classes_below("target", torch.tensor([0, 2]), 3)
    _checks.classes_below("target", torch.zeros(0, dtype=torch.long), 3)

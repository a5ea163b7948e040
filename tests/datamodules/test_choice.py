import pytest
import torch

from lit_attr.datamodules._choice import choose_variants

ALL = {"reached_only": False, "max_l2": None, "min_ssim": None, "balance": False, "seed": 0}


@pytest.fixture
def columns():
    """Twelve variants, of class 0 twice as many as of 1 and 2; the last two had no step."""
    number = torch.arange(12)
    return {
        "steps": torch.tensor([1] * 10 + [0] * 2),
        "reached": number % 2 == 0,
        "label": torch.tensor([0, 0, 1, 2] * 3),
        "l2": number / 10,
        "ssim": 1 - number / 20,
    }


def test_all_that_moved(columns):
    assert choose_variants(columns, 100, **ALL).tolist() == list(range(10))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"reached_only": True}, [0, 2, 4, 6, 8]),
        ({"max_l2": 0.31}, [0, 1, 2, 3]),
        ({"min_ssim": 0.799}, [0, 1, 2, 3, 4]),
        ({"reached_only": True, "max_l2": 0.31, "min_ssim": 0.95}, [0]),
    ],
)
def test_conditions(columns, rule, expected):
    assert choose_variants(columns, 100, **ALL | rule).tolist() == expected


def test_no_more_than_are_wanted_by_chance(columns):
    chosen = [tuple(choose_variants(columns, 4, **ALL | {"seed": seed}).tolist()) for seed in (0, 0, 1, 2, 3)]
    assert chosen[0] == chosen[1]
    assert len(set(chosen)) > 2
    assert all(len(set(some)) == 4 and list(some) == sorted(some) for some in chosen)
    assert choose_variants(columns, 0, **ALL).tolist() == []


def test_equally_many_of_each_class(columns):
    for count, each in [(100, 2), (7, 2), (5, 1), (2, 0)]:
        labels = columns["label"][choose_variants(columns, count, **ALL | {"balance": True})]
        assert torch.bincount(labels, minlength=3).tolist() == [each] * 3
    nothing = choose_variants(columns, 100, **ALL | {"balance": True, "max_l2": 0.15})  # of class 0 alone
    assert nothing.tolist() == []


def test_likeness_is_asked_for_where_there_is_none(columns):
    columns["ssim"][3] = torch.nan
    with pytest.raises(ValueError, match="`min_ssim` must be None for images with less than 11 pixels on a side"):
        choose_variants(columns, 3, **ALL | {"min_ssim": 0.5})

"""How attributions become maps that are compared."""

import pytest
import torch

from lit_attr.metrics._comparison import Comparison
from lit_attr.metrics.similarity import spearman, topk_intersection

REDUCTIONS = {"sum": lambda a: a.sum(1), "abs_of_sum": lambda a: a.sum(1).abs(), "abs_sum": lambda a: a.abs().sum(1)}


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_reductions(reduction):
    one, other, inputs = torch.randn(3, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = Comparison("spearman", reduction, 0.02)(one, other, inputs)
    assert torch.equal(found, spearman(*(REDUCTIONS[reduction](a) for a in (one, other))))


def test_k_is_of_topk_alone():
    one, other, inputs = torch.randn(3, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = Comparison("topk", "sum", 7)(one, other, inputs)
    assert torch.equal(found, topk_intersection(one.sum(1), other.sum(1), 7))
    assert Comparison("topk", "sum", 7).protocol == {"measure": "topk", "map": "sum", "k": 7}
    assert Comparison("ssim", "sum", 7).protocol == {"measure": "ssim", "map": "sum"}


def test_words_are_checked():
    with pytest.raises(ValueError, match=r"`measure` is 'spearmann'.*did you mean 'spearman'"):
        Comparison("spearmann", "sum", 1)
    with pytest.raises(ValueError, match=r"`reduction` is 'abs'"):
        Comparison("topk", "abs", 1)
    with pytest.raises(ValueError, match="`k` must be"):
        Comparison("topk", "sum", 0)

import pytest
import torch

from lit_attr.attribution.path.classes import check_choice, other_classes

EVIDENCE = torch.randn(5, 7)
BUT = torch.tensor([0, 6, 3, 1, 1])


@pytest.mark.parametrize("choice", ["top", "even", "random"])
@pytest.mark.parametrize("count", [1, 3, 6, 20])
def test_others_each_once(choice, count):
    found = other_classes(EVIDENCE, BUT, count, choice)
    assert found.shape == (5, min(count, 6))
    for row, but in zip(found.tolist(), BUT.tolist(), strict=True):
        assert len({*row, but}) == len(row) + 1
        assert {*row} <= {*range(7)}


def test_runners_up_come_first():
    found = other_classes(EVIDENCE, BUT, 2, "top")
    for i, row in enumerate(found.tolist()):
        ranked = [k for k in EVIDENCE[i].argsort(descending=True).tolist() if k != BUT[i]]
        assert row == ranked[:2]


def test_even_spread():
    assert other_classes(torch.zeros(1, 11), torch.tensor([10]), 5, "even").tolist() == [[0, 2, 4, 6, 8]]


def test_random_choice_is_seeded_and_private():
    before = torch.get_rng_state()
    a, b = (other_classes(EVIDENCE, BUT, 3, "random", seed) for seed in (1, 2))
    assert torch.equal(a, other_classes(EVIDENCE, BUT, 3, "random", 1))
    assert not torch.equal(a, b)
    assert torch.equal(torch.get_rng_state(), before)


def test_random_choice_reaches_every_class():
    seen = {int(other_classes(EVIDENCE[:1], BUT[:1], 1, "random", seed)) for seed in range(200)}
    assert seen == {1, 2, 3, 4, 5, 6}


def test_unknown_choice():
    with pytest.raises(ValueError, match="`choice` is 'best'; accepted: "):
        check_choice("best")

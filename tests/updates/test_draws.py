import pytest
import torch

from lit_attr.updates._draws import normal, uniform

FULL = 2**64


def mixed(z):
    """SplitMix64's finaliser on Python's integers."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % FULL
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % FULL
    return z ^ (z >> 31)


def test_the_numbers_are_those_of_splitmix64():
    """Of seed 1234567 the generator's first value is known."""
    assert mixed((1234567 + 0x9E3779B97F4A7C15) % FULL) == 6457827717110365317
    keys, salt = [0, 7, 2**40 + 3], 11
    found = uniform(torch.tensor(keys), salt, 5)
    for row, key in zip(found.tolist(), keys, strict=True):
        state = mixed(mixed(key) ^ salt)
        known = [mixed((state + i * 0x9E3779B97F4A7C15) % FULL) >> 40 for i in range(1, 6)]
        assert row == [value / 2**24 for value in known]


@pytest.mark.parametrize("draw", [uniform, normal])
def test_a_walk_has_its_numbers_wherever_it_stands(draw):
    every = draw(torch.tensor([5, 9, 5, 2]), 3, 8)
    assert torch.equal(every[0], every[2])
    assert torch.equal(draw(torch.tensor([2, 9]), 3, 8), every[[3, 1]])
    assert not torch.equal(every[0], every[1])
    assert not torch.equal(draw(torch.tensor([5]), 4, 8), every[:1])


def test_distributions():
    """Also over keys that follow each other, which are those of a data set."""
    for shape in [(1, 40_000), (40_000, 1), (200, 200)]:
        some = uniform(torch.arange(shape[0]), 0, shape[1])
        assert 0 <= float(some.min()) < float(some.max()) < 1
        assert abs(float(some.mean()) - 0.5) < 0.01
        assert abs(float(some.var()) - 1 / 12) < 0.002
        some = normal(torch.arange(shape[0]), 0, shape[1])
        assert bool(some.isfinite().all())
        assert abs(float(some.mean())) < 0.02
        assert abs(float(some.std()) - 1) < 0.02


def test_neighbours_have_nothing_in_common():
    signs = 2 * (uniform(torch.arange(100), 0, 2000) < 0.5).double() - 1
    common = signs @ signs.T / 2000
    assert float((common - torch.eye(100)).abs().max()) < 0.12  # 5 deviations of 1/sqrt(2000)

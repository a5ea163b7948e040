"""What every update rule that has a name must keep."""

import pytest
import torch
from torch import nn

from _reference.nets import Counter, cnn
from _reference.rules import RULES
from _reference.walks import points, turns
from lit_attr.updates import UPDATES, Region

X = torch.rand(3, 3, 9, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([2, 0, 1])

rules = pytest.mark.parametrize("rule", [UPDATES.build(name) for name in RULES], ids=RULES)


@rules
@pytest.mark.parametrize("paths", [1, 2])
def test_a_sample_alone_goes_as_it_goes_in_a_batch(rule, paths):
    net = cnn()
    every = points(net, rule, X, Y, paths=paths, steps=3)
    for i in range(3):
        alone = points(net, rule, X[i : i + 1], Y[i : i + 1], paths=paths, steps=3)
        torch.testing.assert_close(every[:, i * paths : (i + 1) * paths], alone, rtol=0, atol=1e-10)


@rules
@pytest.mark.parametrize("max_batch", [1, 7])
def test_nothing_depends_on_how_many_points_are_evaluated_at_once(rule, max_batch):
    net = Counter(cnn())
    every = points(net, rule, X, Y, paths=2)
    net.largest = 0
    torch.testing.assert_close(points(net, rule, X, Y, paths=2, max_batch=max_batch), every, rtol=0, atol=1e-10)
    assert net.largest <= max_batch


@rules
def test_walks_that_end_leave_the_others_undisturbed(rule):
    net = cnn()
    every = points(net, rule, X, Y, paths=2, steps=4)
    seen = []

    def after(evidence, walks):  # the first sample, and the first walk of the second, after the first step
        seen.append(len(evidence))
        return (len(seen) == 2) & ((walks.rows == 0) | ((walks.rows == 1) & (walks.path == 0)))

    found, _ = turns(net, rule, X, Y, paths=2, steps=4, stop=after)
    assert seen == [6, 6, 3, 3, 3]
    for number, turn in enumerate(found):
        torch.testing.assert_close(turn.points, every[number, turn.places], rtol=0, atol=1e-10)


@rules
def test_passes_are_what_it_says(rule):
    net = Counter(cnn())
    _, passes = turns(net, rule, X, Y, steps=4)
    once, each, guided = rule.once, rule.passes, rule.guided
    assert passes == tuple(once[i] + 4 * (each[i] + guided) for i in range(2))
    assert net.forwards == 3 * passes.forward


class Sure(nn.Module):
    """So sure that the cross entropy has no gradient."""

    def __init__(self, net, factor=1e5):
        super().__init__()
        self.net, self.factor = net, factor

    def forward(self, x):
        return self.factor * self.net(x)


@rules
def test_a_gradient_of_zero_does_no_harm(rule):
    net, x = Sure(cnn(dtype=torch.float32)), X.float()
    found, _ = turns(net, rule, x, net(x).argmax(1), steps=4)
    for turn in found:
        assert torch.isfinite(turn.points).all()
        assert all(torch.isfinite(values).all() for values in turn.memory.values())


@rules
@pytest.mark.parametrize("size", [(12, 7), (32, 48), (33, 21)], ids=str)
def test_grey_images_of_any_size(rule, size):
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)).double()
    x = torch.rand(2, 1, *size, dtype=torch.float64)
    found = points(net, rule, x, Y[:2])
    assert found.shape == (3, 2, 1, *size)
    assert (found[-1] != found[0]).any()
    assert float((found - x).abs().max()) <= 0.1 + 1e-9


@rules
def test_black_and_white_stay_in_range(rule):
    x = torch.tensor([0.0, 1.0], dtype=torch.float64).view(2, 1, 1, 1).expand(2, 3, 8, 8)
    found = points(cnn(), rule, x, Y[:2], steps=3, region=Region(None, (0, 1)))
    assert torch.isfinite(found).all()
    assert 0 <= float(found.min()) < float(found.max()) <= 1


@rules
def test_one_seed_gives_one_result_and_the_global_random_state_is_left_alone(rule):
    net = cnn()
    before = torch.get_rng_state()
    first = points(net, rule, X, Y)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert torch.equal(points(net, rule, X, Y), first)

"""GRA against a loop over samples and neighbours with the same random numbers."""

import pytest
import torch
import torch.nn.functional as F

from _reference.nets import cnn, linear, mlp
from _reference.walks import points, turns
from lit_attr.updates import GRA, MIFGSM

SHAPE = (3, 8, 10)
X = torch.rand(2, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([2, 0])


def gradient(net, x, y):
    x = x[None].clone().requires_grad_()
    return torch.autograd.grad(F.cross_entropy(net(x), torch.tensor([y])), x)[0][0]


def by_hand(net, x, y, rule, *, steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    path, velocity, scale = [x], torch.zeros_like(x), torch.full_like(x, 1 / rule.eta)
    reach = rule.beta * rule.eps
    for _ in range(steps):
        here, ahead = path[-1], rule.alpha * rule.momentum * velocity if rule.nesterov else 0
        a = gradient(net, here + ahead, y)
        near = [here + ahead - reach + 2 * reach * torch.rand(1, *x.shape, generator=generator)[0].double()
                for _ in range(rule.copies)]  # fmt: skip
        b = torch.stack([gradient(net, point, y) for point in near]).mean(0)
        s = F.cosine_similarity(a.flatten(), b.flatten(), 0)
        mixed = s * a + (1 - s) * b
        new = rule.momentum * velocity + mixed / mixed.abs().mean()
        scale = torch.where(new.sign() == velocity.sign(), scale, rule.eta * scale)
        velocity = new
        moved = here + rule.alpha * scale * velocity.sign()
        path.append(torch.clamp(torch.clamp(moved, x - 0.1, x + 0.1), 0, 1))
    return torch.stack(path)


@pytest.mark.parametrize(
    "rule",
    [GRA(0.02, copies=5), GRA(0.05, copies=3, eta=0.5, momentum=0.3, eps=0.2), GRA(0.02, copies=3, nesterov=True)],
    ids=["defaults", "strong", "looking ahead"],
)
@pytest.mark.parametrize("max_batch", [3, None])
def test_one_sample_at_a_time_by_a_plain_loop(rule, max_batch):
    net = cnn()
    found = points(net, rule, X, Y, steps=4, max_batch=max_batch)
    for i in range(2):
        torch.testing.assert_close(found[:, i], by_hand(net, X[i], int(Y[i]), rule, steps=4), rtol=0, atol=1e-12)


def test_steps_lose_size_where_they_turn():
    found, _ = turns(cnn(), GRA(0.05, copies=2, eta=0.5, eps=0.2, momentum=0.0), X, Y, steps=5)
    moves = torch.stack([turn.memory["velocity"].sign() for turn in found[:-1]])
    assert torch.equal(found[0].memory["decay"], torch.where(moves[0] == 0, 2.0, 1.0).double())
    turned = (moves[1:] != moves[:-1]).sum(0)
    assert 0 < int(turned.min() == 0) <= int(turned.max())
    torch.testing.assert_close(found[4].memory["decay"], found[0].memory["decay"] * 0.5 ** turned.double())


def test_where_neighbours_agree_it_is_the_momentum_method():
    net, x = linear(6), X[:, 0, 0, :6]
    settings = {"alpha": 0.01, "momentum": 0.5}
    found = points(net, GRA(copies=3, beta=0, **settings), x, Y, steps=1)
    torch.testing.assert_close(found, points(net, MIFGSM(**settings), x, Y, steps=1))


def test_a_gradient_that_is_zero_agrees_with_nothing():
    """At x_t the gradient is zero, around it is not: then g is b."""

    class Flat(torch.nn.Module):
        def forward(self, x):
            far = F.pad((x.flatten(1) - 0.5).sum(1, keepdim=True), (0, 1)) if x.shape[0] > 1 else torch.zeros(1, 2)
            return far.to(x) + 0 * x.flatten(1)[:, :2]

    x = X[:1]
    found = points(Flat(), GRA(0.01, copies=3, eps=0.1), x, torch.tensor([0]), steps=1)
    torch.testing.assert_close(found[1], x.clamp(0, 1) - torch.full_like(x, 0.01).minimum(x))


def test_inputs_that_are_no_images():
    net, x, rule = mlp(), X[:, 0, 0, :6], GRA(0.02, copies=4)
    torch.testing.assert_close(points(net, rule, x, Y, steps=3)[:, 1], by_hand(net, x[1], 0, rule, steps=3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"copies": 0}, "`copies` must be a positive integer"),
        ({"beta": -1}, "`beta` must be a number of at least 0"),
        ({"eta": 0}, r"`eta` must be in \(0, 1\], got 0"),
        ({"eta": 2}, r"`eta` must be in \(0, 1\], got 2"),
        ({"eps": -1}, "`eps` must be a number of at least 0"),
        ({"momentum": -1}, "`momentum` must be a number of at least 0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        GRA(**settings)

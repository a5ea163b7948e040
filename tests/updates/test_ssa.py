"""SSA against a loop over samples and copies with scipy's transforms and the same random numbers."""

import pytest
import torch
import torch.nn.functional as F
from scipy import fft, stats

from _reference.nets import cnn, mlp
from lit_attr._view import looking_at
from lit_attr.objectives import logprob
from lit_attr.updates import SSA, Region, Route, Walks, walk

SHAPE = (3, 8, 10)
X = torch.rand(2, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([2, 0])


def points(net, rule, x=X, y=Y, *, paths=1, seed=0, steps=2, max_batch=None):
    """Those of all walks, away from the class, `[T + 1, N, ...]`."""
    route = Route(rule, steps=steps, region=Region(0.1, (0, 1)), seed=seed, max_batch=max_batch)
    walks = Walks.of(y[:, None].expand(-1, paths), -1.0)
    with looking_at(net, x, y) as view:
        return torch.stack([turn.points for turn in walk(view, x[walks.rows], walks, route, logprob)])


def by_hand(net, x, y, rule, *, steps=2, seed=0):
    """One walk of one sample, copy after copy."""
    line = stats.norm.pdf(torch.linspace(-3, 3, rule.smoothing).numpy())
    kernel = torch.from_numpy(line[:, None] * line / line.sum() ** 2)[None, None].repeat(3, 1, 1, 1)
    generator = torch.Generator().manual_seed(seed)
    path, velocity = [x], torch.zeros_like(x)
    for _ in range(steps):
        gradients = []
        for _ in range(rule.copies):
            noisy = path[-1] + rule.sigma * torch.randn(1, *SHAPE, generator=generator)[0].double()
            mask = 1 - rule.rho + 2 * rule.rho * torch.rand(1, *SHAPE, generator=generator)[0].double()
            u = torch.from_numpy(fft.idctn(fft.dctn(noisy.numpy(), axes=(1, 2)) * mask.numpy(), axes=(1, 2)))
            u.requires_grad_()
            asked = u[None]
            coin, larger, *places = torch.rand(4, generator=generator).tolist() if rule.diversity else [1.0] * 4
            if coin < rule.diversity:
                height, width = 8 + int(2 * larger), 10 + int(2 * larger)  # to 9 and 11
                top, left = int(places[0] * (10 - height)), int(places[1] * (12 - width))
                asked = F.interpolate(asked, size=(height, width), mode="bilinear")
                asked = F.pad(asked, (left, 11 - width - left, top, 9 - height - top))
                asked = F.interpolate(asked, size=(8, 10), mode="bilinear")
            loss = F.cross_entropy(net(asked), torch.tensor([y]))
            gradients.append(torch.autograd.grad(loss, u)[0])
        gradient = torch.stack(gradients).mean(0)
        gradient = F.conv2d(gradient[None], kernel, padding=rule.smoothing // 2, groups=3)[0]
        velocity = rule.momentum * velocity + gradient / gradient.abs().mean()
        moved = path[-1] + rule.alpha * velocity.sign()
        path.append(torch.clamp(torch.clamp(moved, x - 0.1, x + 0.1), 0, 1))
    return torch.stack(path)


@pytest.mark.parametrize(
    "rule",
    [
        SSA(0.03, copies=4),
        SSA(0.08, copies=3, rho=0.9, sigma=0.2, momentum=0.5, diversity=1.0, smoothing=3),
        SSA(0.03, copies=2, sigma=0.0, momentum=0.0, diversity=0.0, smoothing=1),
    ],
    ids=["defaults", "strong", "frequencies only"],
)
@pytest.mark.parametrize("max_batch", [3, None])
def test_one_sample_at_a_time_by_a_plain_loop(rule, max_batch):
    net = cnn()
    found = points(net, rule, max_batch=max_batch)
    for i in range(2):
        torch.testing.assert_close(found[:, i], by_hand(net, X[i], int(Y[i]), rule), rtol=0, atol=1e-12)


def test_each_path_has_draws_of_its_own_and_each_sample_the_same():
    net = cnn()
    twice = points(net, SSA(0.03, copies=2), X[:1].repeat(2, 1, 1, 1), Y[:1].repeat(2), paths=2)[-1]
    torch.testing.assert_close(twice[:2], twice[2:])
    assert not torch.allclose(twice[0], twice[1])
    assert not torch.allclose(points(net, SSA(0.03, copies=2), seed=1), points(net, SSA(0.03, copies=2)))


def test_inputs_that_are_no_images_have_noisy_copies_only():
    net, x = mlp(), X[:, 0, 0, :6]
    net[0].weight.data *= 8  # far from linear, so that noise decides
    plain = SSA(0.03, copies=3, sigma=1.0, rho=0.0, diversity=0.0, smoothing=1)
    found = points(net, plain, x)
    assert torch.equal(points(net, SSA(0.03, copies=3, sigma=1.0), x), found)
    assert not torch.equal(points(net, SSA(0.03, copies=3, sigma=0.0), x), found)
    generator = torch.Generator().manual_seed(0)
    copies = x[0] + torch.cat([torch.randn(1, 6, generator=generator).double() for _ in range(3)])
    loss = F.cross_entropy(net(copies.requires_grad_()), Y[:1].expand(3))
    moves = 0.03 * torch.autograd.grad(loss, copies)[0].mean(0).sign()
    torch.testing.assert_close(found[1, 0], (x[0] + moves).clamp(0, 1))


def test_without_a_gradient_there_is_no_move():
    class Constant(torch.nn.Module):
        def forward(self, x):
            return 0 * x.flatten(1)[:, :3]

    assert torch.equal(points(Constant(), SSA(0.03, copies=2))[-1], X)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": -1}, "`alpha` must be a number of at least 0"),
        ({"copies": 0}, "`copies` must be a positive integer"),
        ({"rho": 1.5}, r"`rho` must be in \[0, 1\]"),
        ({"sigma": -1}, "`sigma` must be a number of at least 0"),
        ({"momentum": -1}, "`momentum` must be a number of at least 0"),
        ({"diversity": 2}, r"`diversity` must be in \[0, 1\]"),
        ({"smoothing": 4}, "`smoothing` must be odd, got 4"),
        ({"smoothing": 0}, "`smoothing` must be a positive integer"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        SSA(**settings)

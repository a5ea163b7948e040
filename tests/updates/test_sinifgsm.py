"""SI-NI-FGSM against torchattacks and a plain loop."""

import pytest
import torch
import torch.nn.functional as F
import torchattacks

from _reference.nets import Counter, cnn, mlp
from _reference.walks import points, turns
from lit_attr.updates import NIFGSM, SINIFGSM, Region

X = torch.rand(3, 3, 8, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([2, 0, 1])


@pytest.mark.parametrize("steps", [1, 4])
def test_as_torchattacks_up_to_rare_signs(steps):
    """It adds up gradients of copies one after the other, which rounds in another way."""
    net, x = cnn(dtype=torch.float32).requires_grad_(False), X.float()
    found = points(net, SINIFGSM(2 / 255), x, Y, steps=steps, region=Region(8 / 255, (0, 1)))[-1]
    attack = torchattacks.SINIFGSM(net, eps=8 / 255, alpha=2 / 255, steps=steps)
    expected = torch.cat([attack(x[i : i + 1], Y[i : i + 1]) for i in range(3)])
    assert float(((found - expected).abs() > 1e-6).float().mean()) < 0.01


@pytest.mark.parametrize("max_batch", [2, None])
def test_one_sample_at_a_time_by_a_plain_loop(max_batch):
    net, rule = cnn(), SINIFGSM(0.02, copies=4, momentum=0.6)
    found = points(net, rule, X, Y, steps=3, max_batch=max_batch)
    for i in range(3):
        point, velocity = X[i], torch.zeros_like(X[i])
        for t in range(3):
            ahead = (point + 0.02 * 0.6 * velocity).requires_grad_()
            losses = [F.cross_entropy(net(ahead[None] / 2**k), Y[i : i + 1]) for k in range(4)]
            gradient = torch.autograd.grad(sum(losses) / 4, ahead)[0]
            velocity = 0.6 * velocity + gradient / gradient.abs().mean()
            point = (point + 0.02 * velocity.sign()).clamp(X[i] - 0.1, X[i] + 0.1).clamp(0, 1)
            torch.testing.assert_close(found[t + 1, i], point, rtol=0, atol=1e-12)


def test_a_single_copy_is_the_momentum_method_looking_ahead():
    net, x = mlp(), X[:, 0, 0, :6]
    assert torch.equal(points(net, SINIFGSM(copies=1), x, Y), points(net, NIFGSM(), x, Y))


def test_passes():
    net = Counter(cnn())
    _, passes = turns(net, SINIFGSM(), X, Y, steps=3)
    assert passes == (15, 15) == (net.forwards / 3, net.backwards / 3)


def test_copies_are_checked():
    with pytest.raises(ValueError, match="`copies` must be a positive integer, got 0"):
        SINIFGSM(copies=0)

"""TRADES: both terms and the inner walk by definition."""

import copy

import pytest
import torch

from _reference.training import batch
from lit_attr.modules import TRADES

ATTACK = {"class": "pgd", "eps": 0.1, "alpha": 0.03, "steps": 4}


def kl(p, q):
    return (p * (p.log() - q.log())).sum(1)


def test_loss_is_the_closed_form():
    one = batch()
    twin = copy.deepcopy(one.model)
    torch.manual_seed(7)
    found = TRADES(beta=2.0, attack=ATTACK)(one)

    torch.manual_seed(7)
    still = copy.deepcopy(twin).eval()
    points = one.images + 0.001 * torch.empty_like(one.images).normal_(generator=one.generator())
    clean = still(one.images).softmax(1).detach()
    points = points.clamp(0, 1)
    for _ in range(4):
        points = points.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(kl(clean, still(points).softmax(1)).sum(), points)
        points = (one.images + (points + 0.03 * gradient.sign() - one.images).clamp(-0.1, 0.1)).clamp(0, 1)
    logits, attacked = twin(one.images), twin(points.detach())
    divergence = 2.0 * kl(logits.softmax(1), attacked.softmax(1)).mean()
    own = -logits.log_softmax(1)[torch.arange(8), one.labels].mean()
    torch.testing.assert_close(found.loss, own + divergence)
    torch.testing.assert_close(found.adversarial, divergence)
    assert found.withstood.tolist() == (attacked.argmax(1) == one.labels).tolist()
    parameters = list(one.model.parameters()), list(twin.parameters())
    expected = torch.autograd.grad(own + divergence, parameters[1])  # through both sides of the divergence
    torch.testing.assert_close(torch.autograd.grad(found.loss, parameters[0]), expected)


def test_divergence_grows_along_the_walk():
    torch.manual_seed(0)
    values = []
    for steps in (1, 10):
        torch.manual_seed(1)
        values.append(float(TRADES(attack={**ATTACK, "steps": steps})(batch()).adversarial.detach()))
    assert values[1] > values[0] > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": -1.0}, "`beta` must be a number of at least 0, got -1.0"),
        ({"attack": {"class": "update"}}, "`attack` must be an IterativeAttack, such as pgd, for TRADES, got UpdateAt"),
        ({"attack": {"class": "pgd", "loss": "margin"}}, "`attack.loss` must be left out for TRADES.*, got margin"),
        ({"attack": {"class": "pgd", "early_stop": True}}, "`attack.early_stop` must be false for TRADES, got True"),
        ({"attack": {"class": "pgd", "targeted": "random"}}, "`attack.targeted` must be false for TRADES, got random"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        TRADES(**settings)

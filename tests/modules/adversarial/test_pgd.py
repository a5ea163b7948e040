"""Training on what an attack finds: the loss by definition, the attack's settings, and random starts."""

import copy

import pytest
import torch
import torch.nn.functional as F

from _reference.training import batch
from lit_attr.attacks import PGD, SSA
from lit_attr.modules import PGDTraining, TrainingBatch
from lit_attr.modules.adversarial.pgd import random_point


def projected(model, x, y, start, eps, alpha, steps):
    """Plain PGD on cross entropy, in eval mode."""
    model = copy.deepcopy(model).eval()
    points = start.clamp(0, 1)
    for _ in range(steps):
        points = points.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(points), y, reduction="sum"), points)
        points = (x + (points + alpha * gradient.sign() - x).clamp(-eps, eps)).clamp(0, 1)
    return points.detach()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("random_start", [False, True])
def test_loss_is_the_cross_entropy_of_adversarial_samples(smoothing, random_start):
    one = batch(smoothing=smoothing)
    twin = copy.deepcopy(one.model)
    attack = {"class": "pgd", "eps": 0.1, "alpha": 0.03, "steps": 4, "random_start": random_start}
    torch.manual_seed(7)
    found = PGDTraining(attack=attack)(one)
    torch.manual_seed(7)
    start = one.images
    if random_start:
        start = random_point(one, PGD(eps=0.1))
    points = projected(twin, one.images, one.labels, start, 0.1, 0.03, 4)
    logits = twin(points)
    expected = F.cross_entropy(logits, one.labels, label_smoothing=smoothing)
    torch.testing.assert_close(found.loss, expected)
    assert found.adversarial is found.loss
    assert found.withstood.tolist() == (logits.argmax(1) == one.labels).tolist()


def test_eps_keeps_the_ratio_of_the_step():
    attack = PGDTraining(attack={"class": "pgd", "eps": 0.1, "alpha": 0.02}, eps=0.3).attack
    assert (attack.eps, attack.alpha) == pytest.approx((0.3, 0.06))
    assert PGDTraining(attack={"class": "pgd", "eps": 0.1, "alpha": None}, eps=0.3).attack.alpha is None
    assert PGD(eps=0.0, alpha=0.1).at_radius(0.2).alpha == 0.1


def test_the_attack_is_the_given_one():
    attack = SSA(steps=3)
    assert PGDTraining(attack=attack).attack == attack


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attack": "pgdd"}, "unknown attack 'pgdd'"),
        ({"attack": {"class": "pgd", "targeted": True}}, "`attack.targeted` must be false, 'least_likely' or 'random'"),
        ({"attack": {"class": "pgd", "restarts": 2}}, "`attack.restarts` must be 1 in training, got 2"),
        ({"eps": -0.1}, "`eps` must be a number of at least 0, got -0.1"),
        ({"eps": "wide"}, "`eps` must be a number of at least 0, got wide"),
        ({"beta": 1.0}, "beta"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        PGDTraining(**settings)


def test_random_points_fill_the_ball():
    images = torch.full((2000, 1, 1, 2), 0.5)
    one = TrainingBatch(torch.nn.Flatten(), images, torch.zeros(2000, dtype=torch.long))
    square = random_point(one, PGD(eps=0.2)) - images
    assert square.abs().max() <= 0.2
    assert square.flatten().std() == pytest.approx(0.2 / 3**0.5, rel=0.05)  # uniform
    lengths = (random_point(one, PGD(eps=0.2, norm="l2")) - images).flatten(1).norm(dim=1)
    assert lengths.max() <= 0.2 + 1e-6
    assert lengths.std() == pytest.approx(0.2 / 12**0.5, rel=0.05)

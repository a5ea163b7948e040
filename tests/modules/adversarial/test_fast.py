"""Fast training: its one step by definition, and the guard."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from _reference.training import batch
from lit_attr.attacks import PGD
from lit_attr.modules import FastTraining, TrainingBatch
from lit_attr.modules.adversarial.pgd import random_point


@pytest.mark.parametrize("guard_every", [0, 1])
def test_loss_is_the_closed_form(guard_every):
    one = batch(smoothing=0.1)
    twin = copy.deepcopy(one.model)
    torch.manual_seed(7)
    found = FastTraining(eps=0.1, alpha=1.25, guard_every=guard_every)(one)
    torch.manual_seed(7)
    start = random_point(one, PGD(eps=0.1)).clamp(0, 1).requires_grad_()
    still = copy.deepcopy(twin).eval()
    (gradient,) = torch.autograd.grad(F.cross_entropy(still(start), one.labels), start)
    points = (one.images + (start + 0.125 * gradient.sign() - one.images).clamp(-0.1, 0.1)).clamp(0, 1)
    expected = F.cross_entropy(twin(points.detach()), one.labels, label_smoothing=0.1)
    torch.testing.assert_close(found.loss, expected)
    assert set(found.more) == ({"pgd_accuracy"} if guard_every else set())


def test_the_guard_looks_now_and_then():
    looks = [number for number in range(7) if FastTraining(guard_every=3)(batch(number=number)).more]
    assert looks == [0, 3, 6]


class Tent(nn.Module):
    """Class 1 wins only near 0.53: a long step leaps over it, short ones find it."""

    def forward(self, images):
        x = images.flatten(1)
        return torch.cat([torch.zeros_like(x), 0.03 - (x - 0.53).abs()], 1)


def test_collapse_is_told_by_name():
    images, labels = torch.full((64, 1, 1, 1), 0.5), torch.zeros(64, dtype=torch.long)
    with pytest.warns(UserWarning, match="overfits catastrophically: .* but 0% PGD; lower `eps` or `alpha`"):
        found = FastTraining(eps=0.1)(TrainingBatch(Tent(), images, labels))
    assert found.more["pgd_accuracy"] == 0
    assert found.withstood.float().mean() > 0.5


def test_pgd_accuracy_is_that_of_pgd():
    one = batch()
    fooled = PGD(eps=0.3, alpha=0.075, steps=10).run(one.model, one.images, one.labels).success
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # both attacks agree
        found = FastTraining(eps=0.3)(one)
    assert float(found.more["pgd_accuracy"]) == float((~fooled).float().mean())


@pytest.mark.parametrize("setting", [{"eps": -1.0}, {"alpha": -1.0}, {"guard_every": -1}])
def test_wrong_settings(setting):
    (name,) = setting
    with pytest.raises(ValueError, match=f"`{name}` must be .* of at least 0, got -1"):
        FastTraining(**setting)

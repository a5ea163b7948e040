"""MART: its loss by definition, also where the model is sure."""

import copy

import pytest
import torch
from torch import nn

from _reference.training import batch
from lit_attr.attacks import PGD
from lit_attr.modules import MART, PGDTraining, TrainingBatch


def test_loss_is_the_closed_form():
    one = batch()
    twin = copy.deepcopy(one.model)
    torch.manual_seed(7)
    points = PGDTraining(eps=0.1).perturb(one, one.labels)
    torch.manual_seed(7)
    found = MART(beta=2.0, eps=0.1)(one)

    q, p = twin(points).softmax(1), twin(one.images).softmax(1)
    total = 0.0
    for i, label in enumerate(one.labels.tolist()):
        rival = max(q[i, k].item() for k in range(3) if k != label)
        (k,) = [k for k in range(3) if k != label and q[i, k].item() == rival]
        boosted = -q[i, label].log() - (1 - q[i, k]).log()
        total = total + boosted + 2.0 * (p[i] * (p[i].log() - q[i].log())).sum() * (1 - p[i, label])
    torch.testing.assert_close(found.loss, total / 8)
    expected = torch.autograd.grad(total / 8, list(twin.parameters()))
    torch.testing.assert_close(torch.autograd.grad(found.loss, list(one.model.parameters())), expected)


@pytest.mark.parametrize("sure", [1e3, -1e3])
def test_finite_where_the_model_is_sure(sure):
    images = torch.tensor([[0.9, 0.1, 0.2]]).view(1, 1, 1, 3)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3, 3, bias=False))
    with torch.no_grad():
        net[1].weight.copy_(sure * torch.eye(3))
    loss = MART(attack=PGD(eps=0.0))(TrainingBatch(net, images, torch.tensor([0]))).loss
    loss.backward()
    assert net[1].weight.grad.isfinite().all()
    # sure of class 1 with -1e3: -log p_y = 800, -log(1 - p_k) = 100 to the third; the divergence is 0
    torch.testing.assert_close(loss, torch.tensor(0.0 if sure > 0 else 900.0))


def test_wrong_settings():
    with pytest.raises(ValueError, match=r"`beta` must be a number of at least 0, got -1\.0"):
        MART(beta=-1.0)

"""Free training: one backward pass for both, and a perturbation that goes on."""

import copy

import pytest
import torch
import torch.nn.functional as F

from _reference.training import batch
from lit_attr.modules import FreeTraining, TrainingBatch


def test_perturbation_goes_on_by_hand():
    one = batch()
    training, memory = FreeTraining(eps=0.1, replays=3), {}
    delta = torch.zeros(8, 1, 6, 6)
    for start, stop in [(0, 8), (0, 8), (0, 5), (2, 8), (0, 8)]:  # batches of 8, 5, 6
        images, labels = one.images[start:stop], one.labels[start:stop]
        count = stop - start
        twin = copy.deepcopy(one.model)
        points = (images + delta[:count]).clamp(0, 1).requires_grad_()
        expected = F.cross_entropy(twin(points), labels)
        (gradient,) = torch.autograd.grad(expected, points)

        found = training(TrainingBatch(one.model, images, labels, memory=memory))
        found.loss.backward()
        torch.testing.assert_close(found.loss, expected)
        delta[:count] = (delta[:count] + 0.1 * gradient.sign()).clamp(-0.1, 0.1)
        torch.testing.assert_close(memory["delta"], delta)


def test_one_forward_and_one_backward_pass():
    one = batch()
    forwards, backwards = [], []
    one.model.register_forward_hook(lambda *_: forwards.append(1))
    one.model.body[0].weight.register_hook(lambda _: backwards.append(1))
    FreeTraining()(one).loss.backward()
    assert (len(forwards), len(backwards)) == (1, 1)


def test_larger_batches_and_other_images_begin_at_zero():
    one = batch()
    memory = {"delta": torch.full((2, 1, 6, 6), 0.05)}
    FreeTraining(eps=0.0)(TrainingBatch(one.model, one.images, one.labels, memory=memory)).loss.backward()
    assert memory["delta"].shape == (8, 1, 6, 6)
    memory = {"delta": torch.full((2, 1, 4, 4), 0.05)}
    training = FreeTraining(eps=0.1)(TrainingBatch(one.model, one.images, one.labels, memory=memory))
    expected = F.cross_entropy(copy.deepcopy(one.model)(one.images), one.labels)
    torch.testing.assert_close(training.loss, expected)


def test_a_gradient_that_is_not_a_number_does_not_go_on():
    """Of a scaled loss that overflowed, whose step of the weights is skipped."""
    one, memory = batch(), {}
    loss = FreeTraining(eps=0.1)(TrainingBatch(one.model, one.images, one.labels, memory=memory)).loss
    (loss * float("nan")).backward()
    assert torch.equal(memory["delta"], torch.zeros(8, 1, 6, 6))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"replays": 0}, "`replays` must be a positive integer, got 0"),
        ({"eps": -1.0}, "`eps` must be a number of at least 0, got -1.0"),
    ],
)
def test_wrong_settings(setting, message):
    with pytest.raises(ValueError, match=message):
        FreeTraining(**setting)

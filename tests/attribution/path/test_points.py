import pytest
import torch

from _reference.nets import Recorder, linear, mlp
from lit_attr._view import looking_at
from lit_attr.attribution.path import points
from lit_attr.attribution.path.points import gather_gradients
from lit_attr.objectives import logit, logprob, prob

TARGETS = torch.tensor([2, 0, 1])
WEIGHTS = torch.tensor([0.5, 2.0, -1.0, 0.25], dtype=torch.float64)


@pytest.fixture
def inputs():
    return torch.rand(3, 6, dtype=torch.float64)


def points_of(inputs):
    """Four points of each sample, all different."""
    shifts = torch.tensor([0.0, 1.0, 2.0, 3.0], dtype=torch.float64)
    return lambda rows, numbers: inputs[rows] * (1 + shifts[numbers][:, None])


def plainly(net, inputs, objective, transform):
    """One point after the other."""
    total = []
    for row, (x, y) in enumerate(zip(inputs, TARGETS, strict=True)):
        gradients = []
        for number in range(4):
            point = (x * (1 + number))[None].requires_grad_()
            (gradient,) = torch.autograd.grad(objective(net(point), y[None]).sum(), point)
            gradients.append(transform(gradient, torch.tensor([row]), torch.tensor([number])))
        total.append(sum(w * g for w, g in zip(WEIGHTS, gradients, strict=True)))
    return torch.cat(total)


TRANSFORMS = {
    "plain": lambda g, *_: g,
    "square": lambda g, *_: g**2,
    "two": lambda g, *_: torch.stack([g, g**2], 1),
    "of its sample and point": lambda g, rows, numbers: g * (10 * rows + numbers)[:, None],
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
@pytest.mark.parametrize("objective", [logit, logprob])
@pytest.mark.parametrize("max_batch", [1, 5, None])
def test_it_is_the_plain_sum(transform, objective, max_batch, inputs):
    net = mlp()
    with looking_at(net, inputs, TARGETS) as view:
        found = gather_gradients(view, points_of(inputs), WEIGHTS, objective, max_batch, transform)
        assert view.passes == (4, 4)
    torch.testing.assert_close(found.total, plainly(net, inputs, objective, transform), rtol=1e-12, atol=1e-14)


def test_confidence_is_the_probability_at_each_point(inputs):
    net = mlp()
    with looking_at(net, inputs, TARGETS) as view:
        found = gather_gradients(view, points_of(inputs), WEIGHTS, logit, 5)
    expected = [[net(x * (1 + n)).softmax(0)[y].item() for n in range(4)] for x, y in zip(inputs, TARGETS, strict=True)]
    torch.testing.assert_close(found.confidence, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("max_batch", [2, 5])
def test_every_point_is_evaluated_once(max_batch, inputs):
    net = Recorder(linear())
    with looking_at(net, inputs, TARGETS) as view:
        gather_gradients(view, points_of(inputs), WEIGHTS, logit, max_batch)
    expected = torch.stack([x * (1 + n) for x in inputs for n in range(4)])
    assert torch.equal(net.points, expected)


def test_memory_that_runs_out_at_the_very_end_counts_nothing_twice(inputs, monkeypatch):
    net = mlp()

    def too_large(evidence, index):
        if len(evidence) > 2:
            raise torch.OutOfMemoryError
        return prob(evidence, index)

    monkeypatch.setattr(points, "prob", too_large)
    with looking_at(net, inputs, TARGETS) as view:
        found = gather_gradients(view, points_of(inputs), WEIGHTS, logit)
    expected = plainly(net, inputs, logit, TRANSFORMS["plain"])
    torch.testing.assert_close(found.total, expected, rtol=1e-12, atol=1e-14)


def test_low_precision_is_summed_in_float32():
    """512 gradients of one and a bit: a sum in bfloat16 would stop at 256."""
    net = linear().to(torch.bfloat16)
    net.weight.data.fill_(1)
    inputs = torch.rand(1, 6, dtype=torch.bfloat16)
    with looking_at(net, inputs, 0) as view:
        found = gather_gradients(view, lambda rows, _: inputs[rows], torch.ones(512), logit, 64)
    assert found.total.dtype == torch.float32
    assert found.total.unique().tolist() == [512]

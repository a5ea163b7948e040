import random

import numpy as np
import pytest
import torch
from torch import nn

from _reference.nets import cnn
from lit_attr._guard import no_trace, private_rng


class Drifting(nn.Module):
    """Changes its buffers in every forward pass, also in eval mode."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("in_place", torch.zeros(3))
        self.register_buffer("replaced", torch.zeros(3))
        self.register_buffer("cache", torch.zeros(1))
        self.register_buffer("late", None)

    def forward(self, inputs):
        self.in_place += inputs.detach().mean(0)
        self.replaced = self.replaced + inputs.detach().mean(0)
        self.cache = torch.arange(len(inputs))
        self.late = torch.ones(1)
        return self.layer(inputs)


def partly_frozen():
    """In train mode with a batch norm in eval mode, as in fine-tuning; its first layer asks for no gradient."""
    net = cnn(dtype=torch.float32).train()
    net[1].eval()
    net[0].requires_grad_(False)
    return net


def random_states():
    return [str(random.getstate()), str(np.random.get_state()), torch.random.get_rng_state().tolist()]


def test_inside_everything_is_in_eval_mode_frozen_and_differentiable():
    net = partly_frozen()
    with torch.no_grad(), no_trace(net):
        assert not any(module.training for module in net.modules())
        assert not any(parameter.requires_grad for parameter in net.parameters())
        assert torch.is_grad_enabled()


@pytest.mark.parametrize("fails", [False, True])
def test_modes_and_gradient_flags_of_each_part_come_back(fails):
    net = partly_frozen()
    modes = [module.training for module in net.modules()]
    flags = [parameter.requires_grad for parameter in net.parameters()]
    try:
        with no_trace(net):
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert [module.training for module in net.modules()] == modes
    assert [parameter.requires_grad for parameter in net.parameters()] == flags
    assert len(set(modes)) == len(set(flags)) == 2


def test_gradients_are_the_same_objects_with_the_same_values():
    net = partly_frozen().eval()
    net(torch.rand(2, 3, 8, 8)).sum().backward()
    before = [(p.grad, None if p.grad is None else p.grad.clone()) for p in net.parameters()]
    with no_trace(net):
        x = torch.rand(2, 3, 8, 8, requires_grad=True)
        net(x).sum().backward()
        assert x.grad is not None
    for parameter, (same, values) in zip(net.parameters(), before, strict=True):
        assert parameter.grad is same
        assert same is None or torch.equal(same, values)
    assert {same is None for same, _ in before} == {True, False}


@pytest.mark.parametrize("around", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_buffers_come_back(around):
    net = Drifting()
    net(torch.rand(2, 3))  # buffers of another value than their first
    kept, replaced = net.in_place, net.replaced
    values = [kept.clone(), replaced.clone()]
    with around(), no_trace(net):
        net(torch.rand(2, 3))
    assert net.in_place is kept
    assert net.replaced is replaced
    assert torch.equal(kept, values[0])
    assert torch.equal(replaced, values[1])
    assert not any(buffer.is_inference() for buffer in net.buffers())


@pytest.mark.filterwarnings("ignore:`torch.jit.trace:FutureWarning", "ignore:`torch.jit.trace_method:FutureWarning")
def test_buffers_of_a_traced_model_come_back():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(3))

        def forward(self, inputs):
            self.count += 1
            return inputs + self.count

    net = torch.jit.trace(Counting(), torch.rand(4, 3), check_trace=False)
    before = net.count.clone()
    with no_trace(net):
        net(torch.rand(4, 3))
        assert bool((net.count == before + 1).all())
    assert torch.equal(net.count, before)


def test_a_model_made_in_inference_mode_is_left_as_it_is():
    with torch.inference_mode():
        net = nn.Linear(3, 2)
    with no_trace(net), pytest.raises(RuntimeError, match="Inference tensors cannot be saved for backward"):
        net(torch.rand(4, 3, requires_grad=True))
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_buffers_come_back_after_an_exception():
    net = Drifting()
    with pytest.raises(KeyError, match="stop"), no_trace(net):  # noqa: PT012 - the change must come first
        net(torch.rand(2, 3))
        raise KeyError("stop")
    assert net.in_place.tolist() == net.replaced.tolist() == [0, 0, 0]


def test_caches_that_grew_stay():
    """A cache that is put back while its owner remembers its new length would break the next forward pass."""
    net = Drifting()
    with no_trace(net):
        net(torch.rand(5, 3))
    assert net.cache.tolist() == [0, 1, 2, 3, 4]
    assert net.late is not None


def test_untouched_buffers_are_not_written():
    net = cnn()
    versions = [buffer._version for buffer in net.buffers()]
    with no_trace(net):
        net(torch.rand(1, 3, 8, 8, dtype=torch.float64))
    assert [buffer._version for buffer in net.buffers()] == versions


@pytest.mark.parametrize("context", [lambda _: private_rng(), no_trace])
def test_random_numbers_go_on_as_if_nothing_was_drawn(context):
    net = cnn()
    before = random_states()
    with pytest.raises(KeyError, match="stop"), context(net):  # noqa: PT012 - the draws must come first
        random.random(), np.random.rand(3), torch.rand(3)
        assert all(a != b for a, b in zip(random_states(), before, strict=True))
        raise KeyError("stop")
    assert random_states() == before


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_gradients_of_an_inference_tensor_after_a_copy(around):
    net = cnn(dtype=torch.float32)
    with around():
        x = torch.rand(2, 3, 8, 8)
        with no_trace(net):
            inputs = x.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(net(inputs).sum(), inputs)
        assert not torch.is_grad_enabled()
    assert bool(gradient.any())
    assert not gradient.is_inference()


@pytest.mark.parametrize(("layer", "inside"), [(nn.LSTM, False), (nn.GRU, False), (nn.Linear, True)])
def test_recurrent_layers_do_without_cudnn(layer, inside):
    with no_trace(nn.Sequential(layer(3, 2))):
        assert torch.backends.cudnn.enabled is inside
    assert torch.backends.cudnn.enabled


def test_it_can_be_nested():
    net = partly_frozen()
    modes = [module.training for module in net.modules()]
    with no_trace(net):
        with no_trace(net):
            pass
        assert not any(module.training for module in net.modules())
    assert [module.training for module in net.modules()] == modes


def test_a_graph_that_was_built_before_still_goes_backward():
    """Explaining between the forward and the backward pass of a training step changes no gradient."""
    net = partly_frozen()
    x = torch.rand(4, 3, 8, 8)
    torch.manual_seed(1)
    net(x).square().sum().backward()
    alone = [p.grad for p in net.parameters()]
    net.zero_grad()
    torch.manual_seed(1)
    loss = net(x).square().sum()
    with no_trace(net):
        net(x)
    loss.backward()
    for found, expected in zip(net.parameters(), alone, strict=True):
        assert (found.grad is None) == (expected is None)
        assert expected is None or torch.equal(found.grad, expected)

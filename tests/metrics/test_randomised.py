"""Random parameters in the place of a model's own: all of them, reproducible, and no trace."""

import pytest
import torch
from torch import nn

from _reference.architectures import architecture
from _reference.trace import snapshot
from lit_attr.metrics._randomised import randomising

HOW = ["reset", "normal", "shuffle"]


def values(model):
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def trained(name):
    """No parameter is constant, as after training."""
    model = architecture(name)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) / 10)
    return model


@pytest.mark.parametrize("name", ["resnet", "vit", "swin"])
@pytest.mark.parametrize("how", HOW)
def test_every_parameter_changes_once_with_its_layer_and_no_buffer(name, how):
    model = trained(name)
    before, buffers = values(model), [buffer.clone() for buffer in model.buffers()]
    seen = set()
    with randomising(model) as random:
        for number, layer in enumerate(random.layers):
            last = values(model)
            random.randomise(number, how, seed=0)
            changed = {n for n, p in model.named_parameters() if not torch.equal(p, last[n])}
            owned = {id(p) for p in layer._parameters.values()}
            assert changed == {n for n, p in model.named_parameters() if id(p) in owned}
            assert not changed & seen
            seen |= changed
        assert seen == set(before)
        assert all(torch.equal(a, b) for a, b in zip(model.buffers(), buffers, strict=True))
        random.restore()
        assert all(torch.equal(value, before[n]) for n, value in values(model).items())


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("fails", [False, True])
def test_no_trace(how, fails):
    model = trained("vit").train()
    before = snapshot(model)
    order = list(model.state_dict())
    with pytest.raises(ZeroDivisionError) if fails else torch.no_grad(), randomising(model) as random:
        for number in range(len(random.layers)):
            random.randomise(number, how, seed=1)
        _ = 1 / (0 if fails else 1)
    assert snapshot(model) == before
    assert list(model.state_dict()) == order


@pytest.mark.parametrize("how", HOW)
def test_a_layer_gets_the_same_values_in_any_order(how):
    model = trained("resnet")
    found = []
    for order in ([0, 1, 2], [2, 0, 1]):
        with randomising(model) as random:
            for number in order:
                random.randomise(number, how, seed=3)
            found.append(values(model))
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
    with randomising(model) as random:
        random.randomise(0, how, seed=4)
        assert not torch.equal(model.conv1.weight, found[0]["conv1.weight"])


def test_what_each_way_keeps():
    layer = nn.Linear(400, 300)
    with torch.no_grad():
        layer.weight.normal_(2, 3)
    own = layer.weight.detach().clone()
    with randomising(layer) as random:
        random.randomise(0, "shuffle", 0)
        assert torch.equal(layer.weight.flatten().sort().values, own.flatten().sort().values)
        random.restore()
        random.randomise(0, "normal", 0)
        assert layer.weight.mean() == pytest.approx(2, abs=0.05)
        assert layer.weight.std() == pytest.approx(3, abs=0.05)
        random.randomise(0, "reset", 0)
        assert layer.weight.abs().max() <= 400**-0.5


class Token(nn.Module):
    """Owns a parameter and has no way to draw it anew."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(3, 50))
        self.inner = nn.Linear(2, 2)


class Forgetful(Token):
    """Resets what is not its own, and not all that is."""

    def reset_parameters(self):
        self.inner.reset_parameters()


@pytest.mark.parametrize("cls", [Token, Forgetful])
def test_parameters_that_reset_leaves_out(cls):
    model = cls()
    inner, token = model.inner.weight.detach().clone(), model.token.detach().clone()
    with randomising(model) as random:
        assert random.layers == [model, model.inner]
        random.randomise(0, "reset", 0)
        assert not torch.equal(model.token, token)
        assert torch.equal(model.inner.weight, inner)


def test_shared_parameters_stay_shared():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    with randomising(model) as random:
        assert len(random.layers) == 2  # the second has its bias
        assert model[0].weight is model[1].weight
        random.randomise(0, "normal", 0)
        assert model[0].weight is model[1].weight
    assert model[0].weight is model[1].weight


def test_recurrent_layers_use_the_random_values():
    model, inputs = nn.LSTM(3, 4), torch.rand(5, 2, 3)
    own = model(inputs)[0]
    with randomising(model) as random:
        assert torch.equal(model(inputs)[0], own)
        random.randomise(0, "normal", 0)
        assert not torch.allclose(model(inputs)[0], own)
    assert torch.equal(model(inputs)[0], own)

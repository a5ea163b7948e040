"""NAA against a loop over samples and points, on a network cut in two, with the same random numbers."""

import pytest
import torch
from torch import nn

from _reference.nets import Counter, cnn, mlp
from _reference.walks import points, turns
from lit_attr.updates import NAA, UPDATES

SHAPE = (3, 8, 10)
X = torch.rand(2, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([2, 0])


def weights_by_hand(net, cut, x, y, rule, seed=0):
    """Those of one sample, summed."""
    generator, total = torch.Generator().manual_seed(seed), 0
    for n in range(rule.copies):
        noisy = x + rule.noise * torch.randn(1, *x.shape, generator=generator)[0].double()
        features = net[:cut]((1 - n / rule.copies) * noisy[None]).detach().requires_grad_()
        total = total + torch.autograd.grad(net[cut:](features).softmax(1)[0, y], features)[0]
    return total / total.norm()


def by_hand(net, cut, x, y, rule, *, steps, sign):
    weights, black = weights_by_hand(net, cut, x, y, rule), net[:cut](torch.zeros_like(x)[None]).detach()
    path, velocity = [x], torch.zeros_like(x)
    for _ in range(steps):
        here = path[-1].clone().requires_grad_()
        neurons = ((net[:cut](here[None]) - black) * weights).flatten()
        total = sum(neuron if neuron > 0 else rule.gamma * neuron for neuron in neurons)
        gradient = sign * torch.autograd.grad(total, here)[0]
        velocity = rule.momentum * velocity + gradient / gradient.abs().mean()
        path.append(torch.clamp(torch.clamp(path[-1] + rule.alpha * velocity.sign(), x - 0.1, x + 0.1), 0, 1))
    return torch.stack(path)


@pytest.mark.parametrize(
    ("rule", "cut"),
    [
        (NAA(0.02, layer="0", copies=4), 1),
        (NAA(0.02, layer="4", copies=3, gamma=0.2, noise=0.5, momentum=0.5), 5),
        (NAA(0.02, layer="2", copies=3, gamma=0.0), 3),
        (NAA(0.02, copies=3), 7),
    ],
    ids=["first", "strong", "in place", "automatic"],
)
@pytest.mark.parametrize("toward", [-1.0, 1.0])
@pytest.mark.parametrize("max_batch", [3, None])
def test_one_sample_at_a_time_by_a_plain_loop(rule, cut, toward, max_batch):
    net = cnn()
    x = X[:, :, :, :8] if rule.layer is None else X
    found = points(net, rule, x, Y, toward=toward, steps=3, max_batch=max_batch)
    for i in range(2):
        expected = by_hand(net, cut, x[i], int(Y[i]), rule, steps=3, sign=toward)
        torch.testing.assert_close(found[:, i], expected, rtol=0, atol=1e-12)


def test_what_is_remembered_is_found_once():
    net = cnn()
    found, _ = turns(net, NAA(copies=4, layer="4"), X, Y, steps=3)
    for turn in found[:-1]:
        for name in ("weights", "features", "layer"):
            assert torch.equal(turn.memory[name], found[0].memory[name])
    for i in range(2):
        expected = weights_by_hand(net, 5, X[i], int(Y[i]), NAA(copies=4))
        torch.testing.assert_close(found[0].memory["weights"][i], expected[0])
    torch.testing.assert_close(found[0].memory["features"], net[:5](torch.zeros_like(X)).detach())


def test_two_rules_and_models_do_not_meet():
    """Nothing is kept in the rule or the model."""
    first, second, rule = cnn(), cnn(classes=4), NAA(copies=2)
    expected = points(first, rule, X, Y), points(second, rule, X, Y)
    assert torch.equal(points(first, rule, X, Y), expected[0])
    assert not torch.equal(*expected)
    assert not any(module._forward_hooks for module in first.modules())


def test_it_lowers_what_the_neurons_contribute():
    net = cnn()
    for toward in (-1.0, 1.0):
        found, _ = turns(net, NAA(0.01, layer="4", copies=10), X, Y, toward=toward, steps=5)
        weights = found[0].memory["weights"]
        start, end = ((weights * net[:5](found[t].points)).flatten(1).sum(1) for t in (0, -1))
        assert (toward * (end - start) > 0).all()


def test_passes():
    net = Counter(cnn())
    _, passes = turns(net, NAA(copies=4), X, Y, steps=3)
    assert passes == (4 + 1 + 3, 4 + 3)
    assert (net.forwards / 2, net.backwards / 2) == (8, 4)  # backward, a step begins at the layer


def test_parameters_that_are_frozen():
    net = cnn()
    expected = points(net, NAA(copies=2), X, Y)
    assert torch.equal(points(net.requires_grad_(False), NAA(copies=2), X, Y), expected)


def test_tokens():
    class Tokens(nn.Module):
        """Patches of 4x4 pixels, as tokens behind one that stands for no place."""

        def __init__(self):
            super().__init__()
            self.patches, self.norm, self.head = nn.Conv2d(3, 6, 4, 4), nn.LayerNorm(6), nn.Linear(6, 3)

        def forward(self, x):
            tokens = self.patches(x).flatten(2).mT
            tokens = self.norm(torch.cat([torch.ones_like(tokens[:, :1]), tokens], 1))
            return self.head(tokens.tanh().mean(1))

    net, x = Tokens().double(), torch.rand(2, 3, 16, 16, dtype=torch.float64)
    found, _ = turns(net, NAA(0.02, copies=3), x, Y)
    assert [*net._modules][int(found[0].memory["layer"][0]) - 1] == "norm"
    assert not torch.equal(found[-1].points, x)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (NAA(layer="10"), "`layer` is '10', no submodule of Sequential"),
        (NAA(layer="8"), r"`layer` must be a layer with output \[B, C, h, w\].*, got '8', whose output is \(60, 3\)"),
    ],
    ids=["unknown", "no places"],
)
def test_layers_are_checked(rule, message):
    with pytest.raises(ValueError, match=message):
        points(cnn(), rule, X, Y)


def test_a_model_without_places_needs_another_attack():
    net = nn.Sequential(nn.Flatten(), nn.Linear(240, 3)).double()
    with pytest.raises(ValueError, match="NAA found no submodule with a spatial output in Sequential; name a `layer`"):
        points(net, NAA(), X, Y)
    with pytest.raises(ValueError, match=r"`inputs` must be images \[B, C, H, W\] for NAA"):
        points(mlp(), NAA(), X[:, 0, 0, :6], Y)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": 3}, "`layer` must be the name of a submodule, or None, got 3"),
        ({"copies": 0}, "`copies` must be a positive integer"),
        ({"noise": -1}, "`noise` must be a number of at least 0"),
        ({"gamma": -1}, "`gamma` must be a number of at least 0"),
        ({"momentum": -1}, "`momentum` must be a number of at least 0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        NAA(**settings)


def test_by_name():
    assert UPDATES.build("naa", {"layer": "layer2"}) == NAA(layer="layer2")

"""The colour against random ones and a known optimum; that it is kept as long as the model is what it was."""

import dataclasses
import gc
import math
import pickle
import weakref

import pytest
import torch
from torch import nn

from _reference.nets import Counter, cnn
from _reference.trace import snapshot
from lit_attr.attribution import ConfusionFeature, IntegratedGradients
from lit_attr.attribution.confusion import _KEPT
from lit_attr.metrics import Insertion

SHAPE = (3, 8, 8)
KNOWN = torch.tensor([0.3, 0.55, 0.8], dtype=torch.float64)


class Six(nn.Module):
    """Six classes by the mean colour, equally likely at `KNOWN` and nowhere else."""

    def __init__(self, sharpness=6.0):
        super().__init__()
        self.head = nn.Linear(3, 6, bias=False, dtype=torch.float64)
        nn.init.normal_(self.head.weight, std=sharpness)

    def forward(self, x):
        return self.head((x.mean((2, 3)) - KNOWN).sinh())


def entropy(net, colours):
    images = colours[:, :, None, None].expand(-1, -1, *SHAPE[1:])
    return torch.distributions.Categorical(logits=net(images).detach()).entropy()


@pytest.mark.parametrize("seed", range(5))
def test_a_colour_that_tells_nothing_is_found(seed):
    """Check N14."""
    torch.manual_seed(seed)
    net = Six()
    found = ConfusionFeature().find(net, SHAPE)
    assert found.entropy > math.log(6) - 1e-2
    torch.testing.assert_close(found.colour.flatten(), KNOWN, rtol=0, atol=0.03)


@pytest.mark.parametrize("make", [Six, lambda: cnn(classes=6), lambda: cnn(classes=1)], ids=["six", "cnn", "one unit"])
def test_no_random_colour_is_much_better(make):
    """Check N14."""
    net = make()
    found = ConfusionFeature().find(net, SHAPE)
    colours = torch.rand(1000, 3, dtype=torch.float64)
    logits = net(colours[:, :, None, None].expand(-1, -1, 8, 8)).detach()
    if logits.shape[1] == 1:
        logits = nn.functional.pad(logits, (1, 0))
    best = torch.distributions.Categorical(logits=logits).entropy().max()
    assert found.entropy >= float(best) - 0.02


def test_every_walk_climbs():
    """The other sign ends where the model is certain (entropy near zero, as in the corners)."""
    net = Six()
    found = ConfusionFeature().find(net, SHAPE)
    starts, ends = found.candidates[:, 0], found.candidates[:, -1]

    def score(colours):
        return net(colours[:, :, None, None].expand(-1, -1, 8, 8)).log_softmax(1).sum(1).detach()

    assert bool((score(ends) > score(starts)).all())
    assert float(found.entropies[:, -1].mean()) > 2 * float(found.entropies[:, 0].mean())
    corners = entropy(net, torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 3))
    assert float(corners.mean()) < float(found.entropies[:, 0].mean())


def by_hand(net, colour, steps, alpha):
    """One walk."""
    path = [colour]
    for t in range(steps):
        point = path[-1].clone().requires_grad_()
        score = net(point[None, :, None, None].expand(-1, -1, 8, 8)).log_softmax(1).sum()
        size = alpha / (1 if t < steps / 2 else 2 if t < 0.75 * steps else 4)
        path.append((point + size * torch.autograd.grad(score, point)[0].sign()).clamp(0, 1).detach())
    return torch.stack(path)


def test_candidates_are_all_points_of_all_restarts():
    net, search = cnn(classes=6), ConfusionFeature(restarts=3, steps=8, alpha=0.1, seed=5)
    found = search.find(net, SHAPE)
    starts = torch.rand(3, 3, generator=torch.Generator().manual_seed(5)).double()
    for i in range(3):
        torch.testing.assert_close(found.candidates[i], by_hand(net, starts[i], 8, 0.1))
        torch.testing.assert_close(found.entropies[i], entropy(net, found.candidates[i]))
    assert found.candidates.shape == (3, 9, 3)
    best = found.entropies.argmax()
    assert found.entropy == float(found.entropies.max())
    assert torch.equal(found.colour, found.candidates.flatten(0, 1)[best][:, None, None])
    assert torch.equal(search(net, SHAPE), found.colour)


def test_steps_become_smaller():
    found = ConfusionFeature(restarts=1).find(Six(), SHAPE)
    sizes = found.candidates[0].diff(dim=0).abs().amax(1)
    assert sizes.tolist() == pytest.approx([0.05] * 10 + [0.025] * 5 + [0.0125] * 5)


@pytest.mark.parametrize("max_batch", [1, 7, None])
def test_passes_and_chunks(max_batch):
    net = Counter(cnn())
    search = ConfusionFeature(restarts=8, steps=5, max_batch=max_batch)
    found = search(net, SHAPE)
    assert (net.forwards, net.backwards) == search.passes() == (8 * 6, 8 * 5)
    assert net.largest <= (max_batch or 8)
    torch.testing.assert_close(found, ConfusionFeature(restarts=8, steps=5)(net.model, SHAPE))


def test_large_images_are_asked_in_parts():
    net = Counter(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)))
    ConfusionFeature(restarts=9, steps=1)(net, (3, 512, 512))
    assert net.largest <= 2  # the default for images of this size on a CPU


def test_as_a_baseline(images):
    net = cnn()
    colour = ConfusionFeature(steps=4)(net, SHAPE)
    assert colour.shape == (3, 1, 1)
    found = IntegratedGradients(baseline=colour).explain(net, images, 1)
    assert torch.equal(found.endpoint, colour.expand_as(images))
    metric = Insertion(fill=colour, steps=4)
    metric.update(net, images, 1, found.attribution)
    assert math.isfinite(float(metric.compute()))


def train(net):
    """As a fused optimizer does, of which parameters count no versions."""
    net(torch.rand(2, *SHAPE, dtype=torch.float64)).sum().backward()
    optimizer = torch.optim.SGD(net.parameters(), 1e-6, fused=True)
    versions = [parameter._version for parameter in net.parameters()]
    optimizer.step()
    assert versions == [parameter._version for parameter in net.parameters()]


CHANGES = {
    "step": lambda net: torch.optim.SGD(net.parameters(), 1.0, foreach=True).step(),
    "fused step": train,
    "written": lambda net: net[4].bias.data.add_(1e-6),
    "replaced": lambda net: setattr(net[4], "weight", nn.Parameter(net[4].weight.detach().flip(0))),
    "loaded": lambda net: net.load_state_dict({name: values + 1 for name, values in net.state_dict().items()}),
    "buffer": lambda net: net[1].running_mean.add_(1),
    "permuted": lambda net: net[4].weight.detach().copy_(net[4].weight.flip(0).clone()),
}


@pytest.mark.parametrize("change", CHANGES)
def test_kept_until_the_model_changes(change):
    inner = cnn()
    net, search = Counter(inner), ConfusionFeature(restarts=2, steps=2)
    first = search.find(net, SHAPE)
    asked = net.forwards
    assert search.find(net, SHAPE) is first
    net.train()
    assert ConfusionFeature(restarts=2, steps=2).find(net, SHAPE) is first
    assert net.forwards == asked
    for parameter in inner.parameters():
        parameter.grad = torch.ones_like(parameter)
    CHANGES[change](inner)
    asked = net.forwards
    second = search.find(net, SHAPE)
    assert net.forwards == asked + 2 * 3
    assert not torch.equal(first.entropies, second.entropies)


def test_kept_for_each_size_and_setting():
    net = cnn()
    found = [
        ConfusionFeature(restarts=2, steps=2, seed=seed).find(net, shape)
        for seed, shape in [(0, SHAPE), (0, (3, 12, 9)), (1, SHAPE)]
    ]
    assert len({id(one) for one in found}) == 3
    assert ConfusionFeature(restarts=2, steps=2, seed=0).find(net, list(SHAPE)) is found[0]


def test_what_is_kept_cannot_be_changed_from_outside():
    net, search = cnn(), ConfusionFeature(restarts=2, steps=2)
    kept = search(net, SHAPE).clone()
    search(net, SHAPE).zero_()
    assert torch.equal(search(net, SHAPE), kept)


def test_a_model_is_not_kept_alive():
    net = cnn()
    ConfusionFeature(restarts=2, steps=2)(net, SHAPE)
    assert net in _KEPT
    gc.collect()  # models of other tests
    before, gone = len(_KEPT), weakref.ref(net)
    del net
    gc.collect()
    assert gone() is None
    assert len(_KEPT) == before - 1


def test_a_model_that_writes_buffers_when_asked_is_searched_once():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = cnn()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return self.net(x)

    net, search = Counting(), ConfusionFeature(restarts=2, steps=2)
    assert search.find(net, SHAPE) is search.find(net, SHAPE)
    assert float(net.calls) == 0


@pytest.mark.parametrize("around", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_no_trace(around):
    net = cnn().train()
    net(torch.rand(2, *SHAPE, dtype=torch.float64)).sum().backward()
    before, search = snapshot(net), ConfusionFeature(restarts=2, steps=2)
    with around():
        found, details = search(net, SHAPE), search.find(net, SHAPE)
    assert snapshot(net) == before
    for tensor in (found, details.colour, details.candidates, details.entropies):
        assert not tensor.is_inference()
        assert not tensor.requires_grad
    torch.testing.assert_close(found, search(net.eval(), SHAPE))


def test_a_buffer_made_in_inference_mode():
    net, search = cnn(), ConfusionFeature(restarts=2, steps=2)
    with torch.inference_mode():
        net.register_buffer("grid", torch.rand(3))
    first = search.find(net, SHAPE)
    assert search.find(net, SHAPE) is first
    with torch.inference_mode():
        net.grid += 1
    assert search.find(net, SHAPE) is not first


def test_a_model_that_writes_into_its_input():
    net, search = cnn(), ConfusionFeature(restarts=2, steps=2)
    torch.testing.assert_close(search(nn.Sequential(nn.ReLU(inplace=True), *net), SHAPE), search(net, SHAPE))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_colours_have_the_dtype_of_the_model(dtype):
    found = ConfusionFeature(restarts=4, steps=4).find(cnn(dtype=dtype), SHAPE)
    assert found.colour.dtype == dtype
    assert found.entropies.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert 0 <= float(found.candidates.min()) <= float(found.candidates.max()) <= 1


def test_settings_are_plain_and_frozen():
    search = ConfusionFeature(restarts=3)
    assert pickle.loads(pickle.dumps(search)) == search
    assert hash(search) == hash(ConfusionFeature(restarts=3))
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'steps'"):
        search.steps = 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"restarts": 0}, "`restarts` must be a positive integer"),
        ({"steps": 0}, "`steps` must be a positive integer"),
        ({"alpha": -1}, "`alpha` must be a number of at least 0"),
        ({"max_batch": 0}, "`max_batch` must be a positive integer"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        ConfusionFeature(**settings)


@pytest.mark.parametrize("shape", [(8, 8), (1, 3, 8, 8), (3, 0, 8)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"`shape` must be the shape \(C, H, W\) of an image, got \("):
        ConfusionFeature()(cnn(), shape)

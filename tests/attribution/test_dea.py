"""The method against a plain restatement with its own loops, its passes, gates and kinds of gradient."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from _reference.nets import Counter
from lit_attr.attribution import DEA, GradCAM, HiResCAM, IntegratedGradients, Occlusion
from lit_attr.targets import RegionTarget

INDEX = torch.tensor([2, 0, 1])
SIZE = (16, 12)


class Net(nn.Module):
    """An encoder of half the resolution, context from the whole image, a head."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Tanh())
        self.head = nn.Sequential(nn.Conv2d(8, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 3, 1))
        self.double()

    def forward(self, images):
        found = self.encoder(images)
        return self.head(found * (1 + found.mean((2, 3), keepdim=True)))


@pytest.fixture
def images():
    coarse = torch.rand(3, 3, 5, 4, dtype=torch.float64)
    return F.interpolate(coarse, SIZE, mode="bilinear")


def target():
    masks = torch.zeros(3, *SIZE, dtype=torch.bool)
    masks[0, 2:7, 3:9] = masks[1, 10:, :5] = masks[2, 5:8, 5:6] = True
    return RegionTarget(INDEX, masks)


def one(i):
    whole = target()
    return RegionTarget(whole.index[i : i + 1], whole.mask[i : i + 1])


def region_score(net, image, i, kind):
    z = F.interpolate(net(image[None]), SIZE, mode="bilinear", align_corners=False)
    values = z if kind == "logit" else z.softmax(1)
    return values[0, INDEX[i]][target().mask[i]].mean()


def plain(net, image, i, grid=4, lam=0.5, beta=1.0):
    """One sample, step by step as the docstring has it, with the default gradient and gate."""
    kept = []
    handle = net.encoder.register_forward_hook(lambda module, inputs, output: kept.append(output))
    value = region_score(net, image, i, "logit")
    handle.remove()
    (gradient,) = torch.autograd.grad(value, kept)
    g = (kept[0] * gradient).sum(1, keepdim=True).relu().detach()
    g = F.interpolate(g, SIZE, mode="bilinear", align_corners=False)[0, 0]
    g = (g / g.flatten().quantile(0.99)).clamp(0, 1)
    clean, falls, means = region_score(net, image, i, "prob").item(), [], []
    fill = image.mean((1, 2))
    for row in range(grid):
        for column in range(grid):
            ys = [y for y in range(SIZE[0]) if y * grid // SIZE[0] == row]
            xs = [x for x in range(SIZE[1]) if x * grid // SIZE[1] == column]
            changed = image.clone()
            changed[:, ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1] = fill[:, None, None]
            falls.append(clean - region_score(net, changed, i, "prob").item())
            means.append(g[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1].mean().item())
    d, m = torch.tensor(falls, dtype=torch.float64), torch.tensor(means, dtype=torch.float64)
    r, m = d.clamp_min(0) / d.max(), m / m.max()
    a = torch.where(m + r > 1e-6, 2 * torch.minimum(m, r) / (m + r), 0)
    s = max(0.0, torch.corrcoef(torch.stack([m, r]))[0, 1].item())

    def spread(values):
        return F.interpolate(values.view(1, 1, grid, grid), SIZE, mode="bilinear", align_corners=False)[0, 0]

    w = (1 - lam) * s
    e = w * g + (1 - w) * spread(r) + beta * spread(a) * (g * spread(r)).sqrt()
    return e / e.max(), g, d, s


@pytest.mark.parametrize("max_batch", [1, 7, None])
@pytest.mark.parametrize("weights", [{}, {"lam": 0.1, "beta": 0.3}])
def test_it_is_the_plain_restatement(weights, max_batch, images):
    net = Net()
    found = DEA(grid=4, max_batch=max_batch, **weights).explain(net, images, target())
    for i in range(3):
        expected, gradient, effects, gate = plain(net, images[i], i, **weights)
        torch.testing.assert_close(found.attribution[i, 0], expected)
        torch.testing.assert_close(found.info["gradient"][i, 0], gradient)
        torch.testing.assert_close(found.info["effects"][i], effects)
        assert found.info["gate"][i].item() == pytest.approx(gate)
    assert found.info["layer"] == "encoder"
    assert not found.info["degenerate"].any()


def test_its_parts_are_those_methods_by_themselves(images):
    net = Net()
    for gradient, method in (("ega", HiResCAM), ("gpa", GradCAM)):
        found = DEA(gradient=gradient, grid=4).explain(net, images, target())
        maps = method()(net, images, target())
        size = torch.stack([one.quantile(0.99) for one in maps.flatten(1)]).view(-1, 1, 1, 1)
        torch.testing.assert_close(found.info["gradient"], (maps / size).clamp_max(1))
        cells = Occlusion(grid=4).explain(net, images, target())
        torch.testing.assert_close(found.info["effects"], cells.info["effects"])


def test_gradients_of_the_input(images):
    net = Net()
    inputs = images.clone().requires_grad_()
    score = sum(region_score(net, inputs[i], i, "logit") for i in range(3))
    (gradient,) = torch.autograd.grad(score, inputs)
    path = IntegratedGradients(steps=32, rule="midpoint", baseline="mean")(net, images, target())
    for kind, signed in (("input_x_grad", gradient * images), ("ig", path)):
        found = DEA(gradient=kind, grid=4).explain(net, images, target())
        maps = signed.sum(1, keepdim=True).relu()
        size = torch.stack([one.quantile(0.99) for one in maps.flatten(1)]).view(-1, 1, 1, 1)
        torch.testing.assert_close(found.info["gradient"], (maps / size).clamp_max(1))
        assert "layer" not in found.info


COSTS = {
    ("ega", "agreement"): (1, 1),
    ("gpa", "none"): (1, 1),
    ("input_x_grad", "agreement"): (1, 1),
    ("ig", "agreement"): (33, 32),
    ("ega", "noise"): (5, 5),
    ("ig", "noise"): (165, 160),
}


@pytest.mark.parametrize(("gradient", "gate"), COSTS)
def test_passes_are_those_of_the_gradient_and_one_a_cell(gradient, gate, images):
    net, method = Counter(Net()), DEA(gradient=gradient, gate=gate, grid=4, layer="model.encoder")
    found = method.explain(net, images, target())
    forward, backward = COSTS[gradient, gate]
    assert found.passes == (forward + 16, backward) == method.passes((3, *SIZE))
    assert (net.forwards, net.backwards) == (3 * (forward + 16), 3 * backward)


def test_noisy_copies_leave_the_range_and_take_the_fill_of_the_image(images):
    found = DEA(gradient="ig", gate="noise", fill="black", grid=2)(Net(), images.round(), target())
    assert bool(found.isfinite().all())


def test_the_default_costs_a_forward_pass_a_cell_more_than_its_gradient():
    more = DEA().passes().forward - HiResCAM().passes().forward
    assert (more, DEA().passes().backward) == (64, 1)


@pytest.mark.parametrize("settings", [{}, {"cells": "slic"}, {"gate": "noise"}, {"gradient": "input_x_grad"}])
def test_a_sample_does_not_depend_on_its_batch_nor_on_chunks(settings, images):
    net, method = Net(), DEA(grid=3, **settings)
    together = method(net, images, target())
    torch.testing.assert_close(DEA(grid=3, max_batch=2, **settings)(net, images, target()), together)
    for i in range(3):
        torch.testing.assert_close(method(net, images[i : i + 1], one(i)), together[i : i + 1])


def test_the_gate_by_noise(images):
    """Mean over mean and deviation of the gradient in each cell, over four noisy copies."""
    net = Net()
    found = DEA(gate="noise", grid=2, seed=3).explain(net, images, target()).info["gate"]
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(4, *images.shape[1:], generator=generator)
    maps = torch.stack([HiResCAM()(net, images + 0.03 * each, target()) for each in noise])
    cells = F.adaptive_avg_pool2d(maps.flatten(0, 1), 2).view(4, 3, 4)
    mean = cells.mean(0)
    expected = mean / (mean + cells.std(0, correction=0))
    torch.testing.assert_close(found, expected.where(mean > 0, 0))
    other = DEA(gate="noise", grid=2, seed=4).explain(net, images, target()).info["gate"]
    assert not torch.allclose(found, other)
    assert DEA(gate="none").explain(net, images, target()).info["gate"].tolist() == [[1.0]] * 3


def test_superpixels(images):
    net = Net()
    found = DEA(cells="slic", grid=3).explain(net, images, target())
    alone = Occlusion(cells="slic", grid=3).explain(net, images, target())
    torch.testing.assert_close(found.info["effects"], alone.info["effects"].nan_to_num())
    assert found.passes.forward <= DEA(cells="slic", grid=3).passes((3, *SIZE)).forward
    region = found.info["region"]
    for i in range(3):
        if not found.info["degenerate"][i]:
            torch.testing.assert_close(region[i], (alone.attribution[i] / alone.attribution[i].max()).clamp_min(0))


def test_positive_rescaling_of_the_gradient_says_nothing(images):
    net = Net()

    def scaled(evidence, index):
        return 1000 * evidence.gather(1, index[:, None])[:, 0]

    torch.testing.assert_close(DEA(objective=scaled)(net, images, target()), DEA()(net, images, target()))


def test_a_region_that_no_cell_matters_to_has_its_gradient(images):
    """The probability is one whatever is taken away, in numbers as coarse as these."""

    class Sure(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Tanh())

        def forward(self, inputs):
            z = self.encoder(inputs).sum(1, keepdim=True)
            return torch.cat([z + 500, z, z], dim=1)

    net = Sure().double()
    where = RegionTarget(0, target().mask)
    found = DEA(layer="encoder", grid=4, lam=1.0).explain(net, images, where)
    assert found.info["degenerate"].all()
    assert torch.equal(found.attribution, found.info["gradient"])
    assert not DEA(layer="encoder", grid=4, effect="logit").explain(net, images, where).info["degenerate"].all()


def test_any_classifier_is_explained_too(images):
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)]
    net = nn.Sequential(*layers).double()
    found = DEA(grid=4).explain(net, images, INDEX)
    assert found.attribution.shape == (3, 1, *SIZE)
    assert found.info["layer"] == "1"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gradient": "egu"}, "`gradient` is 'egu'; accepted: ega, gpa, ig, input_x_grad; did you mean 'ega'"),
        ({"cells": "hex"}, "`cells` is 'hex'; accepted: grid, slic"),
        ({"gate": "on"}, "`gate` is 'on'; accepted: agreement, noise, none"),
        ({"grid": 0}, "`grid` must be a positive integer, got 0"),
        ({"lam": 1.5}, r"`lam` must be in \[0, 1\], got 1.5"),
        ({"beta": -1.0}, "`beta` must be a number of at least 0, got -1.0"),
        ({"quantile": 0.0}, r"`quantile` must be in \(0, 1\], got 0.0"),
        ({"effect": "probability"}, "`effect` is 'probability'; accepted"),
        ({"fill": "gray"}, "`fill` is 'gray'; accepted"),
    ],
)
def test_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        DEA(**settings)


def test_only_images():
    with pytest.raises(ValueError, match=r"`inputs` must be images \[B, C, H, W\], got shape \(2, 6\)"):
        DEA()(nn.Linear(6, 2), torch.rand(2, 6), 1)

"""Segmenters of known truth, from closed forms to a trained network: targets, methods and metrics together."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import nn

from _reference.segmenters import (
    AdditiveSegmenter,
    DesignedSegmenter,
    TiledSegmenter,
    keyed_segmenter,
    labels_of,
    shares,
)
from lit_attr.attribution import (
    DEA,
    RISE,
    DeepLift,
    FastIG,
    GradCAM,
    HiResCAM,
    IntegratedGradients,
    Occlusion,
    Saliency,
)
from lit_attr.ground_truth import keyed_scenes
from lit_attr.metrics.functional import (
    off_target_drop,
    off_target_mass,
    region_deletion,
    region_insertion,
    target_drop,
)
from lit_attr.regions import find_regions
from lit_attr.targets import RegionTarget


def drawn(*shape, seed=0):
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# A: closed form


def regions(size=12):
    masks = torch.zeros(2, size, size, dtype=torch.bool)
    masks[0, 2:5, 3:9] = masks[1, 8, 8] = True
    return RegionTarget(torch.tensor([0, 1]), masks)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_contributions_are_found(kernel):
    net, images, target = AdditiveSegmenter(kernel=kernel), drawn(2, 3, 12, 12), regions()
    phi = net.contributions(images, target)
    for method in (IntegratedGradients(steps=3), FastIG(), DeepLift()):
        torch.testing.assert_close(method(net, images, target), phi)
    single = Occlusion(grid=12, fill=0.0, objective="logit")
    torch.testing.assert_close(single(net, images, target), phi.sum(1, keepdim=True))
    scores = [net(x)[range(2), target.index] for x in (images, 0 * images)]
    change = [float((a - b)[m].mean()) for a, b, m in zip(*scores, target.mask, strict=True)]
    assert phi.sum((1, 2, 3)).tolist() == pytest.approx(change)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_a_nothing_beyond_the_reach_of_the_region_is_blamed(kernel):
    net, images, target = AdditiveSegmenter(kernel=kernel), drawn(2, 3, 12, 12), regions()
    reached = F.max_pool2d(target.mask[:, None].double(), kernel, 1, kernel // 2) > 0
    for method in (Saliency(), IntegratedGradients(steps=3), Occlusion(grid=12, objective="logit")):
        found = method(net, images, target)
        assert not found[~reached.expand_as(found)].any()
        assert bool((found != 0).any(1, keepdim=True)[reached].all())


@pytest.mark.parametrize("grid", [2, 3, 4])
def test_a_the_effect_of_a_cell_is_the_sum_of_what_is_in_it(grid):
    net, images, target = AdditiveSegmenter(), drawn(2, 3, 12, 12), regions()
    phi = net.contributions(images, target, 0.5).sum(1, keepdim=True)
    expected = F.avg_pool2d(phi, 12 // grid).flatten(1) * (12 // grid) ** 2
    settings = {"grid": grid, "fill": 0.5}
    found = Occlusion(objective="logit", **settings).explain(net, images, target).info["effects"]
    torch.testing.assert_close(found, expected)
    found = DEA(gradient="input_x_grad", effect="logit", **settings).explain(net, images, target)
    torch.testing.assert_close(found.info["effects"], expected)


def test_a_no_order_deletes_faster_than_that_of_the_contributions_and_none_slower_than_its_reverse():
    """Of one pixel, whose probability rises with its logit."""
    net, images = AdditiveSegmenter(channels=1, kernel=3), drawn(1, 1, 6, 6)
    mask = torch.zeros(1, 6, 6, dtype=torch.bool)
    mask[0, 3, 2] = True
    target = RegionTarget(0, mask)
    phi = net.contributions(images, target)
    settings = {"fill": 0.0, "steps": 36, "draws": 1}
    best, worst = (region_deletion(net, images, target, v, **settings).item() for v in (phi, -phi))
    others = [region_deletion(net, images, target, drawn(1, 6, 6, seed=s), **settings).item() for s in range(30)]
    assert best < min(others) < max(others) < worst
    low, high = (region_insertion(net, images, target, v, **settings).item() for v in (-phi, phi))
    others = [region_insertion(net, images, target, drawn(1, 6, 6, seed=s), **settings).item() for s in range(30)]
    assert low < min(others) < max(others) < high


# B: impossible regions


def tiled():
    """A network of random weights on four tiles, of which the region is in the last; the rest is off target."""
    layers = [nn.Conv2d(3, 8, 5, padding=2), nn.Tanh(), nn.Conv2d(8, 3, 3, padding=1)]
    net = TiledSegmenter(nn.Sequential(*layers).double())
    net.network[2].weight.data.mul_(8)
    tile, mask = torch.zeros(2, 16, 16, dtype=torch.bool), torch.zeros(2, 16, 16, dtype=torch.bool)
    tile[:, 8:, 8:] = mask[0, 10:13, 10:15] = mask[1, 14, 9] = True
    return net, drawn(2, 3, 16, 16), RegionTarget(torch.tensor([0, 2]), mask, ~tile), tile


def outside(found, tile):
    """The share of a map that is false."""
    mass = found.abs().sum(1)
    return ((mass * ~tile).sum((1, 2)) / mass.sum((1, 2))).tolist()


EXACT = {
    "saliency": Saliency(),
    "ig": IntegratedGradients(steps=4),
    "occlusion": Occlusion(grid=4),
    "dea": DEA(grid=4, gradient="input_x_grad", smooth=False),
}


@pytest.mark.parametrize("name", EXACT)
def test_b_nothing_is_blamed_on_other_tiles(name):
    net, images, target, tile = tiled()
    found = EXACT[name](net, images, target)
    assert bool((found * tile[:, None]).flatten(1).any(1).all())
    assert max(outside(found, tile)) <= 1e-12


def test_b_what_is_spread_smoothly_leaks_a_little_and_rise_much():
    """A method whose masks reach over tiles, and a check that this would be seen."""
    net, images, target, tile = tiled()
    smooth = DEA(grid=4, gradient="input_x_grad")(net, images, target)
    assert all(0 < share < 0.3 for share in outside(smooth, tile))
    assert min(outside(RISE(masks=300)(net, images, target), tile)) > 0.3


def test_b_deletions_in_one_tile_move_no_other():
    net, images, target, tile = tiled()
    settings = {"fractions": (0.1, 0.25)}
    inside, elsewhere = tile.double(), (~tile).double()
    assert off_target_drop(net, images, target, inside, **settings).abs().max() <= 1e-12
    assert off_target_drop(net, images, target, elsewhere, **settings).min() > 1e-3
    assert target_drop(net, images, target, elsewhere, **settings).abs().max() <= 1e-12
    assert target_drop(net, images, target, inside, **settings).abs().min() > 1e-3


def test_b_all_that_is_false_is_off_target():
    net, images, target, tile = tiled()
    found = RISE(masks=50)(net, images, target)
    near = ~(target.mask | target.others)
    values = found.clamp_min(0)[:, 0] * ~near
    expected = (values * ~tile).sum((1, 2)) / values.sum((1, 2))
    torch.testing.assert_close(off_target_mass(found, target), expected)


# C: a designed network


def designed(count=6):
    scenes = keyed_scenes(count, seed=3, complete=True)
    return DesignedSegmenter(), scenes, RegionTarget(scenes.labels, scenes.disc, ~scenes.disc)


GREY = 0.35  # which no detector answers to


def without(images, *parts):
    for part in parts:
        images = torch.where(part[:, None], GREY, images)
    return images


def test_c_the_region_shapley_values_are_those_of_an_and():
    net, scenes, target = designed()
    green = scenes.distractors & (scenes.images[:, 0] < 0.5)
    parts = [scenes.disc, scenes.key, green, scenes.distractors & ~green]

    def score(gone):
        z = net(without(scenes.images, *(parts[i] for i in gone)))
        return torch.stack([z[i, target.index[i]][target.mask[i]].mean() for i in range(len(z))])

    for part, expected in enumerate((4.0, 4.0, 0.0, 0.0)):
        total = torch.zeros(6)
        others = [i for i in range(4) if i != part]
        for size in range(4):
            for gone in itertools.combinations(others, size):
                weight = math.factorial(size) * math.factorial(3 - size) / math.factorial(4)
                total += weight * (score(gone) - score((*gone, part)))
        torch.testing.assert_close(total, torch.full((6,), expected), atol=1e-5, rtol=0)


def test_c_the_cells_of_disc_and_key_have_all_the_effect():
    """Things lie in cells of their own, four along each side."""
    net, scenes, target = designed()
    cells = [F.max_pool2d(part[:, None].float(), 8).flatten(1) for part in (scenes.disc, scenes.key)]
    expected = 8 * (cells[0] + cells[1])
    settings = {"grid": 4, "fill": GREY}
    found = Occlusion(objective="logit", **settings).explain(net, scenes.images, target).info["effects"]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    dea = DEA(effect="logit", smooth=False, **settings).explain(net, scenes.images, target)
    torch.testing.assert_close(dea.info["effects"], expected, atol=1e-5, rtol=0)
    on = dea.attribution[:, 0]
    assert not on[scenes.distractors].any()
    assert bool((on[scenes.key] > 0).all())  # although the key is off the mask


def test_c_a_key_that_two_discs_share_moves_the_other_disc():
    """The positive control of the off-target drop: it is there where it should be, and nowhere else."""
    net, scenes, _ = designed()
    taken = F.max_pool2d((scenes.disc | scenes.key | scenes.distractors)[:, None].float(), 8).flatten(1)
    free = taken.argmin(1)
    second = torch.zeros_like(scenes.disc)
    for i, cell in enumerate(free.tolist()):
        y, x = divmod(cell, 4)
        second[i, 8 * y + 2 : 8 * y + 6, 8 * x + 2 : 8 * x + 6] = True
    images = torch.where(second[:, None], 1.0, scenes.images)
    target = RegionTarget(scenes.labels, scenes.disc, ~scenes.disc)
    size = float(scenes.key[0].sum()) / 1024
    settings = {"fill": GREY, "fractions": (size,)}
    by_key = off_target_drop(net, images, target, scenes.key.float(), **settings)
    by_disc = off_target_drop(net, images, target, scenes.disc.float(), **settings)
    assert by_key.min() > 0.01
    assert by_disc.abs().max() < 1e-6
    assert target_drop(net, images, target, scenes.key.float(), **settings).min() > 0.9


# D: a trained network, shown to use disc and key


@pytest.fixture(scope="module")
def trained():
    net, scenes = keyed_segmenter(), keyed_scenes(16, seed=5, complete=True)
    logits = F.interpolate(net(scenes.images)["out"], 32, mode="bilinear", align_corners=False)
    found = find_regions(logits, labels_of(scenes), rim=2)
    assert len(found.rows) == 16
    return net, scenes, found.target


def mean_of(metric, trained, attribution, **settings):
    net, scenes, target = trained
    return metric(net, scenes.images, target, attribution, **settings).mean().item()


def blurred(images):
    return F.avg_pool2d(F.pad(images, [4] * 4, mode="replicate"), 9, 1)


def test_d_the_network_follows_the_key_and_no_distractor():
    assert min(shares(keyed_segmenter()).values()) >= 0.99


def test_d_insertion_tells_the_truth_from_the_mask_and_off_target_mass_does_not(trained):
    """So that the latter is told as localisation only."""
    _, scenes, target = trained
    maps = {"truth": scenes.truth.double(), "mask": target.mask.double(), "random": drawn(16, 32, 32)}
    insertion = {name: mean_of(region_insertion, trained, values) for name, values in maps.items()}
    assert insertion["truth"] > insertion["mask"] + 0.1 > insertion["random"] + 0.15
    deletion = {name: mean_of(region_deletion, trained, values, fill=blurred) for name, values in maps.items()}
    assert deletion["truth"] < deletion["mask"] - 0.1 < deletion["random"] - 0.15
    mass = {name: float(off_target_mass(values, target).mean()) for name, values in maps.items()}
    assert mass["mask"] == 0 < mass["truth"]


@pytest.mark.parametrize("metric", [region_insertion, target_drop])
def test_d_a_truth_that_is_mixed_with_noise_is_worse(metric, trained):
    _, scenes, _ = trained
    levels = [0.0, 0.5, 0.6, 0.7, 0.8, 1.0]
    noise = drawn(16, 32, 32)
    found = [mean_of(metric, trained, (1 - e) * scenes.truth.double() + e * noise) for e in levels]
    assert spearmanr(levels, found).statistic <= -0.9


@pytest.mark.parametrize(("gradient", "alone"), [("ega", HiResCAM()), ("gpa", GradCAM())])
def test_d_dea_deletes_better_than_its_gradient_and_leaks_less(gradient, alone, trained):
    """Means over targets, with the fill of the interventions and with another one."""
    net, scenes, target = trained
    found = DEA(gradient=gradient).explain(net, scenes.images, target)
    maps = found.attribution, alone(net, scenes.images, target)
    for fill in ("mean", blurred):
        ours, theirs = (mean_of(region_deletion, trained, values, fill=fill) for values in maps)
        assert ours < theirs
    leaks = [mean_of(off_target_drop, trained, values) for values in maps]
    assert leaks[0] < leaks[1]
    on = [float(found.attribution[:, 0][part].mean()) for part in (scenes.disc, scenes.key, scenes.distractors)]
    assert min(on[:2]) > 5 * on[2]


def test_d_a_destroyed_gradient_is_shut_out(trained):
    """By the gate, so that what is left is the evidence of the cells."""
    net, scenes, target = trained

    class Destroyed(nn.Module):
        """The same values, with noise all over the gradient."""

        def forward(self, images):
            noise = drawn(3, 32, 32, seed=8).to(images) - 0.5
            return {
                "out": net(images)["out"] + 20 * (noise * (images - images.detach())).sum((1, 2, 3)).view(-1, 1, 1, 1)
            }

    broken, x = Destroyed(), scenes.images
    torch.testing.assert_close(broken(x)["out"], net(x)["out"])
    gated, open_ = (
        DEA(gate=gate, gradient="input_x_grad").explain(broken, x, target) for gate in ("agreement", "none")
    )
    assert float(gated.info["gate"].mean()) < 0.5
    cells = Occlusion(smooth=True)(net, x, target)

    def far(values):
        return float((values - cells.clamp_min(0) / cells.amax((1, 2, 3), keepdim=True)).abs().mean())

    assert far(gated.attribution) < far(open_.attribution)

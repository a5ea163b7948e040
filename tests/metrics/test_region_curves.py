"""Curves of regions against a plain loop, and the order of equal values."""

import pytest
import torch
from torch import nn

from _reference.dense import INDEX, SIZE, Segmenter, images, maps, probabilities, region
from lit_attr.metrics import MetricSuite, RegionDeletion, RegionInsertion
from lit_attr.metrics.functional import deletion, region_deletion, region_insertion
from lit_attr.targets import RegionTarget


def score(net, image, i):
    return float(probabilities(net, image[None])[0, INDEX[i]][region().mask[i]].mean())


def plain(net, image, values, i, steps, insert):
    """One sample without equal values: the curve of S, and S of the clean and of the filled image."""
    fill = image.mean((1, 2), keepdim=True).expand_as(image)
    current, finish = (fill.clone(), image) if insert else (image.clone(), fill)
    order = values.flatten().argsort(descending=True).tolist()
    curve, done = [score(net, current, i)], 0
    for j in range(1, steps + 1):
        cut = j * 80 // steps
        for place in order[done:cut]:
            y, x = divmod(place, SIZE[1])
            current[:, y, x] = finish[:, y, x]
        done = cut
        curve.append(score(net, current, i))
    return curve, score(net, image, i), score(net, fill, i)


@pytest.mark.parametrize(("function", "insert"), [(region_deletion, False), (region_insertion, True)])
@pytest.mark.parametrize("steps", [1, 7, 20])
def test_a_plain_loop(function, insert, steps):
    net, expected, ranged = Segmenter(), [], []
    for i in range(4):
        curve, clean, filled = plain(net, images()[i], maps()[i], i, steps, insert)
        shares = torch.tensor([j * 80 // steps / 80 for j in range(steps + 1)], dtype=torch.float64)
        area = float(torch.trapezoid(torch.tensor(curve, dtype=torch.float64), shares))
        expected.append(area / clean)
        ranged.append((area - filled) / (clean - filled) if clean - filled >= 0.2 * clean else torch.nan)
    given = (net, images(), region(), maps())
    assert function(*given, steps=steps).tolist() == pytest.approx(expected)
    found = function(*given, steps=steps, unit="range", max_batch=3)
    assert found.tolist() == pytest.approx(ranged, nan_ok=True)
    assert 0 < int(found.isnan().sum()) < 4


def test_it_is_the_share_of_deletion():
    net, x = Segmenter(), images()
    clean = torch.stack([probabilities(net, x)[i, INDEX[i]][region().mask[i]].mean() for i in range(4)])
    whole = deletion(net, x, region(), maps(), fill="mean", steps=20)
    torch.testing.assert_close(region_deletion(net, x, region(), maps()), whole / clean)


def test_equal_values_are_averaged_over_orders():
    given = (Segmenter(), images(), region(), maps(steps=1))
    one, both, other = (region_deletion(*given, draws=draws, seed=seed) for draws, seed in ((1, 0), (2, 0), (1, 1)))
    assert not torch.allclose(one, other)
    metric = RegionDeletion(draws=2)
    metric.update(*given)
    torch.testing.assert_close(metric.compute().double(), both.mean(), rtol=1e-6, atol=0)
    assert not torch.allclose(one, both)
    alike = (Segmenter(), images(), region(), maps())
    torch.testing.assert_close(region_deletion(*alike, draws=1), region_deletion(*alike, draws=3, seed=5))


def test_the_direction_of_the_raster_is_no_property_of_a_map_in_steps():
    """Of a map of two values, upside down: by index the order would turn with it."""
    net, x, target = Segmenter(), images(), region()
    flat = torch.ones(4, *SIZE)
    found = region_deletion(net, x, target, flat, draws=40)
    turned = RegionTarget(INDEX, target.mask.flip(1, 2), None)

    class Turned(nn.Module):
        def forward(self, inputs):
            return {"out": net(inputs.flip(2, 3))["out"].flip(2, 3)}

    other = region_deletion(Turned(), x.flip(2, 3), turned, flat, draws=40)
    assert float((found - other).abs().max()) < 0.1


def test_passes_are_shared_between_both():
    net, seen = Segmenter(), []
    net.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    alone = RegionDeletion(steps=5, draws=3)
    alone.update(net, images(), region(), maps())
    assert sum(seen) == 4 * alone.passes.forward == 4 * (2 + 3 * 4)
    seen.clear()
    suite = MetricSuite({name: {"steps": 5} for name in ("region_deletion", "region_insertion")})
    suite.update(net, images(), region(), maps())
    assert sum(seen) == 4 * (2 + 2 * 2 * 4)


def test_curves_end_where_they_should():
    given = (Segmenter(), images(), region(), maps())
    down, up = RegionDeletion(steps=4), RegionInsertion(steps=4)
    for metric in (down, up):
        metric.update(*given)
    assert down.curve()[0] == up.curve()[-1] == 1
    torch.testing.assert_close(down.curve()[-1], up.curve()[0])


def test_fewer_positions_than_steps():
    x = torch.rand(2, 3, 2, 2, dtype=torch.float64)
    metric = RegionDeletion(steps=10)
    metric.update(nn.Conv2d(3, 2, 1).double(), x, RegionTarget(0, torch.ones(2, 2, 2, dtype=torch.bool)), x)
    assert metric.curve().shape == (11,)
    assert metric.curve()[0] == 1


@pytest.mark.parametrize("unit", ["clean", "range"])
def test_a_class_without_probability_has_no_share(unit):
    class Never(nn.Module):
        def forward(self, x):
            z = x[:, :1] * 0
            return torch.cat([z, z - torch.inf], dim=1)

    metric = RegionDeletion(steps=2, unit=unit)
    metric.update(Never(), images(), RegionTarget(1, region().mask), maps())
    assert (metric.count, metric.undefined) == (0, 4)


@pytest.mark.parametrize("metric", [RegionDeletion, RegionInsertion])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "`steps` must be a positive integer, got 0"),
        ({"draws": 0}, "`draws` must be a positive integer, got 0"),
        ({"unit": "full"}, "`unit` is 'full'; accepted: clean, range"),
        ({"fill": "grey"}, "`fill` is 'grey'"),
        ({"seed": -1}, "`seed` must be an integer of at least 0"),
    ],
)
def test_settings_are_checked(metric, settings, message):
    with pytest.raises(ValueError, match=message):
        metric(**settings)

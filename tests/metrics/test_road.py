"""ROAD: a slow loop with a direct solver, and orders whose effect is known."""

import math

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch
from torch import nn

from _reference.nets import Recorder
from lit_attr.metrics import ROAD, ROADLeRF, ROADMoRF
from lit_attr.metrics._evaluation import Evaluation
from lit_attr.metrics.functional import road, road_lerf, road_morf

ALL = {road: ROAD, road_morf: ROADMoRF, road_lerf: ROADLeRF}
STEPS = [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]


def filled(image, gone):
    """An image `[C, H, W]` without the places `gone`, a set of (y, x); every pixel is an equation, known ones v = x."""
    _, height, width = image.shape
    matrix, right = scipy.sparse.lil_matrix((height * width,) * 2), np.zeros((height * width, len(image)))
    for y in range(height):
        for x in range(width):
            i = y * width + x
            if (y, x) not in gone:
                matrix[i, i], right[i] = 1, image[:, y, x]
                continue
            for dy, dx in STEPS:
                if 0 <= y + dy < height and 0 <= x + dx < width:
                    weight = 1 / 12 if dy and dx else 1 / 6
                    matrix[i, i] += weight
                    matrix[i, i + dy * width + dx] -= weight
    return scipy.sparse.linalg.spsolve(matrix.tocsr(), right).T.reshape(image.shape)


def scores(model, image, target, a, order, percent, noise):
    """Probability and hit of one image without `percent` of its pixels."""
    height, width = a.shape
    places = sorted(np.ndindex(height, width), key=lambda p: -a[p])
    if order == "lerf":
        places.reverse()
    gone = set(places[: int(percent / 100 * height * width)])
    point = filled(image, gone)
    for y, x in gone:
        point[:, y, x] += noise[:, y, x]
    with torch.no_grad():
        p = model(torch.from_numpy(point)[None]).softmax(1)[0]
    return float(p[target]), float(int(p.argmax()) == target)


@pytest.mark.parametrize("readout", ["prob", "accuracy"])
def test_equals_a_slow_loop_with_a_direct_solver(readout, cnn, batch):
    images, attribution = batch()
    model, percentages = cnn(), (10, 33, 95)
    target = model(images).argmax(1)
    noise = ROAD(percentages=percentages)._removal._noise(images).numpy()
    assert 0.008 < noise.std() < 0.012
    found = {}
    for order, cls in (("morf", ROADMoRF), ("lerf", ROADLeRF), ("both", ROAD)):
        value, found[order], _ = cls(readout, percentages).read(Evaluation(model, images).of(attribution))
        torch.testing.assert_close(value, found[order].mean(1))
    for i in range(4):
        a = attribution[i].sum(0).numpy()
        for p, percent in enumerate(percentages):
            both = [
                scores(model, images[i].numpy(), int(target[i]), a, order, percent, noise[p])[readout == "accuracy"]
                for order in ("morf", "lerf")
            ]
            assert float(found["morf"][i, p]) == pytest.approx(both[0], abs=1e-4)
            assert float(found["lerf"][i, p]) == pytest.approx(both[1], abs=1e-4)
            assert float(found["both"][i, p]) == pytest.approx((both[1] - both[0]) / 2, abs=1e-4)


@pytest.mark.parametrize("percentages", [(10, 50, 99.9), (1,), (29, 57, 58)])  # 100 times 29 / 100 is less than 29
def test_exactly_the_share_of_the_pixels_is_removed(percentages):
    """Also where values are equal; one pixel always stays."""
    net = Recorder(nn.Sequential(nn.Flatten(), nn.Linear(200, 2, dtype=torch.float64)))
    images = torch.rand(1, 2, 10, 10, dtype=torch.float64)
    attribution = torch.zeros(1, 10, 10)
    attribution[0, 3] = 1
    for function, first in ((road_morf, True), (road_lerf, False)):
        net.seen.clear()
        function(net, images, 1, attribution, percentages=percentages)
        assert len(net.points) == len(percentages) + 1
        for p, point in zip(percentages, net.points[1:], strict=True):
            gone = (point != images[0]).all(0)
            assert int(gone.sum()) == min(99, math.floor(p))
            assert bool(gone[3, 0]) is first
            assert torch.equal(point[:, ~gone], images[0][:, ~gone])


def test_orders_are_each_others_reverse(cnn, batch):
    images, attribution = batch()
    given = (cnn(), images, 1)
    torch.testing.assert_close(road_morf(*given, -attribution), road_lerf(*given, attribution))
    torch.testing.assert_close(road(*given, -attribution), -road(*given, attribution))


def test_an_increasing_transform_changes_nothing(cnn, batch):
    images, attribution = batch()
    positions = attribution.sum(1)
    given = (cnn(), images, 1)
    assert torch.equal(road(*given, positions), road(*given, positions.exp() * 7 - 3))


def test_the_pixels_that_matter_are_found():
    """The score is the contrast of the middle, which its neighbours do not give away."""
    images = torch.full((1, 1, 9, 9), 0.2, dtype=torch.float64)
    images[..., 4, 4] = 1.0
    model = nn.Sequential(nn.Flatten(), nn.Linear(81, 1, dtype=torch.float64))
    nn.init.zeros_(model[1].weight)
    nn.init.constant_(model[1].bias, -4)
    model[1].weight.data[0, 40] = 8
    found = road(model, images, 1, images[:, 0])
    assert float(found) == pytest.approx((1 / (1 + math.exp(-4)) - 1 / (1 + math.exp(4 - 8 * 0.2))) / 2, abs=0.02)


def test_the_three_share_their_passes_and_readouts(cnn, counting, batch):
    images, attribution = batch()
    model = counting(cnn())
    evaluation = Evaluation(model, images)
    for cls in ALL.values():
        for readout in ("prob", "accuracy"):
            cls(readout, (20, 40)).update(model, images, None, attribution, evaluation)
    assert model.samples == 4 * 5


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("max_batch", [1, 3, 100])
def test_chunks_and_company_change_nothing(function, max_batch, cnn, counting, batch):
    images, attribution = batch()
    settings = {"percentages": (20, 60)}
    expected = function(cnn(), images, 1, attribution, **settings)
    model = counting(cnn())
    found = function(model, images, 1, attribution, max_batch=max_batch, **settings)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    assert model.samples == 4 * ALL[function](**settings).passes.forward
    assert model.largest == max(4, min(max_batch, 8))
    alone = function(cnn(), images[1:2], 1, attribution[1:2], **settings)
    torch.testing.assert_close(alone, expected[1:2], rtol=0, atol=1e-10)


@pytest.mark.parametrize("readout", ["prob", "accuracy"])
def test_what_is_not_finite_or_constant_is_counted(readout, batch):
    class Broken(nn.Module):
        def forward(self, inputs):
            dark = inputs.flatten(1).mean(1) < 0.2
            return inputs.flatten(1)[:, :3].masked_fill(dark[:, None], torch.nan)

    images, attribution = batch()
    attribution[0, 0, 0, 0] = torch.nan
    images[1] *= 0.2
    attribution[2] = 1.0
    metric = ROADMoRF(readout, (30,))
    metric.update(Broken(), images, 0, attribution)
    assert (metric.count, metric.invalid, metric.undefined, metric.constant) == (2, 2, 0, 1)


def test_directions():
    assert [cls.higher_is_better for cls in ALL.values()] == [True, False, True]


@pytest.mark.parametrize("cls", ALL.values())
def test_settings_are_checked_and_told(cls):
    for percentages in ((), (0,), (50, 100), (float("nan"),)):
        with pytest.raises(ValueError, match=r"`percentages` must be at least one number in \(0, 100\)"):
            cls(percentages=percentages)
    with pytest.raises(ValueError, match=r"`readout` is 'probs'.*did you mean 'prob'"):
        cls("probs")
    with pytest.raises(ValueError, match=r"`noise` must be a number of at least 0, got -0\.1"):
        cls(noise=-0.1)
    metrics = [cls(), cls("accuracy"), cls(percentages=[10]), cls(noise=0.0), cls(seed=1)]
    assert len({tuple(metric._cfg.tolist()) for metric in metrics}) == 5


def test_inputs_are_checked():
    with pytest.raises(ValueError, match=r"`inputs` must be images \[B, C, H, W\], got shape \(2, 6\)"):
        road(nn.Linear(6, 2), torch.rand(2, 6), 1, torch.rand(2, 6))


def test_a_model_that_ignores_its_input_prefers_no_order(batch):
    class Constant(nn.Module):
        def forward(self, inputs):
            return torch.tensor([[0.3, 1.0, 2.0]], dtype=inputs.dtype).expand(len(inputs), 3)

    images, attribution = batch()
    assert torch.equal(road(Constant(), images, 1, attribution), torch.zeros(4, dtype=torch.float64))
    expected = float(torch.tensor([0.3, 1.0, 2.0], dtype=torch.float64).softmax(0)[1])
    for function in (road_morf, road_lerf):
        torch.testing.assert_close(
            function(Constant(), images, 1, attribution), torch.full((4,), expected, dtype=torch.float64)
        )

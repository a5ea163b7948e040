"""Cells of an image: what is where, and what is asked of the model."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from _reference.nets import Recorder, cnn
from lit_attr._view import looking_at
from lit_attr.attribution._cells import cells_of, count_cells, scores_without
from lit_attr.objectives import logit, prob

TARGETS = torch.tensor([2, 0])


def pictures(*size):
    smooth = torch.rand(2, 3, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return F.interpolate(smooth, size, mode="bilinear")


@pytest.mark.parametrize(("size", "side"), [((8, 8), 4), ((9, 7), 2), ((12, 10), 8), ((5, 3), 4), ((6, 6), 1)])
def test_a_grid_is_a_partition_into_rectangles_of_nearly_one_size(size, side):
    cells = cells_of(pictures(*size), "grid", side)
    rows, columns = min(side, size[0]), min(side, size[1])
    assert cells.grid == count_cells(side, (3, *size)) == (rows, columns)
    assert torch.equal(cells.numbers[0], cells.numbers[1])
    assert cells.exists.all()
    areas = []
    for number in range(rows * columns):
        inside = (cells.numbers[0] == number).nonzero()
        top, bottom = inside[:, 0].min(), inside[:, 0].max()
        left, right = inside[:, 1].min(), inside[:, 1].max()
        assert len(inside) == (bottom - top + 1) * (right - left + 1)
        areas.append((int(bottom - top), int(right - left)))
    for sides in zip(*areas, strict=True):
        assert max(sides) - min(sides) <= 1


def test_superpixels_are_those_of_each_image():
    images = pictures(24, 24)
    images[1] = 0.5
    images[1, :, :, 12:] = 0
    cells = cells_of(images, "slic", 4)
    assert cells.grid is None
    assert cells.exists.shape == (2, 16)
    for i in range(2):
        alone = cells_of(images[i : i + 1], "slic", 4)
        assert torch.equal(alone.numbers[0], cells.numbers[i])
        assert cells.numbers[i].unique().tolist() == cells.exists[i].nonzero()[:, 0].tolist()


@pytest.mark.parametrize(("cut", "side"), [("grid", 3), ("slic", 4)])
def test_means_and_their_spread(cut, side):
    images = pictures(24, 21)
    cells, maps = cells_of(images, cut, side), torch.rand(2, 1, 24, 21, dtype=torch.float64)
    means = cells.mean(maps)
    for i in range(2):
        for number in range(cells.exists.shape[1]):
            inside = cells.numbers[i] == number
            expected = maps[i, 0][inside].mean() if inside.any() else 0
            assert means[i, number].item() == pytest.approx(float(expected))
    spread = cells.spread(means)
    torch.testing.assert_close(cells.mean(spread), means)
    assert all(len(spread[i].unique()) == int(cells.exists[i].sum()) for i in range(2))


def test_a_grid_can_be_spread_smoothly():
    values = torch.rand(2, 6, dtype=torch.float64)
    cells = cells_of(pictures(8, 8), "grid", 3)._replace(grid=(2, 3))
    expected = F.interpolate(values.view(2, 1, 2, 3), (8, 8), mode="bilinear", align_corners=False)
    assert torch.equal(cells.spread(values, smooth=True), expected)
    slic = cells_of(pictures(8, 8), "slic", 3)
    values = torch.rand(2, 9)
    assert torch.equal(slic.spread(values, smooth=True), slic.spread(values))


@pytest.mark.parametrize("cut", ["grid", "slic"])
@pytest.mark.parametrize("fill", [0.25, "mean", lambda x: x.flip(3)], ids=["number", "mean", "another image"])
@pytest.mark.parametrize("max_batch", [1, 5, None])
def test_each_cell_is_taken_away_once(cut, fill, max_batch):
    images, net = pictures(20, 20), Recorder(cnn())
    cells = cells_of(images, cut, 4)
    with looking_at(net, images, TARGETS) as view:
        found = scores_without(view, cells, fill, prob, max_batch)
    colour = {0.25: torch.full_like(images, 0.25), "mean": images.mean((2, 3), keepdim=True).expand_as(images)}
    background = images.flip(3) if callable(fill) else colour[fill]
    points, scores = [], torch.full_like(found, torch.nan)
    for i in range(2):
        for number in range(int(cells.numbers[i].max()) + 1):
            point = images[i].clone()
            gone = cells.numbers[i] == number
            point[:, gone] = background[i][:, gone]
            points.append(point)
            scores[i, number] = net.model(point[None]).detach().softmax(1)[0, TARGETS[i]]
    torch.testing.assert_close(net.points, torch.stack(points))
    torch.testing.assert_close(found, scores, equal_nan=True)
    assert view.passes.forward == len(points) / 2


def test_no_samples():
    images = pictures(8, 8)[:0]
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 3, dtype=torch.float64))
    for cut in ("grid", "slic"):
        cells = cells_of(images, cut, 4)
        assert cells.mean(images[:, :1]).shape == (0, 16)
        with looking_at(net, images, TARGETS[:0]) as view:
            assert scores_without(view, cells, 0.0, logit).shape == (0, 16)

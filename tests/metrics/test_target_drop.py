"""Drops against a plain loop over pixels, and where they must be zero."""

import pytest
import torch
from torch import nn

from _reference.dense import INDEX, SIZE, Segmenter, images, maps, probabilities, region
from lit_attr.metrics import LeakageRatio, OffTargetDrop, TargetDrop
from lit_attr.metrics.functional import leakage_ratio, off_target_drop, target_drop
from lit_attr.targets import RegionTarget

FRACTIONS = (0.1, 0.33)


def plain(net, image, values, i, share, fill):
    """TDD and both kinds of ODD of one sample for one share."""
    order = values.flatten().argsort(descending=True)[: max(1, round(share * 80))].tolist()
    changed = image.clone()
    for place in order:
        y, x = divmod(place, SIZE[1])
        changed[:, y, x] = fill[:, y, x]
    before, after = probabilities(net, image[None])[0], probabilities(net, changed[None])[0]
    target, c = region(), INDEX[i]
    inside = target.mask[i].nonzero().tolist()
    drop = sum(float(before[c, y, x] - after[c, y, x]) for y, x in inside) / len(inside)
    label, own, change = [], [], []
    for y, x in target.others[i].nonzero().tolist():
        called = before[:, y, x].argmax()
        if y * SIZE[1] + x not in order:
            label.append(abs(float(before[called, y, x] - after[called, y, x])))
        own.append(float(before[c, y, x]))
        change.append(float(after[c, y, x]))
    return drop, sum(label) / len(label), abs(sum(own) / len(own) - sum(change) / len(change))


@pytest.mark.parametrize(
    ("fill", "colour"),
    [("mean", lambda x: x.mean((2, 3), keepdim=True).expand_as(x)), (0.0, torch.zeros_like), (lambda x: 1 - x,) * 2],
    ids=["mean", "number", "function"],
)
@pytest.mark.parametrize("max_batch", [1, 3, None])
def test_a_plain_loop(fill, colour, max_batch):
    net, x, settings = Segmenter(), images(), {"fill": fill, "fractions": FRACTIONS, "max_batch": max_batch}
    background = colour(x)
    one = [[plain(net, x[i], maps()[i], i, share, background[i]) for share in FRACTIONS] for i in range(4)]
    drop, label, mean = torch.tensor(one, dtype=torch.float64).unbind(2)
    given = (net, x, region(), maps())
    torch.testing.assert_close(target_drop(*given, **settings), drop.mean(1))
    torch.testing.assert_close(off_target_drop(*given, **settings), label.mean(1))
    torch.testing.assert_close(off_target_drop(*given, kind="class_mean", **settings), mean.mean(1))
    for kind, moved in (("label_abs", label), ("class_mean", mean)):
        expected = (moved / (drop.clamp_min(0) + moved + 1e-6)).mean(1)
        torch.testing.assert_close(leakage_ratio(*given, kind=kind, **settings), expected)
    before = torch.stack([probabilities(net, x)[i, INDEX[i]][region().mask[i]].mean() for i in range(4)])
    torch.testing.assert_close(target_drop(*given, relative=True, **settings), drop.mean(1) / before)


class Apart(nn.Module):
    """Each pixel by itself."""

    def __init__(self):
        super().__init__()
        self.net = nn.Conv2d(3, 4, 1).double()

    def forward(self, inputs):
        return self.net(inputs)


def test_deleting_the_region_moves_nothing_else_where_no_pixel_depends_on_another():
    target = region()
    attribution = target.mask.double()
    share = (float(target.mask[0].sum()) / 80,)
    one = slice(0, 1)
    alone = RegionTarget(INDEX[one], target.mask[one], target.others[one])
    given = (Apart(), images()[one], alone, attribution[one])
    assert off_target_drop(*given, fractions=share).item() == 0
    assert off_target_drop(*given, fractions=share, kind="class_mean").item() == 0
    assert target_drop(*given, fractions=share).item() != 0
    assert target_drop(*given[:3], alone.others.double(), fractions=(0.3,)).item() == 0


def test_the_own_label_of_each_pixel_does_not_cancel():
    """Half of the rest becomes surer of the class and half less sure: the mean over them does not move."""

    class Opposite(nn.Module):
        def forward(self, x):
            z = torch.where(x[:, :1] > 0.5, x[:, 1:2], -x[:, 1:2]) + 3 * x[:, 2:].mean(
                (2, 3), keepdim=True
            ) * torch.where(x[:, :1] > 0.5, 1.0, -1.0)
            return torch.cat([z, torch.zeros_like(z)], dim=1)

    x = torch.zeros(1, 3, *SIZE, dtype=torch.float64)
    x[:, 0, :, ::2] = 1
    mask = torch.zeros(1, *SIZE, dtype=torch.bool)
    mask[0, 0] = True
    x[:, 2, 0] = 1
    given = (Opposite(), x, RegionTarget(0, mask, ~mask), mask.double())
    settings = {"fill": lambda x: x * torch.tensor([1.0, 1.0, 0.0]).view(3, 1, 1), "fractions": (0.1,)}
    assert off_target_drop(*given, kind="class_mean", **settings).item() < 1e-12
    assert off_target_drop(*given, **settings).item() > 0.05


def test_undefined_without_an_off_target_pixel_that_is_left():
    target = region()
    few = target.others & False
    few[1:] = target.others[1:]
    given = (Segmenter(), images(), RegionTarget(INDEX, target.mask, few), maps())
    for metric in (OffTargetDrop(), LeakageRatio()):
        metric.update(*given)
        assert (metric.count, metric.undefined, metric.invalid) == (3, 1, 0)
    drop = TargetDrop()
    drop.update(*given)
    assert (drop.count, drop.undefined) == (4, 0)


def test_the_mean_of_the_class_exists_where_all_off_target_pixels_are_deleted():
    """The worst that a map can do: all of it off the target."""
    target = region()
    few = target.others & (target.others.flatten(1).cumsum(1).view_as(target.others) <= 4)
    given = (Segmenter(), images(), RegionTarget(INDEX, target.mask, few), few.double())
    for kind, counted in (("label_abs", 0), ("class_mean", 4)):
        metric = OffTargetDrop(fractions=FRACTIONS, kind=kind)
        metric.update(*given)
        assert (metric.count, metric.undefined, metric.invalid) == (counted, 4 - counted, 0)
    assert metric.compute() > 0


def test_a_relative_drop_of_nothing_is_undefined():
    class Never(nn.Module):
        def forward(self, x):
            z = x[:, :1] * 0
            return torch.cat([z, z - torch.inf], dim=1)

    metric = TargetDrop(relative=True)
    metric.update(Never(), images(), RegionTarget(1, region().mask, region().others), maps())
    assert (metric.count, metric.undefined, metric.invalid) == (0, 4, 0)


def test_settings_are_checked_and_told():
    with pytest.raises(ValueError, match="`kind` is 'label'; accepted: class_mean, label_abs"):
        OffTargetDrop(kind="label")
    with pytest.raises(ValueError, match="`kind` is 'label'"):
        LeakageRatio(kind="label")
    told = OffTargetDrop(fill="black", fractions=[0.2]).protocol
    assert (told["fill"], told["fractions"], told["kind"]) == ("black", [0.2], "label_abs")

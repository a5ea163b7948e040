"""Robustness against a plain loop, with the prediction filter; and what a flip does."""

import pytest
import torch
from scipy.stats import pearsonr
from torch import nn

from _reference.dense import INDEX, Segmenter, images, probabilities, region
from lit_attr.attribution import DEA, Occlusion, Saliency
from lit_attr.metrics import MetricSuite, RegionRobustness
from lit_attr.metrics._changes import CHANGES
from lit_attr.metrics.functional import region_robustness
from lit_attr.metrics.similarity import spearman
from lit_attr.targets import RegionTarget

METHOD = Saliency(signed=True)


def one(i, move=lambda mask: mask):
    whole = region()
    return RegionTarget(whole.index[i : i + 1], move(whole.mask[i : i + 1]))


def plain(net, i, change, least, measure="pearson"):
    """One sample; None where the prediction did not hold."""
    image = images()[i : i + 1]
    moved = CHANGES[change](image, 0)
    before, now = (probabilities(net, x).argmax(1) == INDEX[i] for x in (image, moved))
    before = before.flip(2) if change == "flip" else before
    union = int((before | now).sum())
    if union and int((before & now).sum()) / union < least:
        return None
    a = METHOD(net, image, one(i)).sum(1, keepdim=True)
    b = METHOD(net, moved, one(i, (lambda mask: mask.flip(2)) if change == "flip" else (lambda mask: mask)))
    b = b.sum(1, keepdim=True)
    b = b.flip(3) if change == "flip" else b
    if measure == "spearman":
        return float(spearman(a, b))
    return pearsonr(a.flatten().numpy(), b.flatten().numpy()).statistic


class Mirrored(nn.Module):
    """Each pixel by itself: it does to a turned image what it does to the image, turned."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 5, 1, bias=False), nn.Tanh())
        self.head = nn.Conv2d(5, 4, 1, bias=False)
        self.double()

    def forward(self, x):
        return {"out": self.head(self.net(x - 0.5))}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("measure", ["pearson", "spearman"])
def test_a_plain_loop(change, measure):
    net = Segmenter()
    found = region_robustness(net, images(), region(), METHOD, change, measure, min_iou=0.8)
    expected = [plain(net, i, change, 0.8, measure) for i in range(4)]
    assert found.tolist() == pytest.approx([torch.nan if v is None else v for v in expected], nan_ok=True)
    assert any(value is not None for value in expected)


def test_only_what_is_predicted_as_before_counts():
    net, left = Mirrored(), []  # many pixels are near to another class
    for change in CHANGES:
        found = region_robustness(net, images(), region(), METHOD, change, min_iou=1.0)
        held = [plain(net, i, change, 1.0) is not None for i in range(4)]
        assert (~found.isnan()).tolist() == held
        assert region_robustness(net, images(), region(), METHOD, change, min_iou=0.0).isfinite().all()
        metric = RegionRobustness(change, min_iou=1.0)
        metric.update(net, images(), region(), METHOD(net, images(), region()), method=METHOD)
        assert metric.coverage() == pytest.approx(sum(held) / 4)
        assert (metric.count, metric.undefined) == (sum(held), 4 - sum(held))
        left += held
    assert 0 < sum(left) < len(left)


@pytest.mark.parametrize("method", [METHOD, Occlusion(grid=4), DEA(layer="net", grid=4)])
def test_a_flip_of_a_network_that_knows_no_sides_changes_no_map(method):
    found = region_robustness(Mirrored(), images(), region(), method, "flip")
    valued = found[~found.isnan()]  # a region of one pixel may have the same map everywhere
    assert len(valued) >= 3
    torch.testing.assert_close(valued, torch.ones_like(valued))


def test_a_constant_map_has_no_value():
    metric = RegionRobustness("brighter", min_iou=0.0)
    flat = torch.ones(4, 10, 8, dtype=torch.float64)
    metric.update(Segmenter(), images(), region(), flat, method=lambda model, x, target: flat)
    assert (metric.count, metric.undefined) == (0, 4)


def test_nothing_that_stays_nothing_holds():
    """A class that is nowhere called, of a true region."""

    class Other(Mirrored):
        def forward(self, x):
            return super().forward(x)["out"] + torch.tensor([0.0, -99.0, 0.0, 0.0]).view(4, 1, 1)

    found = region_robustness(Other(), images(), RegionTarget(1, region().mask), METHOD, "flip", min_iou=1.0)
    assert found.isfinite().all()


def test_what_is_not_finite_is_counted_as_invalid():
    net = Segmenter()

    def method(model, x, target):
        found = METHOD(net, x, target)
        return found.index_fill(0, torch.tensor([2]), torch.nan)

    metric = RegionRobustness("flip", min_iou=0.0)
    metric.update(net, images(), region(), METHOD(net, images(), region()), method=method)
    assert (metric.count, metric.undefined, metric.invalid) == (3, 0, 1)


def test_the_clean_prediction_is_shared_by_all_changes():
    net, seen, calls = Segmenter(), [], []
    net.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))

    def method(model, x, target):
        calls.append(len(x))
        return x + 1

    suite = MetricSuite({name: {"class": "region_robustness", "change": name} for name in CHANGES})
    suite.update(net, images(), region(), images() + 1, method=method)
    assert (sum(seen), sum(calls)) == (4 * (1 + len(CHANGES)), 4 * len(CHANGES))
    assert set(suite.compute()) == set(CHANGES)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"change": "rotate"}, "`change` is 'rotate'; accepted: blur, brighter, contrast, darker, flip, noise"),
        ({"measure": "dice"}, "`measure` is 'dice'; accepted: cosine, pearson, spearman, ssim, topk"),
        ({"min_iou": 1.5}, r"`min_iou` must be in \[0, 1\], got 1.5"),
        ({"seed": -1}, "`seed` must be an integer of at least 0, got -1"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        RegionRobustness(**settings)


def test_needs_a_region():
    net = nn.Sequential(nn.Flatten(), nn.Linear(240, 2)).double()
    with pytest.raises(ValueError, match="`target` must be a RegionTarget for a metric of segmentation, got int"):
        region_robustness(net, images(), 1, METHOD)

"""The order of the pixels, and what deletions share."""

import pytest
import torch

from _reference.dense import SIZE, Segmenter, images, maps, region
from lit_attr.metrics import Evaluation, MetricSuite
from lit_attr.metrics._region import Deleting, shuffled_ranks
from lit_attr.metrics.ranking import rank_map
from lit_attr.targets import RegionTarget


def explained(attribution, target=None):
    return Evaluation(Segmenter(), images(), region() if target is None else target).of(attribution)


def test_without_equal_values_the_order_is_that_of_the_values():
    found = explained(maps())
    for draw in (0, 1):
        assert torch.equal(shuffled_ranks(found, 0, draw)[:, 0], rank_map(maps()))


def test_equal_values_come_in_any_order_and_others_as_they_should():
    found, values = explained(maps(steps=1)), maps(steps=1).flatten(1)
    draws = [shuffled_ranks(found, seed, draw).flatten(1) for seed, draw in ((0, 0), (0, 1), (1, 0), (0, 0))]
    assert torch.equal(draws[0], draws[3])
    assert not torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    for ranks in draws:
        assert torch.equal(ranks.sort(1).values, torch.arange(80, dtype=torch.int32).expand(4, -1))
        assert bool((values.gather(1, ranks.argsort(1)).diff(dim=1) <= 0).all())


def test_a_constant_map_is_ordered_alike_in_every_sample_and_not_by_place():
    ranks = shuffled_ranks(explained(torch.ones(4, *SIZE)), 0).flatten(1)
    assert bool((ranks == ranks[0]).all())
    correlation = torch.corrcoef(torch.stack([ranks[0].double(), torch.arange(80.0).double()]))[0, 1]
    assert abs(float(correlation)) < 0.3


def test_all_metrics_of_the_same_deletions_share_them():
    net, target = Segmenter(), region()
    names = ["target_drop", "off_target_drop", "leakage_ratio"]
    suite = MetricSuite({name: {"fractions": (0.1, 0.3)} for name in names} | {"off_target_mass": None})
    seen = []
    net.register_forward_hook(lambda module, inputs, output: seen.append(len(inputs[0])))
    suite.update(net, images(), target, maps())
    assert sum(seen) == 4 * 3
    assert set(suite.compute()) == {*names, "off_target_mass"}


@pytest.mark.parametrize("target", [1, torch.tensor([0, 1, 2, 3]), None])
def test_what_is_no_region_is_refused(target):
    found = Evaluation(Segmenter(), images(), target).of(maps())
    with pytest.raises(ValueError, match="`target` must be a RegionTarget for a metric of segmentation, got"):
        Deleting("mean", (0.1,), 0, None)(found)


def test_a_region_without_off_target_pixels_is_refused():
    with pytest.raises(ValueError, match="`target` must be one with its off-target pixels, `others`"):
        Deleting("mean", (0.1,), 0, None)(explained(maps(), RegionTarget(1, region().mask)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fill": "grey"}, "`fill` is 'grey'"),
        ({"fractions": ()}, r"`fractions` must be shares in \(0, 1\), got \(\)"),
        ({"fractions": (0.1, 1.0)}, r"`fractions` must be shares in \(0, 1\)"),
        ({"seed": -1}, "`seed` must be an integer of at least 0, got -1"),
        ({"max_batch": 0}, "`max_batch` must be a positive integer, got 0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        Deleting(**({"fill": "mean", "fractions": (0.1,), "seed": 0, "max_batch": None} | settings))

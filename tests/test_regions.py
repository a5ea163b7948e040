"""Frozen regions against plain loops over the pixels."""

import pytest
import torch
from scipy import ndimage
from torch.overrides import TorchFunctionMode

from lit_attr.regions import RegionChoice, find_region, find_regions, off_target
from lit_attr.targets import RegionTarget

VOID = 255
SIZE = (12, 10)


def scene(batch=3, classes=4, seed=0):
    """Labels in blobs with a void border, and logits that are right about most of them."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(batch, classes, 3, 3, generator=generator)
    truth = torch.nn.functional.interpolate(coarse, SIZE, mode="bilinear")
    logits = truth + 0.5 * torch.randn(truth.shape, generator=generator)
    labels = truth.argmax(1)
    labels[:, 0] = VOID
    return logits, labels


def pixels():
    return ((y, x) for y in range(SIZE[0]) for x in range(SIZE[1]))


def plain_region(region, logits, labels, index):
    """One sample, pixel after pixel."""
    found = torch.zeros(SIZE, dtype=torch.bool)
    for y, x in pixels():
        true, called = int(labels[y, x]) == index, int(logits[:, y, x].argmax()) == index
        inside = {"tp": true and called, "gt": true, "pred": called, "component": true and called}[region]
        found[y, x] = inside and int(labels[y, x]) != VOID
    if region == "component" and found.any():
        parts, count = ndimage.label(found.numpy())
        sizes = [int((parts == i).sum()) for i in range(1, count + 1)]
        found = torch.from_numpy(parts == 1 + sizes.index(max(sizes)))
    return found


def plain_others(logits, labels, index, mask, rim):
    found = torch.zeros(SIZE, dtype=torch.bool)
    for y, x in pixels():
        near = mask[max(0, y - rim) : y + rim + 1, max(0, x - rim) : x + rim + 1].any()
        label, called = int(labels[y, x]), int(logits[:, y, x].argmax())
        found[y, x] = not near and label not in (VOID, index) and called != index
    return found


@pytest.mark.parametrize("region", ["tp", "pred", "gt", "component"])
@pytest.mark.parametrize("index", [1, torch.tensor([2, 0, 3])], ids=["one", "each"])
def test_a_region_is_what_a_loop_finds(region, index):
    logits, labels = scene()
    found = find_region(logits, labels, index, region)
    classes = [1] * 3 if isinstance(index, int) else index.tolist()
    expected = [plain_region(region, *parts) for parts in zip(logits, labels, classes, strict=True)]
    assert any(mask.any() for mask in expected)
    assert torch.equal(found, torch.stack(expected))


def test_regions_differ():
    logits, labels = scene(8)
    sizes = [int(find_region(logits, labels, 1, region).sum()) for region in ("component", "tp", "pred", "gt")]
    assert sizes[0] < sizes[1] < min(sizes[2:])


@pytest.mark.parametrize("rim", [0, 1, 3])
def test_the_off_target_pixels_are_what_a_loop_finds(rim):
    logits, labels = scene()
    mask = find_region(logits, labels, 1)
    found = off_target(logits, labels, 1, mask, rim=rim)
    expected = [plain_others(*parts, 1, m, rim) for *parts, m in zip(logits, labels, mask, strict=True)]
    assert torch.equal(found, torch.stack(expected))
    assert found.any()


def test_without_labels_the_prediction_is_all_that_is_known():
    logits, _ = scene()
    mask = find_region(logits, None, 1, "pred")
    assert torch.equal(mask, logits.argmax(1) == 1)
    found = off_target(logits, None, 1, mask, rim=0)
    assert torch.equal(found, ~mask)
    with pytest.raises(ValueError, match="`labels` must be given for region 'tp', got None"):
        find_region(logits, None, 1)


def plain_targets(logits, labels, region, rim, min_area, min_iou, min_others):
    kept, dropped, size = [], {"small": 0, "wrong": 0, "crowded": 0, "many": 0}, SIZE[0] * SIZE[1]
    for row in range(len(logits)):
        for index in sorted({int(v) for v in labels[row].flatten()} - {0, VOID}):
            z, y = logits[row], labels[row]
            mask = plain_region(region, z, y, index)
            predicted, true = plain_region("pred", z, y, index), plain_region("gt", z, y, index)
            others = plain_others(z, y, index, mask, rim)
            if int(mask.sum()) < max(1, min_area * size):
                dropped["small"] += 1
            elif int((predicted & true).sum()) / int((predicted | true).sum()) < min_iou:
                dropped["wrong"] += 1
            elif int(others.sum()) < min_others * size:
                dropped["crowded"] += 1
            else:
                kept.append((row, index, mask, others))
    return kept, dropped


@pytest.mark.parametrize("region", ["tp", "gt", "component"])
def test_the_targets_of_a_batch(region):
    logits, labels = scene(8)
    limits = {"rim": 1, "min_area": 0.05, "min_iou": 0.6, "min_others": 0.3}
    found = find_regions(logits, labels, region, "margin", **limits)
    kept, dropped = plain_targets(logits, labels, region, **limits)
    assert len(kept) > 3
    assert region == "gt" or all(dropped[reason] for reason in ("small", "wrong", "crowded"))
    assert found.dropped == dropped
    assert found.rows.tolist() == [row for row, *_ in kept]
    assert found.target.index.tolist() == [index for _, index, *_ in kept]
    assert torch.equal(found.target.mask, torch.stack([mask for *_, mask, _ in kept]))
    assert torch.equal(found.target.others, torch.stack([others for *_, others in kept]))
    assert (type(found.target), found.target.score) == (RegionTarget, "margin")


def test_the_most_targets_are_drawn_by_the_seed():
    logits, labels = scene(8)
    every = find_regions(logits, labels, rim=1)
    draws = [find_regions(logits, labels, rim=1, max_targets=4, seed=seed) for seed in (0, 0, 1)]
    pairs = [list(zip(d.rows.tolist(), d.target.index.tolist(), strict=True)) for d in (every, *draws)]
    assert pairs[1] == pairs[2] != pairs[3]
    assert all(len(p) == 4 and p == sorted(p) and set(p) < set(pairs[0]) for p in pairs[1:])
    assert draws[0].dropped["many"] == len(pairs[0]) - 4


def test_the_background_may_be_a_class_like_others():
    logits, labels = scene(8)
    assert 0 not in find_regions(logits, labels, rim=1).target.index
    assert 0 in find_regions(logits, labels, rim=1, background=None).target.index


def test_a_batch_without_a_target_has_none():
    logits, labels = scene(2)
    found = find_regions(logits, torch.zeros_like(labels))
    assert (found.rows.shape, found.target.mask.shape) == ((0,), (0, *SIZE))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"region": "tpp"}, "`region` is 'tpp'; accepted: component, gt, pred, tp; did you mean 'tp'"),
        ({"rim": -1}, "`rim` must be an integer of at least 0, got -1"),
        ({"min_iou": 2}, r"`min_iou` must be in \[0, 1\], got 2"),
        ({"max_targets": 0}, "`max_targets` must be a positive integer, got 0"),
        ({"score": "logits"}, "`score` is 'logits'"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        find_regions(*scene(1), **settings)


def test_labels_must_fit():
    logits, labels = scene(2)
    for bad in (labels.float(), labels[:1], labels[:, 1:], labels == 1):
        with pytest.raises(ValueError, match=r"`labels` must be an integer tensor \[2, 12, 10\], of the size of"):
            find_region(logits, bad, 1)
    with pytest.raises(ValueError, match=r"`logits` must be \[B, K, H, W\], got shape \(2, 4\)"):
        find_region(logits[..., 0, 0], labels, 1)


def test_without_labels_the_predicted_classes_are_explained():
    logits, _ = scene()
    found = find_regions(logits, None, "pred", rim=1, min_others=0.0)
    expected = [(row, k) for row in range(3) for k in range(1, 4) if (logits[row].argmax(0) == k).any()]
    assert list(zip(found.rows.tolist(), found.target.index.tolist(), strict=True)) == expected
    for (row, k), mask in zip(expected, found.target.mask, strict=True):
        assert torch.equal(mask, logits[row].argmax(0) == k)
    with pytest.raises(ValueError, match="`labels` must be given for region 'tp'"):
        find_regions(logits, None)


def test_a_choice_is_the_settings_of_find_regions():
    logits, labels = scene()
    settings = {"region": "gt", "score": "margin", "rim": 1, "min_area": 0.01, "min_iou": 0.2, "min_others": 0.0}
    found, expected = RegionChoice(**settings).find(logits, labels, VOID), find_regions(logits, labels, **settings)
    assert torch.equal(found.rows, expected.rows)
    assert torch.equal(found.target.mask, expected.target.mask)
    assert found.target.score == "margin"
    assert torch.equal(
        RegionChoice().find(logits, None).target.mask, find_regions(logits, None, "pred", min_others=0.0).target.mask
    )
    assert len(RegionChoice(min_area=1.0).find(logits, labels).rows) == 0
    everything = RegionChoice(min_area=1.0).of_any_size().find(logits, labels)
    assert torch.equal(everything.target.mask.any((1, 2)), torch.ones(len(everything.rows), dtype=torch.bool))


@pytest.mark.parametrize("wrong", [{"region": "all"}, {"score": "loss"}, {"rim": -1}, {"min_iou": 2.0}])
def test_a_choice_refuses_what_find_regions_refuses(wrong):
    with pytest.raises(ValueError, match=f"`{next(iter(wrong))}` must be|{next(iter(wrong))}"):
        RegionChoice(**wrong)


def test_the_logits_are_looked_at_once_however_many_regions_there_are():
    logits, labels = scene()
    seen = []

    class Watching(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            if any(arg is logits for arg in args):
                seen.append(getattr(function, "__name__", str(function)))
            return function(*args, **(kwargs or {}))

    with Watching():
        found = find_regions(logits, labels, rim=0, min_area=0.0, min_iou=0.0, min_others=0.0)
    assert len(found.rows) > 3
    assert seen.count("argmax") == 1
    assert "__getitem__" not in seen  # a copy for each region

"""Maps against masks: perfect maps, brute force, scikit-learn, and samples for which there is no answer."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt
from sklearn.metrics import roc_auc_score

from lit_attr.metrics import METRICS, Evaluation, MaskTopK, PointingGame, functional

NAMES = ["attribution_localisation", "mask_auc", "mask_topk", "pointing_game", "relevance_mass", "relevance_rank"]


def some(seed, size=4, side=6, levels=5):
    """Maps with ties, and masks of which none is empty or full."""
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randint(-2, levels - 2, (size, side, side), generator=generator).double()
    masks = torch.rand(size, side, side, generator=generator) < 0.3
    masks[:, 0, 0], masks[:, -1, -1] = True, False
    return maps, masks


def slow(name, values, mask):
    """One sample in plain Python; None where there is no value."""
    values, mask = values.flatten().tolist(), mask.flatten().tolist()
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    size, positive = sum(mask), sum(v for v in values if v > 0)
    constant = len(set(values)) == 1
    if name == "pointing_game":
        best = [i for i, v in enumerate(values) if v == max(values)]
        return sum(mask[i] for i in best) / len(best) if size else None
    if name in {"relevance_mass", "attribution_localisation"}:
        if not size or not positive:
            return None
        share = sum(v for v, m in zip(values, mask, strict=True) if m and v > 0) / positive
        return share if name == "relevance_mass" else share * len(values) / size
    if name == "relevance_rank":
        return sum(mask[i] for i in order[:size]) / size if size and positive and not constant else None
    if name == "mask_topk":
        count = max(1, round(0.02 * len(values)))
        return sum(mask[i] for i in order[:count]) / count if size and not constant else None
    return roc_auc_score(mask, values) if 0 < size < len(values) else None


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(1, 6), st.sampled_from(["some", "none", "all"]))
def test_against_plain_python(name, seed, size, levels, kind):
    maps, masks = some(seed, size, levels=levels)
    if kind != "some":
        masks[0] = kind == "all"
    found = getattr(functional, name)(maps, masks)
    for value, one, mask in zip(found, maps, masks, strict=True):
        expected = slow(name, one, mask)
        assert bool(value.isnan()) == (expected is None)
        if expected is not None:
            assert float(value) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_mask_itself_is_the_best_map(name):
    _, masks = some(3)
    share = masks.flatten(1).double().mean(1)
    best = 1 / share if name == "attribution_localisation" else torch.ones(4, dtype=torch.float64)
    torch.testing.assert_close(getattr(functional, name)(masks.float(), masks), best)
    torch.testing.assert_close(METRICS.build(name).per_sample(evaluated(masks.float(), masks)), best)


def evaluated(maps, masks):
    inputs = torch.rand(len(maps), 3, *maps.shape[1:], dtype=torch.float64)
    return Evaluation(torch.nn.Identity(), inputs, 0, masks).of(maps)


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_does_not_depend_on_its_batch(name):
    maps, masks = some(5, size=6)
    function = getattr(functional, name)
    alone = torch.cat([function(maps[i : i + 1], masks[i : i + 1]) for i in range(6)])
    assert torch.equal(function(maps, masks), alone)


@pytest.mark.parametrize("name", NAMES)
def test_increasing_maps_of_ranked_metrics(name):
    maps, masks = some(7)
    function = getattr(functional, name)
    same = torch.allclose(function(maps, masks), function(maps.exp(), masks), rtol=0, atol=1e-12)
    assert same == (name not in {"relevance_mass", "attribution_localisation"})


@pytest.mark.parametrize("tolerance", [0, 1, 2, 5, 40])
def test_tolerance_is_the_distance_to_the_object(tolerance):
    generator = torch.Generator().manual_seed(1)
    maps = torch.rand(20, 12, 9, generator=generator)
    masks = torch.rand(20, 12, 9, generator=generator) < 0.02
    found = functional.pointing_game(maps, masks, tolerance)
    for value, one, mask in zip(found, maps.numpy(), masks.numpy(), strict=True):
        if not mask.any():
            assert value.isnan()
            continue
        place = np.unravel_index(one.argmax(), one.shape)
        assert float(value) == float(distance_transform_edt(~mask)[place] <= tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_without_an_object_a_sample_is_left_out_and_counted(name, cnn, counting, batch):
    images, attribution = batch()
    masks = some(2)[1]
    masks[1] = False
    attribution[2, 0, 0, 0] = torch.inf
    model, metric = counting(cnn()), METRICS.build(name)
    metric.update(model, images, None, attribution, masks=masks)
    assert (metric.count, metric.undefined, metric.invalid) == (2, 1, 1)
    expected = getattr(functional, name)(attribution.sum(1), masks)
    assert expected.isnan().tolist() == [False, True, True, False]
    with pytest.warns(UserWarning, match=f"{name} leaves out samples without a value: the mask is empty"):
        assert float(metric.compute()) == pytest.approx(float(expected.nanmean()), rel=1e-6)
    assert model.samples == metric.passes.forward == metric.explanations == 0
    with pytest.raises(ValueError, match="`masks` must be given"):
        metric.update(model, images, None, attribution)


@pytest.mark.parametrize("name", NAMES)
def test_maps_that_say_nothing(name):
    """Chance, where there is such a thing."""
    masks = torch.zeros(1, 4, 4, dtype=torch.bool)
    masks[0, :2, :2] = True
    function = getattr(functional, name)
    flat, zero = (float(function(torch.full((1, 4, 4), level), masks)) for level in (2.0, 0.0))
    chance = {"mask_auc": 0.5, "pointing_game": 0.25}
    expected = {"relevance_mass": 0.25, "attribution_localisation": 1.0} | chance
    assert flat == pytest.approx(expected.get(name, torch.nan), nan_ok=True)
    assert zero == pytest.approx(chance.get(name, torch.nan), nan_ok=True)


def test_large_values_do_not_overflow():
    maps = torch.full((1, 2, 2), 1e308, dtype=torch.float64)
    masks = torch.tensor([[[True, False], [False, False]]])
    assert functional.relevance_mass(maps, masks).item() == 0.25


def test_shapes_and_settings_are_checked():
    maps, masks = some(0)
    with pytest.raises(ValueError, match=r"`masks` must be bool, .* got torch.bool .* for maps \(4, 3, 6, 6\)"):
        functional.mask_auc(maps[:, None].expand(-1, 3, -1, -1), masks)
    with pytest.raises(ValueError, match="`masks` must be bool"):
        functional.mask_auc(maps, masks.long())
    with pytest.raises(ValueError, match="`tolerance` must be an integer of at least 0, got -1"):
        PointingGame(-1)
    with pytest.raises(ValueError, match=r"`tolerance` must be zero for masks that are not \[B, H, W\], got 2"):
        functional.pointing_game(maps.flatten(1), masks.flatten(1), 2)
    for bad in (0, 1.5, -3, True):
        with pytest.raises(ValueError, match=r"`k` must be a share in \(0, 1\), or a positive integer"):
            MaskTopK(bad)

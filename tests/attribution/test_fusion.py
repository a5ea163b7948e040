"""The fusion by itself: what it promises for any two kinds of evidence."""

import pytest
import torch

from lit_attr.attribution._cells import cells_of
from lit_attr.attribution._fusion import Weights, by_largest, correlated, fuse, to_unit

SIZE = (12, 15)
SCORE = torch.tensor([0.8, 0.9, 0.5], dtype=torch.float64)
DEFAULT = Weights(lam=0.5, beta=1.0, smooth=True)


def drawn(*shape, seed=0):
    return torch.rand(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def evidence(seed=0):
    """A gradient in [0, 1] and signed effects of a 4x4 grid."""
    gradient = to_unit((drawn(3, 1, *SIZE, seed=seed) - 0.5).relu(), 0.99)
    return gradient, drawn(3, 16, seed=seed + 1) - 0.3, cells_of(gradient, "grid", 4)


def gated(share, rows=3):
    return torch.full((rows, 1), share, dtype=torch.float64)


def unit(maps):
    return maps / maps.amax((1, 2, 3), keepdim=True)


def plain(gradient, effects, gate, lam, beta):
    """One sample on a grid of steps, pixel after pixel."""
    r = [max(float(d), 0.0) for d in effects]
    r = [value / max(r) for value in r]
    numbers = [[(y * 4 // SIZE[0]) * 4 + x * 4 // SIZE[1] for x in range(SIZE[1])] for y in range(SIZE[0])]
    g = []
    for cell in range(16):
        inside = [float(gradient[y, x]) for y in range(SIZE[0]) for x in range(SIZE[1]) if numbers[y][x] == cell]
        g.append(sum(inside) / len(inside))
    g = [value / max(g) for value in g]
    a = [2 * min(p, q) / (p + q) if p + q >= 1e-6 else 0.0 for p, q in zip(g, r, strict=True)]
    found, w = torch.zeros(SIZE, dtype=torch.float64), (1 - lam) * gate
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            big, cell = float(gradient[y, x]), numbers[y][x]
            found[y, x] = w * big + (1 - w) * r[cell] + beta * a[cell] * (big * r[cell]) ** 0.5
    return found / found.max(), a


@pytest.mark.parametrize(("lam", "beta", "gate"), [(0.5, 1.0, 0.6), (0.2, 0.0, 1.0), (0.9, 2.0, 0.0)])
def test_a_plain_loop(lam, beta, gate):
    gradient, effects, cells = evidence()
    found = fuse(gradient, effects, SCORE, gated(gate), cells, Weights(lam, beta, smooth=False))
    for i in range(3):
        expected, agreement = plain(gradient[i, 0], effects[i], gate, lam, beta)
        torch.testing.assert_close(found.fused[i, 0], expected)
        assert found.agreement[i].tolist() == pytest.approx(agreement)
    assert not found.degenerate.any()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("weights", [DEFAULT, Weights(0.1, 3.0, smooth=False)])
def test_the_range_is_that_of_shares(seed, weights):
    found = fuse(*evidence(seed)[:2], SCORE, gated(0.7), evidence(seed)[2], weights).fused
    assert bool((found >= 0).all())
    assert found.amax((1, 2, 3)).tolist() == [1, 1, 1]


@pytest.mark.parametrize("size", [1e-6, 1e3])
def test_the_scale_of_the_effects_says_nothing(size):
    gradient, effects, cells = evidence()
    one = fuse(gradient, effects, SCORE, gated(0.7), cells, DEFAULT)
    other = fuse(gradient, size * effects, size * SCORE, gated(0.7), cells, DEFAULT)
    torch.testing.assert_close(other.fused, one.fused)


def test_the_region_alone_and_the_gradient_alone():
    gradient, effects, cells = evidence()
    falls = effects.clamp_min(0) / effects.amax(1, keepdim=True)
    region = cells.spread(falls, smooth=True)
    alone = fuse(gradient, effects, SCORE, gated(1.0), cells, Weights(1.0, 0.0, smooth=True))
    torch.testing.assert_close(alone.fused, unit(region))
    torch.testing.assert_close(alone.region, region)
    alone = fuse(gradient, effects, SCORE, gated(1.0), cells, Weights(0.0, 0.0, smooth=True))
    torch.testing.assert_close(alone.fused, unit(gradient))


def test_causal_support_is_kept_where_the_gradient_is_not_trusted_or_is_not_there():
    gradient, effects, cells = evidence()
    region = cells.spread(effects.clamp_min(0) / effects.amax(1, keepdim=True), smooth=True)
    untrusted = fuse(gradient, effects, SCORE, gated(0.0), cells, Weights(0.5, 0.0, smooth=True))
    torch.testing.assert_close(untrusted.fused, unit(region))
    missing = fuse(0 * gradient, effects, SCORE, gated(1.0), cells, DEFAULT)
    torch.testing.assert_close(missing.fused, unit(region))


def before_division(gradient, effects, weights, gate):
    """E itself: with a pixel at which G, R and a are one, E is largest there and known."""
    gradient, effects = gradient.clone(), effects.clone()
    cells = cells_of(gradient, "grid", 4)
    gradient[:, :, :3, :3], effects[:, 0] = 1, effects.amax(1) + 1  # the first cell, all of it
    found = fuse(gradient, effects, SCORE, gated(gate), cells, weights._replace(smooth=False))
    return found.fused * (1 + weights.beta), gradient, found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("beta", [0.0, 1.0])
@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
def test_a_share_of_the_region_is_never_lost(lam, beta, seed):
    """Which a product of both would lose wherever the gradient is zero."""
    gradient, effects, _ = evidence(seed)
    whole, _, found = before_division(gradient, effects, Weights(lam, beta, smooth=True), 1.0)
    assert bool((whole >= lam * found.region - 1e-12).all())
    assert bool(((found.region > 0.1) & (gradient == 0)).any())


def test_agreement_adds_where_both_are_and_nowhere_else():
    gradient, effects, _ = evidence()
    weights = Weights(0.5, 1.0, smooth=True)
    whole, used, found = before_division(gradient, effects, weights, 0.7)
    without, _, _ = before_division(gradient, effects, weights._replace(beta=0.0), 0.7)
    bonus, cells = whole - without, cells_of(gradient, "grid", 4)
    expected = cells.spread(found.agreement) * (used * found.region).sqrt()
    torch.testing.assert_close(bonus, expected)
    assert not bonus[(used == 0) | (found.region == 0)].any()
    assert bonus.amax() == 1


def test_for_a_given_sum_the_bonus_is_largest_where_both_are_equal():
    """One cell, whose evidence is split in every way; a cell of one for both keeps the scales."""
    gradient = torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    gradient[0, 0, 0], bonus = 1.0, []
    shares = [0.1, 0.3, 0.4, 0.5, 0.6, 0.9]
    for share in shares:
        gradient[0, 0, 1] = share
        cells = cells_of(gradient, "grid", 2)
        effects = torch.tensor([[1.0, 1.0, 1 - share, 1 - share]], dtype=torch.float64)
        found = [
            fuse(gradient, effects, SCORE[:1], gated(0.5, 1), cells, Weights(0.5, b, smooth=False)) for b in (0, 1)
        ]
        bonus.append(float((2 * found[1].fused - found[0].fused)[0, 0, 1, 0]))
    assert bonus.index(max(bonus)) == shares.index(0.5)
    assert bonus[3] == pytest.approx(0.5)


def test_where_both_are_nothing_there_is_no_agreement():
    gradient, effects, cells = evidence()
    gradient[:, :, :3, :3], effects[:, 0] = 0, -0.5
    found = fuse(gradient, effects, SCORE, gated(1.0), cells, Weights(0.5, 1.0, smooth=False))
    assert found.agreement[:, 0].tolist() == [0, 0, 0]
    assert not found.fused[:, :, :3, :3].any()


@pytest.mark.parametrize("effects", [0.0, -0.2, 1e-5])
def test_where_no_cell_matters_the_gradient_is_left(effects):
    gradient, others, cells = evidence()
    others[1] = effects
    found = fuse(gradient, others, SCORE, gated(0.5), cells, DEFAULT)
    assert found.degenerate.tolist() == [False, True, False]
    assert torch.equal(found.fused[1], gradient[1])
    assert found.fused.isfinite().all()


def test_nothing_at_all_is_zero():
    gradient, effects, cells = evidence()
    found = fuse(0 * gradient, -effects.abs(), SCORE, gated(0.0), cells, DEFAULT)
    assert not found.fused.any()
    assert found.degenerate.all()


def test_a_gate_of_each_cell():
    gradient, effects, cells = evidence()
    gate = drawn(3, 16, seed=9)
    found = fuse(gradient, effects, SCORE, gate, cells, Weights(0.5, 0.0, smooth=False)).fused
    falls = cells.spread(effects.clamp_min(0) / effects.amax(1, keepdim=True))
    w = 0.5 * cells.spread(gate)
    torch.testing.assert_close(found, unit(w * gradient + (1 - w) * falls))


def test_values_over_a_quantile_are_cut_off():
    maps = drawn(3, 1, 20, 10)
    found = to_unit(maps, 0.9)
    assert found.amax((1, 2, 3)).tolist() == [1, 1, 1]
    for values, given in zip(found, maps, strict=True):
        assert int((values == 1).sum()) == 20
        assert float((given / values)[values < 1].std()) < 1e-12
    torch.testing.assert_close(to_unit(1e-6 * maps, 0.9), found)


def test_few_values_are_divided_by_the_largest():
    maps = torch.zeros(2, 1, 20, 20)
    maps[0, 0, 3, 3], maps[0, 0, 4, 4] = 4, 2
    found = to_unit(maps, 0.99)
    assert (found[0, 0, 3, 3], found[0, 0, 4, 4], found[0].sum(), found[1].sum()) == (1, 0.5, 1.5, 0)


def test_rows_are_divided_by_their_largest():
    assert by_largest(torch.tensor([[1.0, 4.0], [0.0, 0.0]])).tolist() == [[0.25, 1], [0, 0]]


def test_correlation_is_of_the_cells_that_exist_and_positive():
    one, other = drawn(4, 9), drawn(4, 9, seed=1)
    exists = torch.ones(4, 9, dtype=torch.bool)
    exists[1, 6:] = False
    other[2] = 3 * one[2] + 1
    other[3] = -one[3]
    found = correlated(one, other, exists)
    for i in range(4):
        pair = torch.stack([one[i], other[i]])[:, exists[i]]
        assert found[i].item() == pytest.approx(max(float(torch.corrcoef(pair)[0, 1]), 0), abs=1e-12)
    assert found[2] == pytest.approx(1)
    assert found[3] == 0


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_constant_row_has_no_correlation(value, dtype):
    constant = torch.full((2, 7), value, dtype=dtype)
    varied, exists = drawn(2, 7).to(dtype), torch.ones(2, 7, dtype=torch.bool)
    assert correlated(constant, varied, exists).tolist() == [0, 0]
    assert correlated(varied, constant, exists).tolist() == [0, 0]

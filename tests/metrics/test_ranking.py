"""Order of positions."""

import pytest
import torch
from scipy.stats import rankdata

from lit_attr.metrics.ranking import (
    RANKS,
    average_ranks,
    channel_axis,
    position_map,
    rank_map,
    ranks_by,
    top_count,
)


def test_ranks_are_descending_and_ties_go_by_index():
    positions = torch.tensor([[3.0, 1.0, 3.0, -2.0], [0.0, 0.0, -0.0, 0.0]])
    assert rank_map(positions).tolist() == [[0, 2, 1, 3], [0, 1, 2, 3]]


def test_ranks_keep_the_shape():
    ranks = rank_map(torch.randn(2, 1, 3, 5))
    assert ranks.shape == (2, 1, 3, 5)
    assert all(sorted(r.flatten().tolist()) == list(range(15)) for r in ranks)


def test_strictly_increasing_transform_keeps_the_ranks():
    positions = torch.randn(3, 1, 4, 4)
    assert torch.equal(rank_map(positions), rank_map(positions.exp() * 7 - 2))


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 1, 4, 5), (2, 4, 5)])
def test_images_take_maps_with_and_without_channels(shape):
    attribution = torch.randn(shape, requires_grad=True)
    found = position_map(attribution, torch.rand(2, 3, 4, 5))
    expected = attribution if len(shape) == 3 else attribution.sum(1)
    assert found.shape == (2, 1, 4, 5)
    assert not found.requires_grad
    assert torch.equal(found[:, 0], expected.detach())


def test_sign_is_kept_in_the_sum():
    attribution = torch.tensor([[[[1.0, 2.0]], [[-4.0, -1.0]]]])
    assert position_map(attribution, torch.rand(1, 2, 1, 2)).tolist() == [[[[-3.0, 1.0]]]]


def test_features_have_no_channels_and_tokens_have_them_last():
    assert channel_axis(torch.rand(2, 7)) is None
    assert position_map(torch.randn(2, 7), torch.rand(2, 7)).shape == (2, 7)
    for shape in [(2, 6, 8), (2, 6, 1), (2, 6)]:
        assert position_map(torch.randn(shape), torch.rand(2, 6, 8)).shape == (2, 6, 1)


def test_half_precision_is_summed_in_float32_and_float64_stays():
    inputs = torch.rand(1, 3, 2, 2)
    large = torch.full((1, 3, 2, 2), 6e4, dtype=torch.float16)
    assert position_map(large, inputs).dtype == torch.float32
    assert position_map(large, inputs).isfinite().all()
    assert position_map(large.double(), inputs).dtype == torch.float64


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (2, 2, 4, 5), (2, 5, 4), (1, 4, 5), (2, 20), (2, 1, 1, 4, 5)])
def test_size_mismatch_names_both_shapes(shape):
    text = str(shape).replace("(", r"\(").replace(")", r"\)")
    with pytest.raises(ValueError, match=rf"`attribution` must be of the size.*got {text} for inputs \(2, 3, 4, 5\)"):
        position_map(torch.zeros(shape), torch.rand(2, 3, 4, 5))


def test_features_refuse_a_channel_axis():
    with pytest.raises(ValueError, match=r"got \(2, 1\) for inputs \(2, 7\)"):
        position_map(torch.zeros(2, 1), torch.rand(2, 7))


def test_average_ranks_against_scipy():
    maps = torch.randint(-3, 4, (5, 4, 6), generator=torch.Generator().manual_seed(0)).float()
    maps[0, 0, 0], maps[0, 0, 1] = 0.0, -0.0
    expected = rankdata(maps.flatten(1).numpy(), axis=1)
    assert torch.equal(average_ranks(maps), torch.from_numpy(expected))


def test_top_count():
    assert [top_count(k, 50) for k in (0.02, 0.001, 0.999, 1, 7, 80)] == [1, 1, 50, 1, 7, 50]


def plain_ranks(values):
    """Ranks of a flat list, largest first, equal ones by index."""
    order = sorted(range(len(values)), key=lambda p: (-values[p], p))
    return [order.index(p) for p in range(len(values))]


MAPS = {
    "sum": lambda a: a.sum(0),
    "abs_sum": lambda a: a.abs().sum(0),
    "abs_of_sum": lambda a: a.sum(0).abs(),
    "max": lambda a: a.amax(0),
}


@pytest.mark.parametrize("rank", MAPS)
def test_positions_are_ranked_by_one_number_of_their_channels(rank):
    attribution = torch.randn(2, 3, 4, 5).mul(2).round()
    found = ranks_by(rank, attribution, torch.rand(2, 3, 4, 5))
    assert found.shape == (2, 1, 4, 5)
    for i in range(2):
        assert found[i].flatten().tolist() == plain_ranks(MAPS[rank](attribution[i]).flatten().tolist())


def test_union_is_the_best_rank_of_the_channels():
    attribution = torch.randn(2, 3, 4, 5)
    found = ranks_by("union", attribution, torch.rand(2, 3, 4, 5))
    assert found.shape == (2, 1, 4, 5)
    for i in range(2):
        channels = [plain_ranks(channel.flatten().tolist()) for channel in attribution[i]]
        assert found[i].flatten().tolist() == [min(ranks) for ranks in zip(*channels, strict=True)]


def test_elements_are_ranked_together():
    attribution = torch.randn(2, 3, 4, 5)
    found = ranks_by("element", attribution, torch.rand(2, 3, 4, 5))
    assert found.shape == (2, 3, 4, 5)
    for i in range(2):
        assert found[i].flatten().tolist() == plain_ranks(attribution[i].flatten().tolist())
    spread = ranks_by("element", attribution[:, 0], torch.rand(2, 3, 4, 5))
    assert sorted(spread[0].flatten().tolist()) == list(range(60))


def test_tokens_have_their_channels_last():
    attribution = torch.randn(2, 6, 3)
    assert ranks_by("union", attribution, attribution).shape == (2, 6, 1)
    moved = ranks_by("union", attribution.movedim(2, 1)[..., None], torch.rand(2, 3, 6, 1))
    assert torch.equal(ranks_by("union", attribution, attribution)[..., 0], moved[:, 0, :, 0])


@pytest.mark.parametrize("rank", RANKS)
def test_features_have_one_number_each(rank):
    attribution = torch.randn(2, 7)
    used = attribution.abs() if rank.startswith("abs") else attribution
    assert torch.equal(ranks_by(rank, attribution, attribution), rank_map(used))

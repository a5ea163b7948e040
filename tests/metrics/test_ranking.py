"""Order of positions."""

import pytest
import torch
from scipy.stats import rankdata

from lit_attr.metrics.ranking import average_ranks, channel_axis, position_map, rank_map, top_count


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

"""Control maps."""

import pytest
import torch

from lit_attr._checks import ArgumentError
from lit_attr.benchmark.controls import CONTROLS, EdgeMap, MaskMap, OracleMap, RandomMap, UniformMap


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 6), (2, 7, 3)])
@pytest.mark.parametrize("control", [RandomMap(), UniformMap()])
def test_one_channel_of_any_input(shape, control):
    expected = {4: (2, 1, 4, 5), 2: (2, 6), 3: (2, 7, 1)}[len(shape)]
    assert control.maps(torch.rand(shape), ["a", "b"], None).shape == expected


def test_random_maps_are_of_the_sample_and_the_seed():
    x = torch.rand(3, 1, 4, 4)
    maps = RandomMap().maps(x, ["a", "b", "c"], None)
    assert torch.equal(RandomMap().maps(x[:2], ["c", "a"], None), maps[[2, 0]])
    assert not torch.equal(RandomMap(seed=1).maps(x, ["a", "b", "c"], None), maps)
    assert len(maps.flatten(1).unique(dim=0)) == 3


def test_edges_are_sobels():
    ramp = torch.arange(5.0).expand(1, 2, 5, 5)  # one per pixel from left to right: Sobel's weights sum to 8 inside
    found = EdgeMap().maps(ramp, ["a"], None)
    assert found.shape == (1, 1, 5, 5)
    assert torch.equal(found[0, 0, :, 1:-1], torch.full((5, 3), 8.0))
    assert torch.equal(EdgeMap().maps(ramp.mT, ["a"], None), found.mT)
    assert not EdgeMap().maps(torch.ones(1, 3, 4, 4), ["a"], None).any()


def test_edges_are_of_images():
    with pytest.raises(ArgumentError, match="`controls` must be others for inputs"):
        EdgeMap().maps(torch.rand(2, 4), ["a", "b"], None)


def test_the_mask_is_the_map():
    masks = torch.rand(2, 4, 4) > 0.5
    assert torch.equal(MaskMap().maps(torch.rand(2, 3, 4, 4), ["a", "b"], masks), masks[:, None].float())
    with pytest.raises(ArgumentError, match="`controls` must be others for data without masks, got mask"):
        MaskMap().maps(torch.rand(2, 3, 4, 4), ["a", "b"], None)


def test_by_name():
    assert CONTROLS.names() == ["edges", "mask", "oracle", "random", "uniform"]
    with pytest.raises(ValueError, match=r"unknown control 'edge'.*did you mean 'edges'"):
        CONTROLS.build_all(["edge"])


def test_the_oracle_is_what_is_known_and_nothing_without_it():
    causes = torch.rand(2, 4, 4) > 0.5
    assert OracleMap.NEEDS_CAUSES
    assert torch.equal(OracleMap().maps(torch.rand(2, 3, 4, 4), ["a", "b"], causes)[:, 0], causes.float())
    with pytest.raises(ArgumentError, match="data whose causes are not known"):
        OracleMap().maps(torch.rand(2, 3, 4, 4), ["a", "b"], None)

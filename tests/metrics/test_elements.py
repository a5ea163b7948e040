"""Maps of the size of the inputs, and draws that belong to no batch."""

import pytest
import torch
from torch import nn

from lit_attr.metrics import Evaluation
from lit_attr.metrics._elements import element_map, generator_of, moves, named


@pytest.mark.parametrize(
    ("inputs", "attribution"),
    [
        ((2, 3, 4, 5), (2, 3, 4, 5)),
        ((2, 3, 4, 5), (2, 1, 4, 5)),
        ((2, 3, 4, 5), (2, 4, 5)),
        ((2, 7), (2, 7)),
        ((2, 6, 4), (2, 6, 4)),
        ((2, 6, 4), (2, 6, 1)),
        ((2, 6, 4), (2, 6)),
    ],
)
def test_element_map_has_the_shape_of_the_inputs_and_the_sums_of_the_positions(inputs, attribution):
    explained = Evaluation(nn.Identity(), torch.rand(inputs)).of(torch.randn(attribution))
    found = element_map(explained)
    assert (found.shape, found.dtype) == (torch.Size(inputs), torch.float64)
    axis = {2: None, 3: 2}.get(len(inputs), 1)
    sums = found if axis is None else found.sum(axis, keepdim=True)
    torch.testing.assert_close(sums, explained.positions.double())
    if inputs == attribution:
        assert torch.equal(found.float(), explained.attribution)


def test_draws_differ_by_number_and_seed_and_are_repeated():
    first = [torch.rand(3, generator=generator_of(*key)).tolist() for key in [(0, 0), (0, 1), (1, 0), (1, 10), (11, 0)]]
    assert len(set(map(tuple, first))) == 5
    assert torch.rand(3, generator=generator_of(0, 1)).tolist() == first[1]


def test_moves_looks_beyond_rounding():
    score = torch.tensor([100.0, 100.0, 0.0, 0.0, 1.0])
    differences = torch.tensor([[0.0, 3e-5], [0.0, -1e-3], [0.0, 1e-12], [0.0, 0.0], [0.0, torch.nan]])
    assert moves(differences, score).tolist() == [False, True, True, False, True]


def test_settings_by_name():
    found = [named(setting) for setting in ("black", 0.5, torch.zeros_like, torch.zeros(1), nn.ReLU())]
    assert found == ["black", 0.5, "zeros_like", "Tensor", "ReLU"]

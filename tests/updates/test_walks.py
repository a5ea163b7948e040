import torch

from lit_attr.updates import Walks, at_goal, left_class


def test_walks_of_a_sample_lie_side_by_side():
    walks = Walks.of(torch.tensor([[3, 1], [0, 2], [2, 2]]), torch.tensor([1.0, -1.0]))
    assert walks.rows.tolist() == [0, 0, 1, 1, 2, 2]
    assert walks.goal.tolist() == [3, 1, 0, 2, 2, 2]
    assert walks.toward.tolist() == [1, -1] * 3
    assert walks.path.tolist() == [0, 1] * 3
    assert walks.paths == 2


def test_one_direction_for_all():
    assert Walks.of(torch.tensor([[3], [1]]), -1).toward.tolist() == [-1, -1]
    assert Walks.of(torch.tensor([[3], [1]])).toward.tolist() == [1, 1]


def test_no_samples_or_no_walks():
    for shape in [(0, 3), (3, 0)]:
        walks = Walks.of(torch.zeros(shape, dtype=torch.long))
        assert [len(values) for values in walks[:4]] == [0] * 4
        assert walks.paths == shape[1]


def test_some_of_them():
    walks = Walks.of(torch.tensor([[3, 1], [0, 2]]), torch.tensor([1.0, -1.0]))
    some = walks.at(torch.tensor([3, 0]))
    assert [values.tolist() for values in some[:4]] == [[1, 0], [2, 3], [-1, 1], [1, 0]]
    assert some.paths == 2
    assert some.keys is None


def test_keys_go_with_their_walks():
    keys = torch.tensor([[5, 6], [7, 8]])
    walks = Walks.of(torch.zeros(2, 2, dtype=torch.long), keys=keys)
    assert walks.keys.tolist() == [5, 6, 7, 8]
    assert walks.at(torch.tensor([3, 0])).keys.tolist() == [8, 5]


def test_arrival():
    evidence = torch.tensor([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    walks = Walks.of(torch.tensor([[1], [1], [0]]))
    assert left_class(evidence, walks).tolist() == [False, True, True]
    assert at_goal(evidence, walks).tolist() == [True, False, False]

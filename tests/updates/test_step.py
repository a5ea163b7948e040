import torch

from lit_attr.updates import Step, Walks


def step(path, paths, points=None, ascents=None, together=1, keys=None):
    points = torch.zeros(len(path), 2, 3) if points is None else points
    return Step(
        points=points,
        origin=points,
        ascent=points,
        number=0,
        steps=1,
        walks=Walks(
            torch.arange(len(path)) // paths, torch.zeros(len(path)).long(), None, torch.tensor(path), paths, keys
        ),
        view=None,
        generator=torch.Generator().manual_seed(7),
        losses=None,
        ascents=ascents,
        together=together,
    )


def test_draws_are_those_of_the_path_whoever_else_is_under_way():
    every, few = step([0, 1, 2, 0, 1, 2], 3), step([2, 0], 3)
    for draw in ("normal", "uniform"):
        a, b = getattr(every, draw)(), getattr(few, draw)()
        assert torch.equal(a[:3], a[3:])  # two samples
        assert torch.equal(a[[2, 0]], b)
        assert not torch.equal(a[0], a[1])


def test_draws_of_walks_with_keys_are_those_of_the_key():
    every = step([0, 0, 0], 1, keys=torch.tensor([4, 2, 9]))
    few = step([0, 0], 1, keys=torch.tensor([9, 4]))
    for draw in ("normal", "uniform"):
        a, b, again = getattr(every, draw)(), getattr(few, draw)(), getattr(every, draw)()
        assert a.shape == every.points.shape
        assert torch.equal(a[[2, 0]], b)
        assert not torch.equal(a[0], a[1])
        assert not torch.equal(a, again)
        assert torch.equal(again[[2, 0]], getattr(few, draw)())


def test_distributions():
    one = step([0], 1, points=torch.zeros(1, 20_000))
    normal, uniform = one.normal(), one.uniform()
    assert abs(float(normal.mean())) < 0.03
    assert abs(float(normal.std()) - 1) < 0.03
    assert 0 <= float(uniform.min()) < float(uniform.max()) < 1
    assert abs(float(uniform.mean()) - 0.5) < 0.01


def test_mean_over_variants_in_sets_of_any_size():
    points, seen = torch.rand(2, 3), []

    def ascents(at, objective):
        assert objective is None
        seen.append(len(at))
        return at**2

    for together, sizes in [(1, [2] * 5), (4, [4, 4, 2]), (100, [10])]:
        seen.clear()
        found = step([0, 0], 1, points, ascents, together).mean_ascent(lambda x, i: x + i, 5)
        torch.testing.assert_close(found, torch.stack([(points + i) ** 2 for i in range(5)]).mean(0))
        assert seen == sizes


def test_gradients_of_variants_go_back_to_the_points():
    """Of x / 2^i the gradient of the sum of cubes / 3 is (x / 2^i)^2 / 2^i."""
    points = torch.rand(2, 3)
    found = step([0, 0], 1, points, lambda at, _: at.square(), 2).mean_ascent(lambda x, i: x / 2**i, 3)
    torch.testing.assert_close(found, points**2 * (1 + 1 / 8 + 1 / 64) / 3)
    assert not found.requires_grad

"""ISA against a plain loop for one sample, and its ranks."""

import pytest
import torch
from torch import nn

from _reference.nets import Function, Recorder, mlp
from lit_attr.attribution import ISA


def by_hand(net, x, y, *, rounds, ascent, descent, alpha, penalty, noise, span, bounds, floors):
    """The published steps for one sample `[D]`, with the corrections that the module names."""
    generator = torch.Generator().manual_seed(0)
    features = len(x)
    left, found = list(range(features)), torch.zeros(features, dtype=torch.float64)
    longer_first = [(ascent, 1), (descent, -1)] if ascent >= descent else [(descent, -1), (ascent, 1)]
    for number in range(rounds):
        mask = torch.zeros_like(x)
        mask[left] = 1
        draws = [torch.randn(2, features, generator=generator).double() for _ in range(max(ascent, descent))]
        effect = torch.zeros_like(x)
        for which, (steps, sign) in enumerate(longer_first):
            at, losses, total = x * mask, [], torch.zeros_like(x)
            for draw in draws[:steps]:
                point = at.clone().requires_grad_()
                cross_entropy = nn.functional.cross_entropy(net((point + noise * draw[which] * mask)[None]), y[None])
                loss = cross_entropy - sign * penalty * point.norm()
                v = torch.autograd.grad(loss, point)[0] * mask
                moved = at + sign * alpha * v.sign()
                if bounds:
                    moved = moved.clamp(*bounds)
                moved = moved * mask
                total += (moved - at).abs() * v.abs()
                losses.append(float(loss.detach()))
                at = moved
            change = sign * (losses[-1] - losses[0]) * steps / (steps - 1)
            floors.append(change < 1e-6)
            effect += total / max(change, 1e-6)
        weight = ((effect - effect[left].min()) * x).abs()
        order = sorted(left, key=lambda i: float(weight[i]))
        removed = order[: features * (number + 1) // rounds - features * number // rounds]
        low, high = weight[removed[0]], weight[removed[-1]]
        for i in removed:
            found[i] = number + span * (weight[i] - low) / max(1.001 * (high - low), 1e-300)
            left.remove(i)
    return found


CASES = {
    "images": {"bounds": "auto", "alpha": 0.3, "ascent_steps": 3, "descent_steps": 3},
    "no bounds": {"bounds": None, "alpha": 0.05, "ascent_steps": 4, "descent_steps": 2},
    "longer down": {"bounds": None, "alpha": 0.05, "ascent_steps": 2, "descent_steps": 4, "penalty": 0.5},
    "mostly noise": {"bounds": "auto", "alpha": 1e-4, "noise": 0.5, "ascent_steps": 2, "descent_steps": 3, "span": 1.3},
}


@pytest.mark.parametrize("case", CASES)
def test_one_sample_at_a_time_by_a_plain_loop(case):
    net = nn.Sequential(nn.Flatten(), mlp(27, hidden=16))
    x, y, floors = torch.rand(3, 3, 3, 3, dtype=torch.float64), torch.tensor([2, 0, 1]), []
    settings = {"penalty": 0.01, "noise": 0.05, "span": 1.0} | CASES[case]
    found = ISA(rounds=5, **settings)(net, x, y)
    settings["ascent"], settings["descent"] = settings.pop("ascent_steps"), settings.pop("descent_steps")
    settings["bounds"] = (0, 1) if settings["bounds"] else None
    for i in range(3):
        expected = by_hand(net, x[i].flatten(), y[i], rounds=5, floors=floors, **settings)
        torch.testing.assert_close(found[i].flatten(), expected, rtol=1e-7, atol=1e-9)
    assert any(floors) == (case == "mostly noise")


@pytest.mark.parametrize(("features", "rounds"), [(50, 7), (48, 6), (10, 31), (5, 1)])
def test_every_feature_has_one_place_and_rounds_do_not_overlap(features, rounds):
    """Check N16, with rounds that divide the features and rounds that do not."""
    found = ISA(rounds=rounds, ascent_steps=2, descent_steps=2)(mlp(features), torch.rand(3, features).double(), 1)
    rounds = min(rounds, features)
    for values in found:
        sizes = values.floor().long().bincount(minlength=rounds)
        assert len(sizes) == rounds
        assert int(sizes.sum()) == features
        assert int(sizes.max() - sizes.min()) <= 1
        assert values.unique().numel() == features


def test_the_last_round_has_the_most_important_features():
    """f = w x, no noise: the effects are proportional to |w|, the least of those left is subtracted."""
    weight = torch.tensor([0.5, -4.0, 3.0, 1.0, -2.0, 0.1, 2.5], dtype=torch.float64)
    net, x = Function(lambda x: x @ weight), torch.ones(1, 7, dtype=torch.float64)
    found = ISA(rounds=3, noise=0, penalty=0, objective="logit")(net, x, 1)[0]
    assert found.argsort().tolist() == weight.abs().argsort().tolist()
    assert found.floor().tolist() == [0, 2, 2, 1, 1, 0, 2]
    size = weight.abs()
    expected = 2 + (size[[6, 2, 1]] - 2.5) / 1.5 / 1.001
    torch.testing.assert_close(found[[6, 2, 1]], expected)


def test_the_size_of_a_feature_counts():
    weight = torch.tensor([0.0, 1.0, 2.0, 3.0], dtype=torch.float64)
    net, x = Function(lambda x: x @ weight), torch.tensor([[9.0, 8.0, -0.5, 0.0]], dtype=torch.float64)
    found = ISA(rounds=1, noise=0, penalty=0, objective="logit")(net, x, 1)[0]
    torch.testing.assert_close(found, torch.tensor([0.0, 8.0, 1.0, 0.0]).double() / 8 / 1.001)


def test_rounds_stay_apart_in_float32():
    found = ISA(rounds=1000, ascent_steps=1, descent_steps=1)(mlp(3000).float(), torch.rand(1, 3000), 1)[0]
    assert found.dtype == torch.float32
    assert found.floor().long().bincount().tolist() == [3] * 1000


def test_a_wider_span_reaches_into_the_next_round():
    net, x = mlp(50), torch.rand(1, 50).double()
    strict, wide = (ISA(rounds=5, preset=preset)(net, x, 1) for preset in ("toolkit", "paper"))
    torch.testing.assert_close(wide, strict.floor() + 1.1 * (strict - strict.floor()))
    assert not torch.equal(wide.argsort(), strict.argsort())


def test_features_that_are_zero_go_first_and_equal_ones_in_their_order():
    x = torch.rand(1, 10, dtype=torch.float64) + 0.1
    x[0, [7, 2, 5]] = 0
    found = ISA(rounds=10)(mlp(10), x, 1)[0]
    assert found[[2, 5, 7]].tolist() == [0, 1, 2]


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_removed_features_are_left_out_and_points_stay_inside(noise):
    net, x = Recorder(nn.Sequential(nn.Flatten(), mlp(12))), torch.rand(1, 3, 2, 2, dtype=torch.float64)
    found = ISA(rounds=4, alpha=0.4, ascent_steps=3, descent_steps=3, noise=noise)(net, x, 1)[0]
    asked = net.points.view(4, 3, 2, 3, 2, 2)  # rounds, steps, up and down
    for number, points in enumerate(asked):
        gone = found < number
        assert not points[:, :, gone].any()
        assert points[:, :, ~gone].any()
        if noise == 0:
            torch.testing.assert_close(points[0], (x * ~gone).expand(2, 3, 2, 2))
            assert 0 <= float(points.min()) <= float(points.max()) <= 1
    if noise == 0:
        assert float(asked.max()) == 1  # clamped


def test_each_walk_has_its_own_noise_the_same_for_all_samples():
    net, x = Recorder(mlp()), torch.rand(2, 6, dtype=torch.float64)
    ISA(rounds=1, ascent_steps=1, descent_steps=1)(net, x, 1)
    noise = net.points.view(2, 2, 6) - x
    torch.testing.assert_close(noise[:, 0], noise[:, 1])
    assert not torch.allclose(noise[0], noise[1])
    assert 0.02 < float(noise.std()) < 0.08


def test_the_walks_lead_up_and_down():
    net, x = Recorder(mlp()), torch.rand(1, 6, dtype=torch.float64)
    ISA(rounds=1, ascent_steps=5, descent_steps=5, noise=0, alpha=0.01)(net, x, 1)
    up, down = -net.model(net.points).log_softmax(1)[:, 1].view(5, 2).T
    assert bool((up.diff() > 0).all())
    assert bool((down.diff() < 0).all())


def test_passes_are_for_no_more_rounds_than_features():
    assert ISA().passes() == (496, 496)  # those of the paper, of which the published code wastes 16
    assert ISA().passes((2, 5)) == (160, 160)


def test_presets():
    assert (ISA(preset="paper").resolved().span, ISA(preset="paper").resolved().alpha) == (1.1, 0.002)
    assert (ISA(preset="reference").resolved().span, ISA(preset="reference").resolved().alpha) == (1.3, 0.004)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rounds": 0}, "`rounds` must be a positive integer, got 0"),
        ({"ascent_steps": 0}, "`ascent_steps` must be a positive integer"),
        ({"descent_steps": 1.5}, "`descent_steps` must be a positive integer"),
        ({"alpha": -1}, "`alpha` must be a number of at least 0"),
        ({"noise": -1}, "`noise` must be a number of at least 0"),
        ({"bounds": 3}, "`bounds` must be"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        ISA(**settings)

"""SIGMA against a plain loop in the units of the authors' code, [0, 255], and what its sums are."""

import pytest
import torch
from torch import nn

from _reference.nets import Counter, Function, Recorder, linear, mlp
from lit_attr.attribution import SIGMA


def images(count=2):
    """Whose values do not fill [0, 1]."""
    return 0.1 + 0.7 * torch.rand(count, 3, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def net_of_images(classes=3):
    net = nn.Sequential(nn.Flatten(), mlp(27, classes, hidden=16))
    net[1][2].weight.data *= 5  # confidences that move in a few steps
    return net


def stretch(x, top):
    return top * (x - x.min()) / (x.max() - x.min())


def by_hand(net, image, c, *, epsilon, paths=3, steps=25, alpha=0.5, beta=0.1, alpha_range=None):
    """Maps of |A|, of A, end points, confidences and guarded steps of one image in [0, 1]; walks are in [0, 255]."""
    generator = torch.Generator().manual_seed(0)
    draws = [torch.rand((paths, *image.shape), generator=generator) for _ in range(steps)]

    def confidence(u):
        return float(net(u.detach()[None] / 255).softmax(1)[0, c].detach())

    maps, ends, curves, guarded = [], [], [], 0
    for path in range(paths):
        x = before = image * 255
        slope_before = torch.zeros_like(x)
        curve, total = [confidence(stretch(x, 255))], torch.zeros_like(x)
        for draw in draws:
            if curve[-1] <= epsilon:
                break
            q = torch.where(draw[path] < 0.5, 255.0, 0.0).double()
            plus, minus = (confidence(stretch(x + s * beta * q, 255)) for s in (1, -1))
            slope = (plus - minus) / (2 * beta) * q
            size = alpha
            if alpha_range:
                dx, dg = x - before, slope - slope_before
                size = float((dx * dx).sum() / ((dx * dg).sum() + 1e-8))
                size = min(max(size, alpha_range[0]), alpha_range[1])
            x, before, slope_before = x - size * slope, x, slope
            u = stretch(x, 255).requires_grad_()
            gradient = torch.autograd.grad(net(u[None] / 255)[0, c], u)[0]
            curve.append(confidence(u))
            if gradient.sum().abs() < 1e-3 * gradient.abs().sum():
                gradient, guarded = gradient.abs(), guarded + 1
            total += gradient * (curve[-2] - curve[-1]) / (gradient.sum() + 1e-10)
        maps.append(total)
        ends.append(stretch(x, 255) / 255)
        curves.append(curve)
    maps = torch.stack(maps)
    return maps.abs().mean(0), maps.mean(0), torch.stack(ends).detach(), curves, guarded


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_authors_steps_in_their_units(adaptive):
    net, x, y = net_of_images(), images(), torch.tensor([2, 0])
    start = net(x).softmax(1)[[0, 1], y].detach()
    epsilon = float(start.min()) * 0.7  # between the ends of the walks: some reach it
    settings = {"paths": 3, "steps": 25, "epsilon": epsilon, "preset": "reference"}
    if adaptive:
        settings |= {"alpha": 2.0, "alpha_max": 6.0}
    found = SIGMA(**settings).explain(net, x, y)
    assert found.success.any()
    assert not found.success.all()
    for i in range(2):
        alpha_range = (2.0, 6.0) if adaptive else None
        absolute, signed, ends, curves, guarded = by_hand(
            net, x[i], int(y[i]), epsilon=epsilon, alpha_range=alpha_range
        )
        assert found.info["cancelled"][i] == guarded
        torch.testing.assert_close(found.attribution[i], absolute, rtol=1e-5, atol=1e-9)
        torch.testing.assert_close(found.info["signed"][i], signed, rtol=1e-5, atol=1e-9)
        torch.testing.assert_close(found.endpoint[i], ends, rtol=0, atol=1e-7)
        for path, curve in enumerate(curves):
            known = found.confidence[i, path, : len(curve)]
            torch.testing.assert_close(known, torch.tensor(curve, dtype=torch.float64), rtol=1e-7, atol=0)
            assert found.confidence[i, path, len(curve) :].isnan().all()
            assert bool(found.success[i, path]) == (curve[-1] <= epsilon)


def test_the_default_patterns_make_the_walks_of_the_reference_where_points_are_stretched():
    net, x = net_of_images(), images()
    settings = {"paths": 2, "steps": 20, "epsilon": 0.0}
    found, reference = (SIGMA(**settings, **more).explain(net, x, 1) for more in ({}, {"preset": "reference"}))
    torch.testing.assert_close(found.attribution, reference.attribution, rtol=1e-8, atol=1e-14)
    torch.testing.assert_close(found.endpoint, reference.endpoint, rtol=0, atol=1e-9)
    clamped = [SIGMA(**settings, **more, rescale=False)(net, x, 1) for more in ({}, {"preset": "reference"})]
    assert not torch.allclose(*clamped, rtol=1e-3)


@pytest.mark.parametrize("rescale", [True, False])
def test_the_signed_map_sums_to_the_loss_of_confidence(rescale):
    """Check N7."""
    net, x = net_of_images(), images(3)
    y = net(x).argmax(1)
    found = SIGMA(paths=4, steps=30, epsilon=0.2, rescale=rescale, absolute=False).explain(net, x, y)
    began = torch.stack([stretch(image, 1) for image in x]) if rescale else x
    start = net(began).softmax(1)[range(3), y]
    end = net(found.endpoint.flatten(0, 1)).softmax(1).unflatten(0, (3, 4))[range(3), :, y]
    lost = (start[:, None] - end).mean(1).detach()
    assert bool((lost.abs() > 1e-3).all())
    assert float(((found.attribution.flatten(1).sum(1) - lost) / lost).abs().max()) < 1e-8
    assert float((found.completeness_error / lost).abs().max()) < 1e-8


def test_the_other_map_is_told_too():
    net, x = net_of_images(), images()
    plain, signed = (SIGMA(paths=3, steps=5, absolute=absolute).explain(net, x, 1) for absolute in (True, False))
    assert torch.equal(plain.attribution, signed.info["absolute"])
    assert torch.equal(signed.attribution, plain.info["signed"])
    assert torch.equal(plain.completeness_error, signed.completeness_error)
    assert bool((plain.attribution >= signed.attribution.abs() - 1e-15).all())
    assert bool((plain.attribution > signed.attribution.abs() + 1e-9).any())  # absolute values come before the mean


def test_the_model_is_asked_at_images_that_fill_the_range_and_the_end_points_are_such():
    net = Recorder(net_of_images())
    found = SIGMA(paths=2, steps=10, epsilon=0.0, alpha=5.0).explain(net, images(1), 1)
    for points in (net.points, found.endpoint[0]):
        torch.testing.assert_close(points.flatten(1).amin(1), torch.zeros(len(points), dtype=torch.float64))
        torch.testing.assert_close(points.flatten(1).amax(1), torch.ones(len(points), dtype=torch.float64))
    assert bool((found.endpoint[0, :, None] == net.points).flatten(2).all(2).any(1).all())  # asked there, to the bit


def test_without_stretching_points_are_clamped_and_begin_at_the_sample():
    net = Recorder(net_of_images())
    found = SIGMA(paths=1, steps=10, epsilon=0.0, alpha=5.0, beta=0.8, rescale=False).explain(net, images(1), 1)
    assert torch.equal(net.seen[0], images(1))
    assert 0 == float(net.points.min()) < float(net.points.max()) == 1
    assert 0 <= float(found.endpoint.min()) <= float(found.endpoint.max()) <= 1
    assert found.endpoint.shape == (1, 3, 3, 3)


def test_other_bounds():
    net = Recorder(net_of_images())
    SIGMA(paths=1, steps=3, bounds=(-1, 3)).explain(net, images(1), 1)
    assert (float(net.points.min()), float(net.points.max())) == pytest.approx((-1, 3))


def test_without_bounds_nothing_is_stretched():
    x = torch.randn(1, 6, dtype=torch.float64)
    net = Recorder(mlp())
    SIGMA(paths=1, steps=3, alpha=1e-9, beta=1e-9).explain(net, x, 1)
    torch.testing.assert_close(net.points, x.expand(len(net.points), -1))


def test_constant_images():
    found = SIGMA(paths=2, steps=4, epsilon=0.0).explain(net_of_images(), torch.full((1, 3, 3, 3), 0.5).double(), 1)
    assert found.attribution.isfinite().all()
    assert found.endpoint.isfinite().all()


def test_no_steps_no_attribution():
    """Check N9: alpha = 0."""
    found = SIGMA(paths=2, steps=4, alpha=0.0, epsilon=0.0).explain(net_of_images(), images(), 1)
    assert not found.attribution.any()
    assert not found.completeness_error.any()


def test_a_sample_without_confidence_has_no_walk():
    net = Counter(net_of_images())
    found = SIGMA(paths=2, steps=5, epsilon=0.99).explain(net, images(), 1)
    assert not found.attribution.any()
    assert found.success.all()
    assert (net.forwards, net.backwards) == (4, 4)
    torch.testing.assert_close(found.endpoint[0, 0], stretch(images()[0], 1))


def test_a_gradient_that_cancels_is_shared_by_absolute_values():
    """Of z = w x, sum w = 0."""
    weight = torch.tensor([1.0, -3.0, 2.0, 0.0], dtype=torch.float64)
    net = Function(lambda x: x @ weight)
    found = SIGMA(paths=2, steps=6, epsilon=0.0, absolute=False).explain(net, torch.rand(2, 4).double(), 1)
    assert found.info["cancelled"].tolist() == [12, 12]
    torch.testing.assert_close(found.completeness_error, torch.zeros(2).double(), rtol=0, atol=1e-15)
    share = found.attribution / found.attribution.sum(1, keepdim=True)
    torch.testing.assert_close(share, (weight.abs() / 6).expand(2, 4))


def test_no_gradient_nothing_to_share():
    """A step that is flat for the model, in the objective, while the confidence falls."""
    found = SIGMA(paths=1, steps=3, epsilon=0.0, objective=lambda e, y: 0 * e.sum(1)).explain(
        linear(), torch.rand(1, 6).double(), 1
    )
    assert not found.attribution.any()
    assert float(found.completeness_error) < 0  # tells what was not shared


def test_the_seed_decides():
    net, x = net_of_images(), images()
    first, same, other = (SIGMA(paths=2, steps=3, seed=seed)(net, x, 1) for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.allclose(first, other)


def test_walks_of_a_sample_differ_and_those_of_equal_samples_do_not():
    x = images(1).repeat(2, 1, 1, 1)
    end = SIGMA(paths=2, steps=3).explain(net_of_images(), x, 1).endpoint
    torch.testing.assert_close(end[0], end[1])
    assert not torch.allclose(end[0, 0], end[0, 1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"paths": 0}, "`paths` must be a positive integer"),
        ({"steps": 0}, "`steps` must be a positive integer"),
        ({"beta": 0}, "`beta` must be a positive number"),
        ({"alpha_max": 0.1}, "`alpha_max` must be None, or at least `alpha`"),
        ({"epsilon": 1}, r"`epsilon` must be in \[0, 1\), got 1"),
        ({"pattern": "signs"}, "`pattern` is 'signs'"),
        ({"bounds": (1, 0)}, "`bounds` must be"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        SIGMA(**settings)


def test_variants_are_the_ends_of_the_walks():
    net, x, y = net_of_images(), images(3), torch.tensor([2, 0, 1])
    settings = SIGMA(paths=2, steps=20, epsilon=0.25)
    explained, found = settings.explain(net, x, y), settings.variants(net, x, y)
    assert torch.equal(found.samples, explained.endpoint)
    assert torch.equal(found.reached, explained.success)
    assert found.reached.any()
    assert not found.reached.all()
    assert torch.equal(found.steps, (~explained.confidence.isnan()).sum(-1) - 1)
    last = explained.confidence.gather(-1, found.steps[..., None])[..., 0]
    torch.testing.assert_close(found.confidence, last)


def test_variants_cost_three_forward_passes_a_step_and_no_gradient():
    net, x, y = Counter(net_of_images()), images(3), torch.tensor([2, 0, 1])
    ended = []
    found = SIGMA(paths=2, steps=20, epsilon=0.25).variants(net, x, y, finished=ended.append)
    assert net.forwards == int((3 * found.steps + 1).sum())
    assert net.backwards == 0
    assert sum(ended) == 6


def test_walks_with_keys_do_not_depend_on_their_batch():
    net, x, y = net_of_images(), images(4), torch.tensor([2, 0, 1, 1])
    keys = torch.tensor([[7, 1], [3, 5], [5, 2], [9, 3]])
    settings = SIGMA(paths=2, steps=15, epsilon=0.25)
    every = settings.variants(net, x, y, keys=keys)
    for rows in ([2], [3, 0]):
        some = settings.variants(net, x[rows], y[rows], keys=keys[rows])
        for found, known in zip(some, every, strict=True):
            torch.testing.assert_close(found, known[rows], rtol=1e-9, atol=1e-12)
    flipped = settings.variants(net, x, y, keys=keys.flip(1))
    torch.testing.assert_close(flipped.samples, every.samples.flip(1), rtol=1e-9, atol=1e-12)


def test_each_key_has_a_walk_of_its_own():
    """Of the same sample; without keys all samples share their walks."""
    net, x = net_of_images(), images(1).expand(3, -1, -1, -1)
    settings = SIGMA(paths=1, steps=5, epsilon=0.0)
    same = settings.variants(net, x, 1).samples
    torch.testing.assert_close(same[0], same[1], rtol=1e-9, atol=1e-12)
    own = settings.variants(net, x, 1, keys=torch.arange(3)[:, None]).samples
    assert float((own[0] - own[1]).abs().max()) > 1e-3
    with pytest.raises(ValueError, match=r"`keys` must be one per walk, \(3, 1\), got shape \(3,\)"):
        settings.variants(net, x, 1, keys=torch.arange(3))


def test_the_model_is_asked_at_what_is_stored():
    def rounded(points):
        return (points * 255).round() / 255

    net, x = Recorder(net_of_images()), images()
    found = SIGMA(paths=2, steps=8, epsilon=0.25).variants(net, x, 1, stored=rounded)
    torch.testing.assert_close(net.points, rounded(net.points))
    confidence = net.model(found.samples.flatten(0, 1)).softmax(1)[:, 1]
    torch.testing.assert_close(found.confidence.flatten(), confidence.detach())

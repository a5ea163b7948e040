"""Restarts, early stops, best points, starts and rules of one's own, against loops over samples."""

import pytest
import torch
import torch.nn.functional as F

from _reference.nets import Counter, cnn
from lit_attr.attacks import BIM, PGD, UpdateAttack
from lit_attr.targets import PixelTarget

X = torch.rand(6, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
EPS = 0.1


def setting():
    """A model that is unsure, and labels: those that it predicts, but for the first sample."""
    model = cnn()
    with torch.no_grad():
        model[-1].bias -= model(X).mean(0)
    label = model(X).argmax(1)
    label[0] = (label[0] + 1) % 3
    return model, label


def loss(model, x, y):
    return F.cross_entropy(model(x[None]), y[None])


def path(model, x, y, start, steps, alpha=0.01):
    """Points of one run of one sample."""
    found = [start]
    for _ in range(steps):
        point = found[-1].clone().requires_grad_()
        moved = found[-1] + alpha * torch.autograd.grad(loss(model, point, y), point)[0].sign()
        found.append(torch.clamp(x + torch.clamp(moved - x, -EPS, EPS), 0, 1))
    return found


def starts(x, run, seed=0):
    away = torch.empty(1, *x.shape).uniform_(-EPS, EPS, generator=torch.Generator().manual_seed(seed + run))[0]
    return (x + away.double()).clamp(0, 1)


def is_fooled(model, x, y):
    return int(model(x[None]).argmax()) != int(y)


def test_restarts_keep_the_first_that_fools_and_else_the_largest_loss():
    model, label = setting()
    attack = PGD(eps=EPS, alpha=0.01, steps=3, restarts=4)
    found = attack.run(model, X, label)
    fooled_in = []
    for i in range(6):
        ends = [path(model, X[i], label[i], starts(X[i], run), 3)[-1] for run in range(4)]
        fooling = [run for run, end in enumerate(ends) if is_fooled(model, end, label[i])]
        best = fooling[0] if fooling else max(range(4), key=lambda run: loss(model, ends[run], label[i]))
        torch.testing.assert_close(found.adversarial[i], ends[best])
        assert bool(found.success[i]) == bool(fooling)
        fooled_in.append(fooling[0] if fooling else None)
    assert None in fooled_in
    assert 0 in fooled_in


def test_fooled_samples_cost_no_restarts():
    model, label = setting()
    fooled = PGD(eps=EPS, alpha=0.01, steps=3).run(model, X, label).success
    counter = Counter(model)
    PGD(eps=EPS, alpha=0.01, steps=3, restarts=2)(counter, X, label)
    assert counter.backwards == 3 * (6 + int((~fooled).sum()))
    assert counter.forwards == 4 * (6 + int((~fooled).sum()))


def test_early_stop_ends_at_the_first_point_that_fools():
    model, label = setting()
    found = BIM(eps=EPS, alpha=0.015, steps=8, early_stop=True)(model, X, label)
    lengths = []
    for i in range(6):
        points = path(model, X[i], label[i], X[i], 8, alpha=0.015)
        fooling = [t for t, point in enumerate(points) if is_fooled(model, point, label[i])]
        lengths.append(fooling[0] if fooling else 8)
        torch.testing.assert_close(found[i], points[lengths[-1]])
    assert lengths[0] == 0  # fooled before
    assert set(lengths) & set(range(1, 8))


def test_the_best_point_fools_and_has_the_largest_loss():
    model, label = setting()
    attack = BIM(eps=EPS, alpha=0.05, steps=6, keep="best")  # steps so long that the loss also falls
    found = attack(model, X, label)
    last = []
    for i in range(6):
        points = path(model, X[i], label[i], X[i], 6, alpha=0.05)
        worth = [(is_fooled(model, p, label[i]), float(loss(model, p, label[i]).detach())) for p in points]
        best = worth.index(max(worth))
        torch.testing.assert_close(found[i], points[best])
        last.append(best == 6)
    assert not all(last)


def test_a_start_of_ones_own_keeps_the_ball_around_the_input():
    model, label = setting()
    start = (X + 0.5 * EPS).clamp(0, 1)
    found = BIM(eps=EPS, alpha=0.01, steps=4)(model, X, label, start=start)
    for i in range(6):
        torch.testing.assert_close(found[i], path(model, X[i], label[i], start[i], 4)[-1])
    far = BIM(eps=EPS, alpha=0.0, steps=1)(model, X, label, start=X + 1)
    torch.testing.assert_close(far, (X + EPS).clamp(0, 1))
    with pytest.raises(ValueError, match="`start` must be None with random_start=True"):
        PGD(eps=EPS)(model, X, label, start=start)


def test_a_rule_with_a_schedule_is_an_attack():
    model, label = setting()
    expected = BIM(eps=EPS, alpha=0.01, steps=4)(model, X, label)
    for update in ({"class": "bim", "alpha": 0.01}, lambda step: 0.01 * step.ascent.sign()):
        assert torch.equal(UpdateAttack(update=update, eps=EPS, steps=4)(model, X, label), expected)
    walk = UpdateAttack(update="spsa", eps=EPS, steps=4, random_start=True)
    assert bool(((walk(model, X, label) - X).abs() <= EPS + 1e-9).all())


def test_chunks_do_not_matter():
    model, label = setting()
    settings = {"eps": EPS, "steps": 3, "restarts": 3}
    whole = PGD(**settings).run(model, X, label)
    parts = PGD(**settings, max_batch=4).run(model, X, label)
    torch.testing.assert_close(parts.adversarial, whole.adversarial)
    assert parts.passes == whole.passes


def test_a_segmenter_is_attacked_by_the_loss_of_its_pixels():
    """Labels with pixels that do not count, an output smaller than the image; the loss grows with restarts."""
    torch.manual_seed(1)
    model = torch.nn.Conv2d(3, 4, 3, stride=2, padding=1).double()
    labels = torch.randint(0, 4, (6, 8, 8))
    labels[:, :2] = 255

    def losses(points):
        output = F.interpolate(model(points), size=8, mode="bilinear")
        return F.cross_entropy(output, labels, ignore_index=255, reduction="none").sum((1, 2)) / 48

    point, expected = X.clone().requires_grad_(), X
    for _ in range(4):
        moved = expected + 0.02 * torch.autograd.grad(losses(point).sum(), point)[0].sign()
        expected = (X + (moved - X).clamp(-EPS, EPS)).clamp(0, 1)
        point = expected.clone().requires_grad_()
    attack = BIM(eps=EPS, alpha=0.02, steps=4)
    found = attack.run(model, X, PixelTarget(labels))
    torch.testing.assert_close(found.adversarial, expected)
    assert found.success is None
    more = PGD(eps=EPS, alpha=0.02, steps=4, restarts=3)(model, X, PixelTarget(labels))
    once = PGD(eps=EPS, alpha=0.02, steps=4)(model, X, PixelTarget(labels))
    assert bool((losses(more) >= losses(once)).all())
    assert not torch.equal(more, once)
    with pytest.raises(ValueError, match="`early_stop` must be false for a PixelTarget, got True"):
        BIM(early_stop=True)(model, X, PixelTarget(labels))

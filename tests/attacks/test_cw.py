"""CW against a loop over samples with torch's Adam, and against torchattacks."""

import pytest
import torch
import torchattacks

from _reference.nets import Counter, cnn
from lit_attr.attacks import CW
from lit_attr.targets import PixelTarget

X = 0.05 + 0.9 * torch.rand(5, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def setting():
    """A model that is unsure, and labels: those that it predicts, but for the first sample."""
    model = cnn()
    with torch.no_grad():
        model[-1].bias -= model(X).mean(0)
        model[-1].weight *= 30
        model[-1].bias *= 30
    label = model(X).argmax(1)
    label[0] = (label[0] + 1) % 3
    return model.eval(), label


def ahead(model, x, y, *, targeted):
    """z_y minus the largest other logit; for a goal the other way round."""
    logits = model(x[None])[0]
    found = logits[y] - torch.cat([logits[:y], logits[y + 1 :]]).max()
    return -found if targeted else found


def by_hand(model, x, y, c, *, steps, kappa=0.0, lr=0.05, targeted=False):
    """The points of one run, and the nearest that fools."""
    w = torch.atanh(2 * x - 1).requires_grad_()
    optimiser, best, nearest = torch.optim.Adam([w], lr=lr), float("inf"), None
    for step in range(steps + 1):
        point = x if step == 0 else (torch.tanh(w) + 1) / 2
        left = ahead(model, point, y, targeted=targeted)
        distance = float((point - x).norm().detach())
        if float(left.detach()) < 0 and float(left.detach()) <= -kappa and distance < best:
            best, nearest = distance, point.detach().clone()
        point = (torch.tanh(w) + 1) / 2
        loss = ((point - x) ** 2).sum() + c * ahead(model, point, y, targeted=targeted).clamp(min=-kappa)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return nearest


@pytest.mark.parametrize("settings", [{}, {"kappa": 1.0}, {"targeted": True}])
def test_one_sample_at_a_time_by_torchs_adam(settings):
    model, label = setting()
    found = CW(steps=25, lr=0.05, c=2.0, **settings).run(model, X, label)
    fooled = []
    for i in range(5):
        nearest = by_hand(model, X[i], int(label[i]), 2.0, steps=25, **settings)
        fooled.append(nearest is not None)
        torch.testing.assert_close(found.adversarial[i], X[i] if nearest is None else nearest, rtol=0, atol=1e-7)
    assert sum(fooled) > 1
    assert found.success.tolist() == fooled or "kappa" in settings


def test_the_search_for_c():
    model, label = setting()
    found = CW(steps=15, lr=0.05, c=0.01, search_steps=6)(model, X, label)
    tried = []
    for i in range(5):
        low, high, c, best = 0.0, 1e10, 0.01, None
        for _ in range(6):
            tried.append(c)
            nearest = by_hand(model, X[i], int(label[i]), c, steps=15)
            if nearest is not None:
                high = min(high, c)
                if best is None or (nearest - X[i]).norm() < (best - X[i]).norm():
                    best = nearest
            else:
                low = max(low, c)
            c = (low + high) / 2 if high < 1e10 else 10 * c
        torch.testing.assert_close(found[i], X[i] if best is None else best, rtol=0, atol=1e-7)
    assert len({round(c, 6) for c in tried}) > 6


def test_as_near_as_torchattacks():
    model, label = setting()
    model, x = model.float(), X.float()
    theirs = torchattacks.CW(model, c=2, steps=30, lr=0.05)(x, label)
    ours = CW(c=2.0, steps=30, lr=0.05)(model, x, label)
    fooled = model(theirs).argmax(1) != label
    assert int(fooled.sum()) > 1
    near, far = ((points - x).flatten(1).norm(dim=1)[fooled] for points in (ours, theirs))
    assert bool((near <= far + 1e-4).all())
    assert bool((model(ours).argmax(1) != label)[fooled].all())


def test_black_and_white_pixels_move_and_negative_outputs_do_not_matter():
    """Trap 19."""
    model, _ = setting()
    x = X.round()
    label = model(x).argmax(1)

    class Negative(torch.nn.Module):
        def forward(self, images):
            return model(images).log_softmax(1)

    found = CW(c=20.0, steps=40, lr=0.1).run(Negative(), x, label)
    moved = (found.adversarial != x).flatten(1).float().mean(1)[found.success]
    assert len(moved) > 1
    assert bool((moved > 0.9).all())
    alone = CW(c=20.0, steps=40, lr=0.1)(Negative(), x[1:2], label[1:2])
    torch.testing.assert_close(alone[0], found.adversarial[1])


def test_passes_are_counted():
    model, label = setting()
    counter, attack = Counter(model), CW(steps=4, search_steps=3)
    attack(counter, X, label)
    assert (counter.forwards / 5, counter.backwards / 5) == attack.passes == (15, 12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"c": -1}, "`c` must be a number of at least 0"),
        ({"kappa": -1}, "`kappa` must be a number of at least 0"),
        ({"lr": -1}, "`lr` must be a number of at least 0"),
        ({"steps": 0}, "`steps` must be a positive integer"),
        ({"search_steps": 0}, "`search_steps` must be a positive integer"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        CW(**settings)


def test_what_it_cannot_work_on():
    model, label = setting()
    with pytest.raises(ValueError, match="`start` must be None for CW"):
        CW()(model, X, label, start=X)
    with pytest.raises(ValueError, match="`target` must be one of classes for CW, got PixelTarget"):
        CW()(torch.nn.Conv2d(3, 2, 1).double(), X, PixelTarget(torch.zeros(5, 8, 8).long()))
    with pytest.raises(ValueError, match="`bounds` must be two numbers for CW"):
        CW(bounds=None)(model, X, label)

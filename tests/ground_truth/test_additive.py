"""The closed form against autograd, path methods, and all orders of a few pixels."""

from itertools import permutations

import pytest
import torch

from lit_attr.attribution import DeepLift, IntegratedGradients
from lit_attr.ground_truth import Additive
from lit_attr.metrics import Evaluation, Gap

IMAGES = torch.rand(3, 2, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
INDEX = torch.tensor([0, 1, 0])


@pytest.mark.parametrize("baseline", [0.0, 0.3, torch.rand(2, 6, 5, dtype=torch.float64)], ids=["black", "grey", "any"])
def test_contributions_are_gradient_times_difference_and_complete(baseline):
    model = Additive(channels=2)
    found = model.contributions(IMAGES, INDEX, baseline)
    points = IMAGES.clone().requires_grad_()
    (slope,) = torch.autograd.grad(model(points).gather(1, INDEX[:, None]).sum(), points)
    torch.testing.assert_close(found, slope * (IMAGES - baseline))
    change = model(IMAGES) - model(IMAGES * 0 + baseline)
    torch.testing.assert_close(found.sum((1, 2, 3)), change.gather(1, INDEX[:, None])[:, 0])


@pytest.mark.parametrize("method", [IntegratedGradients(steps=1), DeepLift()], ids=["ig", "deep_lift"])
def test_methods_find_the_contributions(method):
    model = Additive(channels=2, kernel=3)
    torch.testing.assert_close(method(model, IMAGES, INDEX), model.contributions(IMAGES, INDEX))


def test_no_order_has_a_better_gap():
    """All orders of 2 x 2 pixels."""
    model = Additive(channels=1, kernel=3, seed=1)
    image = torch.rand(1, 1, 2, 2, dtype=torch.float64)
    evaluation, index = Evaluation(model, image, 0), torch.tensor([0])
    orders = [torch.tensor(order, dtype=torch.float64).view(1, 2, 2) for order in permutations(range(4))]
    gaps = [float(Gap(steps=4).per_sample(evaluation.of(order))) for order in orders]
    best = float(Gap(steps=4).per_sample(evaluation.of(model.contributions(image, index))))
    assert best == pytest.approx(max(gaps), abs=1e-12)
    assert best > min(gaps)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="`kernel` must be odd, got 4"):
        Additive(kernel=4)
    with pytest.raises(ValueError, match="`channels` must be a positive integer, got 0"):
        Additive(channels=0)

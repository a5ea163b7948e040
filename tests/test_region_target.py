"""`RegionTarget`: a class over a frozen region, whatever is read from its evidence."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lit_attr._checks import ArgumentError
from lit_attr._view import looking_at
from lit_attr.attribution import DeepLift, IntegratedGradients, Saliency
from lit_attr.metrics import Evaluation
from lit_attr.metrics.functional import deletion
from lit_attr.objectives import log_odds, logit, logprob, prob
from lit_attr.targets import ClassTarget, RegionTarget

SIZE = (6, 5)
ROWS = torch.tensor([2, 0, 0, 1, 2])
INDEX = torch.tensor([1, 3, 0])


def drawn(*shape, seed=5, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def masks():
    """Regions of 6, 1 and 15 pixels."""
    found = torch.zeros(3, *SIZE, dtype=torch.bool)
    found[0, 1:3, 1:4] = found[1, 5, 0] = found[2, 3:] = True
    return found


def plain(score, logits, index, mask):
    """Pixel after pixel."""
    values = []
    for y, x in mask.nonzero().tolist():
        z = logits[:, y, x]
        others = torch.cat([z[:index], z[index + 1 :]])
        margin = z[index] - others.exp().sum().log()
        values.append({"logit": z[index], "prob": z.softmax(0)[index], "margin": margin}[score])
    return sum(values) / len(values)


@pytest.mark.parametrize("score", ["logit", "prob", "margin"])
@pytest.mark.parametrize("size", [SIZE, (3, 3), (9, 11)], ids=["as the mask", "smaller", "larger"])
def test_the_logit_of_the_evidence_is_the_score_and_its_probability_the_mean_probability(score, size):
    logits = drawn(5, 4, *size).requires_grad_()
    target = RegionTarget(INDEX, masks(), score=score)
    evidence = target.evidence({"out": logits, "aux": None}, ROWS)
    whole = F.interpolate(logits, SIZE, mode="bilinear", align_corners=False)
    for objective, name in ((logit, score), (prob, "prob")):
        found = objective(evidence, INDEX[ROWS])
        expected = torch.stack([plain(name, whole[i], int(INDEX[r]), masks()[r]) for i, r in enumerate(ROWS)])
        torch.testing.assert_close(found, expected)
        got, wanted = (torch.autograd.grad(v.sum(), logits, retain_graph=True)[0] for v in (found, expected))
        torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("score", ["logit", "prob", "margin"])
def test_the_softmax_is_the_mean_probability_of_every_class(score):
    logits = drawn(5, 4, *SIZE)
    found = RegionTarget(INDEX, masks(), score=score).evidence(logits, ROWS).softmax(1)
    p = logits.softmax(1)
    expected = torch.stack([p[i][:, masks()[r]].mean(1) for i, r in enumerate(ROWS)])
    torch.testing.assert_close(found, expected)


def test_the_gradient_of_the_mean_logit_has_nothing_else_in_it():
    """To the bit: one over the number of pixels inside, of the explained class, and zero elsewhere."""
    logits = (30 * drawn(3, 4, *SIZE)).requires_grad_()
    evidence = RegionTarget(INDEX, masks()).evidence(logits, torch.arange(3))
    (found,) = torch.autograd.grad(logit(evidence, INDEX).sum(), logits)
    expected = torch.zeros_like(found)
    for i, mask in enumerate(masks()):
        expected[i, INDEX[i]] = mask.double() / mask.sum()
    assert torch.equal(found, expected)


def test_no_pixel_outside_the_region_matters():
    logits, target = drawn(3, 4, *SIZE), RegionTarget(INDEX, masks())
    other = torch.where(masks()[:, None], logits, 50 * drawn(3, 4, *SIZE, seed=6))
    torch.testing.assert_close(target.evidence(other, torch.arange(3)), target.evidence(logits, torch.arange(3)))


@pytest.mark.parametrize("sure", [60.0, 400.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_model_that_is_sure_has_log_probabilities_still(sure, dtype):
    """They are no logarithms of a probability that is rounded to zero or one."""
    logits = torch.zeros(1, 2, *SIZE, dtype=dtype)
    logits[:, 0] = sure
    logits.requires_grad_()
    for index, expected in ((0, 0.0), (1, -sure)):
        target = RegionTarget(index, masks()[:1])
        evidence = target.evidence(logits, torch.tensor([0]))
        value = logprob(evidence, target.index)
        assert value.item() == pytest.approx(expected, abs=1e-4)
        assert log_odds(evidence, target.index).item() == pytest.approx(sure if index == 0 else -sure, rel=1e-6)
        (gradient,) = torch.autograd.grad(value, logits)
        assert gradient.isfinite().all()
        if index == 1:
            assert gradient[0, 1].sum() == pytest.approx(1, rel=1e-4)


@pytest.mark.parametrize("score", ["logit", "prob", "margin"])
def test_an_impossible_class_has_no_probability(score):
    logits = drawn(1, 3, *SIZE)
    logits[:, 1] = -torch.inf
    found = RegionTarget(1, masks()[:1], score=score).evidence(logits, torch.tensor([0])).softmax(1)
    torch.testing.assert_close(found[0], logits[0].softmax(0)[:, masks()[0]].mean(1))


def test_one_unit_has_a_logit_for_either_class():
    unit = drawn(2, 1, *SIZE)
    target = RegionTarget(torch.tensor([1, 0]), masks()[:2])
    found = target.evidence(unit, torch.arange(2))
    own = torch.stack([unit[0][:, masks()[0]].mean(), -unit[1][:, masks()[1]].mean()])
    torch.testing.assert_close(logit(found, target.index), own)
    p = torch.stack([unit[0, 0][masks()[0]].sigmoid().mean(), (-unit[1, 0][masks()[1]]).sigmoid().mean()])
    torch.testing.assert_close(prob(found, target.index), p)


def test_low_precision_is_raised_before_it_is_resized():
    logits, target = drawn(3, 4, 3, 3, dtype=torch.bfloat16), RegionTarget(INDEX, masks())
    found = target.evidence(logits, torch.arange(3))
    assert found.dtype == torch.float32
    assert torch.equal(found, target.evidence(logits.float(), torch.arange(3)))


def test_a_region_has_a_predicted_class():
    assert RegionTarget(0, masks()).compares_classes
    logits = drawn(3, 4, *SIZE)
    found = RegionTarget(0, masks()).evidence(logits, torch.arange(3)).argmax(1)
    expected = [int(logits[i].softmax(0)[:, masks()[i]].mean(1).argmax()) for i in range(3)]
    assert found.tolist() == expected


class Net(nn.Module):
    """A segmenter of half the resolution."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.head = nn.Conv2d(6, 4, 1)
        self.double()

    def forward(self, images):
        return {"out": self.head(self.features(images).relu())}


def test_a_region_of_one_pixel_is_that_pixel():
    net, images, mask = Net(), drawn(1, 3, *SIZE), torch.zeros(1, *SIZE, dtype=torch.bool)
    mask[0, 2, 3] = True

    class Pixel(nn.Module):
        def forward(self, x):
            return F.interpolate(net(x)["out"], SIZE, mode="bilinear", align_corners=False)[:, :, 2, 3]

    for objective in ("logit", "prob", "log_odds"):
        method = Saliency(signed=True, objective=objective)
        found, expected = method(net, images, RegionTarget(2, mask)), method(Pixel(), images, ClassTarget(2))
        torch.testing.assert_close(found, expected)


def test_integrated_gradients_add_up_to_the_change_of_the_region():
    net, images, target = Net(), drawn(3, 3, *SIZE).sigmoid(), RegionTarget(INDEX, masks())
    for objective in ("logit", "prob"):
        found = IntegratedGradients(steps=64, objective=objective).explain(net, images, target)
        assert found.completeness_error.abs().max() < 1e-3


def test_deep_lift_is_exact_for_the_mean_logit():
    """What the evidence has beside it, which is no part of this objective, does not disturb."""
    net, images, target = Net(), drawn(3, 3, *SIZE).sigmoid(), RegionTarget(INDEX, masks())
    found = DeepLift().explain(net, images, target)
    assert found.attribution.isfinite().all()
    assert found.completeness_error.abs().max() < 1e-12


def test_deletion_is_of_the_mean_probability_over_the_frozen_region():
    net, images, target = Net(), drawn(3, 3, *SIZE).sigmoid(), RegionTarget(INDEX, masks())
    maps = drawn(3, *SIZE, seed=9)
    expected = []
    for i in range(3):
        order, values, image = maps[i].flatten().argsort(descending=True), [], images[i].clone()
        for k in range(31):
            z = F.interpolate(net(image[None])["out"], SIZE, mode="bilinear", align_corners=False)
            values.append(z.softmax(1)[0, INDEX[i], masks()[i]].mean().item())
            if k < 30:
                y, x = divmod(int(order[k]), SIZE[1])
                image[:, y, x] = 0
        expected.append(torch.trapezoid(torch.tensor(values), dx=1 / 30))
    torch.testing.assert_close(deletion(net, images, target, maps, steps=30).float(), torch.stack(expected))
    assert Evaluation(net, images, target).confidence.shape == (3,)


def test_moved_with_the_image():
    others = ~masks()
    found = RegionTarget(INDEX, masks(), others, "margin").moved(lambda mask: mask.flip(2))
    assert torch.equal(found.mask, masks().flip(2))
    assert torch.equal(found.others, others.flip(2))
    assert (found.score, found.index.tolist()) == ("margin", INDEX.tolist())
    assert RegionTarget(1, masks()).moved(lambda mask: mask.mT).others is None


def test_to_moves_every_tensor_and_leaves_the_target():
    target = RegionTarget(INDEX, masks(), ~masks())
    found = target.to(torch.device("meta"))
    names = {"index", "mask", "others"}
    assert {name for name, value in vars(found).items() if isinstance(value, torch.Tensor)} == names
    assert {getattr(found, name).device.type for name in names} == {"meta"}
    assert {getattr(target, name).device.type for name in names} == {"cpu"}


def test_what_is_given_is_copied():
    with torch.inference_mode():
        mask, index = masks(), INDEX.clone()
        others = ~mask
        inside = RegionTarget(index, mask, others)
    target = RegionTarget(index, mask, others)
    for made in (target, inside, inside.to(torch.device("cpu"))):
        assert not any(tensor.is_inference() for tensor in (made.mask, made.others, made.index))
    with torch.inference_mode():
        mask.zero_()
    assert target.mask.any()


def test_no_samples_have_no_region():
    target = RegionTarget(INDEX[:0], masks()[:0])
    assert target.evidence(torch.zeros(0, 4, 3, 3), torch.arange(0)).shape == (0, 4)


def overlapping():
    found = ~masks()
    found[0, 1, 1] = True
    return found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mask": masks().float()}, r"`mask` must be a bool tensor \[B, H, W\], got a torch.float32"),
        ({"mask": masks()[0]}, r"`mask` must be a bool tensor \[B, H, W\], got a torch.bool tensor of shape \(6, 5\)"),
        ({"mask": None}, r"`mask` must be a bool tensor \[B, H, W\], got None"),
        ({"mask": masks() & False}, "`mask` must be a region with a pixel in each sample, got none in sample 0"),
        ({"others": ~masks()[:2]}, r"`others` must be of the shape of `mask`, \(3, 6, 5\), got"),
        ({"others": masks().long()}, r"`others` must be a bool tensor \[B, H, W\]"),
        ({"others": overlapping()}, "`others` must be outside of `mask`, got pixels of both"),
        ({"index": torch.tensor([1, 2])}, "`index` must be one class, or one for each of 3 masks, got 2 classes"),
        ({"index": -1}, "`index` must be a class from 0 on, got -1"),
        ({"index": 1.5}, "`target` must be a class index or a long tensor"),
        ({"score": "logits"}, "`score` is 'logits'; accepted: logit, margin, prob"),
    ],
)
def test_refused(given, message):
    with pytest.raises(ValueError, match=message):
        RegionTarget(**({"index": INDEX, "mask": masks()} | given))


def test_output_that_does_not_fit_is_refused():
    target = RegionTarget(INDEX, masks())
    with pytest.raises(ArgumentError, match=r"`target` must be a class index in 0\.\.2, got 3"):
        target.evidence(torch.zeros(3, 3, *SIZE), torch.arange(3))
    for shape in [(3, 4), (2, 4, *SIZE), (3, 4, 5)]:
        with pytest.raises(ArgumentError, match=r"`model output` must be logits \[3, K, h, w\], got \("):
            target.evidence(torch.zeros(shape), torch.arange(3))
    with (
        pytest.raises(ValueError, match="`target` has 3 classes for 2 samples"),
        looking_at(Net(), drawn(2, 3, *SIZE), target),
    ):
        pass


def test_mean_of_a_closed_form():
    """Two pixels of certain probabilities."""
    logits = torch.tensor([[[[0.0, 0.0]], [[math.log(3.0), math.log(1 / 3)]]]])
    found = RegionTarget(1, torch.ones(1, 1, 2, dtype=torch.bool)).evidence(logits, torch.tensor([0]))
    assert prob(found, torch.tensor([1])).item() == pytest.approx((0.75 + 0.25) / 2)

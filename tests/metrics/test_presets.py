"""Presets against the loops of the published codes, restated plainly: one set of numbers after the other."""

from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import gaussian_filter
from torch import nn

from _reference.nets import Counter
from lit_attr.metrics import Evaluation, PerturbationCurves
from lit_attr.metrics.functional import deletion, gap, insertion

HEIGHT, WIDTH = 20, 24  # 480 positions: 224 per step make three steps, the last one short
MEAN = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)[:, None, None]
STD = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)[:, None, None]
GIVEN = [None, 37]  # positions per step: the preset's own, and another


FUNCTIONS = (insertion, deletion, gap)


def step(per_step):
    return {} if per_step is None else {"pixels_per_step": per_step}


class Normalised(nn.Module):
    """A model of normalised images as one of images in [0, 1]."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model((images - MEAN) / STD)


@pytest.fixture
def case(batch, cnn):
    images, attribution = batch(3, 3, HEIGHT, WIDTH)
    model = cnn()
    return model, images, attribution, model(images).argmax(1).tolist()


def walked(score, start, finish, sets):
    """Scores while one set of flat places after the other is replaced."""
    current = start.clone()
    scores = [score(current)]
    for places in sets:
        for place in places:
            current.view(-1)[place] = finish.reshape(-1)[place]
        scores.append(score(current))
    return np.array(scores)


def of_class(model, index, reading="prob"):
    def score(image):
        with torch.no_grad():
            logits = model(image[None])[0]
        return float((logits.softmax(0) if reading == "prob" else logits)[index])

    return score


def sets_of_positions(order, step):
    """RISE's and its descendants': rows of positions, of which a step takes the next of each row, in all channels."""
    total, channels = HEIGHT * WIDTH, 3
    for i in range((total + step - 1) // step):
        wanted = np.unique(order[:, step * i : step * (i + 1)])
        yield [c * total + p for c in range(channels) for p in wanted]


def order_of(scores):
    """np.flip(np.argsort(...)), as the codes have it; without ties any sort will do."""
    return np.flip(np.argsort(scores.reshape(-1, HEIGHT * WIDTH).numpy(), axis=1), axis=-1)


def area_of_rise(scores):
    return (scores.sum() - scores[0] / 2 - scores[-1] / 2) / (len(scores) - 1)


@pytest.mark.parametrize("per_step", GIVEN)
def test_rise(per_step, batch, cnn):
    """Its own loop runs on normalised images; ours on the same in [0, 1], the normalisation inside the model."""
    images, attribution = batch(3, 3, HEIGHT, WIDTH)
    inner = cnn()
    model = Normalised(inner)
    single = np.zeros((11, 11))
    single[5, 5] = 1
    kernel = torch.zeros(3, 3, 11, 11, dtype=torch.float64)
    for c in range(3):
        kernel[c, c] = torch.from_numpy(gaussian_filter(single, 5))
    ins, dels, gaps = (f(model, images, None, attribution, preset="rise", **step(per_step)) for f in FUNCTIONS)
    for i, image in enumerate((images - MEAN) / STD):
        score = of_class(inner, int(inner(image[None]).argmax()))
        sets = list(sets_of_positions(order_of(attribution[i].sum(0)), per_step or 224))
        blurred = F.conv2d(image[None], kernel, padding=5)[0]
        expected = area_of_rise(walked(score, blurred, image, sets))
        assert float(ins[i]) == pytest.approx(expected, abs=1e-10)
        removed = area_of_rise(walked(score, image, torch.zeros_like(image), sets))
        assert float(dels[i]) == pytest.approx(removed, abs=1e-10)
        assert float(gaps[i]) == pytest.approx(expected - removed, abs=1e-10)


def test_rise_outside(cnn, batch):
    """Of images that were normalised outside the model, blur and zero are those of the inputs."""
    images, attribution = batch(3, 3, HEIGHT, WIDTH)
    inner = cnn()
    outside = gap(inner, (images - MEAN) / STD, None, attribution, fill=("blur", 0.0), preset="rise")
    torch.testing.assert_close(outside, gap(Normalised(inner), images, None, attribution, preset="rise"))


@pytest.mark.parametrize("per_step", GIVEN)
@pytest.mark.parametrize(
    ("preset", "area", "readout"),
    [
        ("agi", np.mean, "prob"),
        ("abe", area_of_rise, "prob"),
        ("abe", area_of_rise, "logit"),
        ("laai", area_of_rise, "prob"),
    ],
)
def test_union_of_channels(preset, area, readout, per_step, case):
    """AGI, ABE, AttEXplore, ISA: RISE's loop, given attributions of three channels and black."""
    model, images, attribution, predicted = case
    ins, dels = (
        f(model, images, None, attribution, readout=readout, preset=preset, **step(per_step)) for f in FUNCTIONS[:2]
    )
    for i, image in enumerate(images):
        sets = list(sets_of_positions(order_of(attribution[i]), per_step or 224))
        score, black = of_class(model, predicted[i], readout), torch.zeros_like(image)
        assert float(ins[i]) == pytest.approx(area(walked(score, black, image, sets)), abs=1e-10)
        assert float(dels[i]) == pytest.approx(area(walked(score, image, black, sets)), abs=1e-10)


@pytest.mark.parametrize("per_step", [None, 100])
def test_la(per_step, case):
    """Single numbers of all channels, 3 x 224 per step."""
    model, images, attribution, predicted = case
    ins, dels = (f(model, images, None, attribution, preset="la", **step(per_step)) for f in FUNCTIONS[:2])
    for i, image in enumerate(images):
        order = np.flip(np.argsort(attribution[i].flatten().numpy()))
        many = per_step or 672
        sets = [order[k : k + many].tolist() for k in range(0, len(order), many)]
        score, black = of_class(model, predicted[i]), torch.zeros_like(image)
        assert float(ins[i]) == pytest.approx(area_of_rise(walked(score, black, image, sets)), abs=1e-10)
        assert float(dels[i]) == pytest.approx(area_of_rise(walked(score, image, black, sets)), abs=1e-10)


@pytest.mark.parametrize("per_step", GIVEN)
def test_quantus_pixel_flipping(per_step, case):
    """Single numbers to the image's smallest; the unperturbed image is no point; the step has length one."""
    model, images, attribution, _ = case
    labels = torch.tensor([1, 0, 3])
    found = deletion(model, images, labels, attribution, preset="quantus", **step(per_step))
    for i, image in enumerate(images):
        order = np.argsort(-attribution[i].flatten().numpy())
        many = per_step or 224
        sets = [order[k : k + many].tolist() for k in range(0, len(order), many)]
        scores = walked(of_class(model, int(labels[i])), image, torch.full_like(image, float(image.min())), sets)[1:]
        assert float(found[i]) == pytest.approx(sum((a + b) / 2 for a, b in pairwise(scores)), abs=1e-10)


def test_a_map_without_channels_is_ranked_as_it_is(case):
    model, images, attribution, _ = case
    one = attribution[:, :1]
    expected = gap(model, images, None, one, pixels_per_step=224, area="mean")
    torch.testing.assert_close(gap(model, images, None, one, preset="agi"), expected)


def test_what_a_preset_sets_can_be_set_otherwise(case):
    model, images, attribution, _ = case
    found = gap(
        model, images, None, attribution, fill="white", preset="agi", rank="max", area="even", pixels_per_step=50
    )
    plain = gap(model, images, None, attribution, fill="white", rank="max", area="even", pixels_per_step=50)
    assert torch.equal(found, plain)


@pytest.mark.parametrize(("preset", "points", "ends"), [("rise", 4, 3), ("agi", 4, 2), ("la", 4, 2), ("quantus", 8, 2)])
def test_passes(preset, points, ends, case):
    """All quantities of both paths for `points - 2` inner points of each, the clean image and one or two fills."""
    model, images, attribution, _ = case
    counter = Counter(model)
    PerturbationCurves(preset=preset).update(counter, images, None, attribution)
    assert counter.forwards == 3 * (2 * (points - 2) + ends)


def test_curves_of_any_size_add_up(case, batch, cnn):
    """With a number of positions per step, images of other sizes have other numbers of points."""
    model, images, attribution, _ = case
    curves = PerturbationCurves(preset="abe", steps=10)
    curves.update(model, images, None, attribution)
    curves.update(model, *batch(2, 3, 16, 15)[:1], None, batch(2, 3, 16, 15)[1])
    summary = curves.summaries()["ins"]["all"]
    assert (summary.samples, summary.curve.shape) == (5, (11,))
    evaluation = Evaluation(model, images)
    torch.testing.assert_close(
        curves["del"].read(evaluation.of(attribution)).curve[:, 0], evaluation.evidence.softmax(1).amax(1)
    )

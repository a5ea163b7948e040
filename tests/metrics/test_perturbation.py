"""Insertion, deletion and gap against a plain loop, and their identities."""

import numpy as np
import pytest
import torch

from lit_attr.attribution import ConfusionFeature
from lit_attr.metrics import METRICS, Deletion, Evaluation, Gap, Insertion
from lit_attr.metrics._perturbation import Perturbation
from lit_attr.metrics._readouts import row_of
from lit_attr.metrics.functional import deletion, gap, insertion

PROB = row_of("prob")
SHARED = {"insertion": insertion, "deletion": deletion}


@pytest.mark.parametrize("path", ["insertion", "deletion"])
@pytest.mark.parametrize(
    ("channels", "height", "width", "steps"),
    [(3, 6, 6, 36), (3, 6, 6, 7), (1, 5, 7, 12), (3, 5, 7, 64), (1, 4, 4, 1), (2, 7, 4, 27)],
    ids=["all", "not dividing", "odd grey", "more than positions", "one", "nearly all"],
)
def test_equals_the_plain_loop(path, channels, height, width, steps, cnn, batch, plain):
    images, attribution = batch(3, channels, height, width)
    model, targets = cnn(channels), torch.tensor([4, 0, 2])
    found = SHARED[path](model, images, targets, attribution, steps=steps)
    for i, image in enumerate(images):
        ranking, blank = attribution[i].sum(0).numpy(), np.zeros(image.shape)
        expected = plain(model, image, int(targets[i]), ranking, blank, steps, path)
        assert float(found[i]) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("path", ["insertion", "deletion"])
@pytest.mark.parametrize("squeeze", [False, True])
def test_equals_the_plain_loop_with_ties_and_one_channel_maps(path, squeeze, cnn, batch, plain):
    images, attribution = batch(3)
    coarse = attribution[:, :1].clamp_min(0).mul(2).round()  # half the positions equal
    found = SHARED[path](cnn(), images, 1, coarse[:, 0] if squeeze else coarse, steps=10)
    for i, image in enumerate(images):
        expected = plain(cnn(), image, 1, coarse[i, 0].numpy(), np.zeros(image.shape), 10, path)
        assert float(found[i]) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("path", ["insertion", "deletion"])
def test_equals_the_plain_loop_in_float32(path, cnn, batch, plain):
    images, attribution = (t.float() for t in batch(3))
    model = cnn(dtype=torch.float32)
    found = SHARED[path](model, images, None, attribution[:, :1], steps=13)
    assert found.dtype == torch.float32
    for i, image in enumerate(images):
        target = int(model(image[None]).argmax())
        blank = np.zeros(image.shape, dtype=np.float32)
        expected = plain(model, image, target, attribution[i, 0].numpy(), blank, 13, path)
        assert float(found[i]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("fill", ["white", "mean", 0.3, torch.flip])
def test_equals_the_plain_loop_with_other_fills(fill, cnn, batch, plain):
    images, attribution = batch(2)
    function = (lambda x: torch.flip(x, (-1,))) if fill is torch.flip else fill
    image = images[0].numpy()
    blank = {"white": np.ones_like(image), "mean": np.broadcast_to(image.mean((1, 2), keepdims=True), image.shape)}
    other = image[..., ::-1] if fill is torch.flip else blank.get(fill, np.full_like(image, 0.3))
    for path, metric in SHARED.items():
        found = metric(cnn(), images, 2, attribution, fill=function, steps=9)
        expected = plain(cnn(), images[0], 2, attribution[0].sum(0).numpy(), other.copy(), 9, path)
        assert float(found[0]) == pytest.approx(expected, abs=1e-10)


def test_least_relevant_first_deletion_is_most_relevant_first_insertion_reversed(cnn, batch):
    images, attribution = batch()
    evaluation, perturbation = Evaluation(cnn(), images), Perturbation(steps=12)
    inserted = perturbation.reading(evaluation.of(attribution), "insertion", PROB).curve
    deleted = perturbation.reading(evaluation.of(-attribution), "deletion", PROB).curve
    torch.testing.assert_close(deleted.flip(1), inserted, atol=1e-13, rtol=0)


def test_ends_are_the_clean_and_the_filled_score(cnn, batch):
    images, attribution = batch()
    model = cnn()
    evaluation, perturbation = Evaluation(model, images), Perturbation(fill=0.5, steps=3)
    inserted = perturbation.reading(evaluation.of(attribution), "insertion", PROB).curve
    deleted = perturbation.reading(evaluation.of(attribution), "deletion", PROB).curve
    index = evaluation.target.index[:, None]
    clean = model(images).softmax(1).gather(1, index)[:, 0].detach()
    filled = model(torch.full_like(images, 0.5)).softmax(1).gather(1, index)[:, 0].detach()
    for curve, start, finish in [(inserted, filled, clean), (deleted, clean, filled)]:
        torch.testing.assert_close(curve[:, 0], start)
        torch.testing.assert_close(curve[:, -1], finish)


def test_only_the_order_of_the_attribution_counts(cnn, batch):
    images, attribution = batch()
    attribution = attribution[:, :1]
    torch.testing.assert_close(
        gap(cnn(), images, 0, attribution, steps=9), gap(cnn(), images, 0, (attribution * 3).exp(), steps=9)
    )


def test_function_fill_is_evaluated_once_for_all_curves(cnn, batch):
    images, attribution = batch()
    calls = []

    def fill(inputs):
        calls.append(len(inputs))
        return torch.rand_like(inputs)

    evaluation = Evaluation(cnn(), images)
    values = [m(fill, 5).per_sample(evaluation.of(attribution)) for m in (Insertion, Deletion, Gap)]
    assert calls == [4]
    torch.testing.assert_close(values[0] - values[1], values[2])


def test_drawing_in_a_fill_leaves_the_random_state(cnn, batch):
    (images, attribution), net = batch(), cnn()
    before = torch.get_rng_state()
    insertion(net, images, 0, attribution, fill=torch.rand_like, steps=4)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("metrics", "per_sample"),
    [((Insertion,), 9), ((Deletion,), 9), ((Gap,), 16), ((Insertion, Deletion, Gap), 16), ((Insertion, Insertion), 9)],
)
def test_counted_passes_are_the_declared_ones(metrics, per_sample, cnn, counting, batch):
    images, attribution = batch(3)
    model = counting(cnn())
    evaluation = Evaluation(model, images)
    for metric in metrics:
        metric(steps=8).per_sample(evaluation.of(attribution))
    assert model.samples == 3 * per_sample
    assert evaluation.passes == (per_sample, 0)
    if len(metrics) == 1:
        assert metrics[0](steps=8).passes == evaluation.passes


def test_second_attribution_shares_the_ends(cnn, counting, batch):
    images, attribution = batch(3)
    model = counting(cnn())
    evaluation = Evaluation(model, images)
    for other in (attribution, -attribution, attribution.abs()):
        Gap(steps=8).per_sample(evaluation.of(other))
    assert model.samples == 3 * (2 + 3 * 14)


def test_more_steps_than_positions_cost_one_pass_per_position(cnn, counting, batch):
    images, attribution = batch(2, 1, 3, 3)
    model = counting(cnn(1))
    insertion(model, images, 0, attribution, steps=64)
    assert model.samples == 2 * (8 + 2)


def test_features_and_tokens():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3))
    assert gap(model, torch.rand(2, 12), None, torch.randn(2, 12), steps=5).shape == (2,)
    for shape in [(2, 4, 3), (2, 4)]:
        assert gap(model, torch.rand(2, 4, 3), None, torch.randn(shape), steps=4).shape == (2,)


def test_prediction_is_fixed_on_the_clean_input(cnn, batch):
    images, attribution = batch()
    predicted = cnn()(images).argmax(1)
    expected = insertion(cnn(), images, predicted, attribution, steps=6)
    assert torch.equal(insertion(cnn(), images, None, attribution, steps=6), expected)
    assert not torch.allclose(insertion(cnn(), images, (predicted + 1) % 5, attribution, steps=6), expected)


def test_bad_settings():
    with pytest.raises(ValueError, match="`steps` must be a positive integer, got 0"):
        Perturbation(steps=0)
    with pytest.raises(ValueError, match="`max_batch` must be a positive integer, got -1"):
        Perturbation(max_batch=-1)
    with pytest.raises(ValueError, match="`fill` is 'grey'"):
        Perturbation(fill="grey")
    with pytest.raises(ValueError, match="`fill` is 'grey'"):
        Perturbation(fill=("blur", "grey"))
    with pytest.raises(ValueError, match=r"`fill` must be one fill, or two: for insertion and for deletion, got \("):
        Perturbation(fill=("blur", "black", "white"))
    with pytest.raises(ValueError, match="`pixels_per_step` must be a positive integer, got 0"):
        Perturbation(pixels_per_step=0)
    for name in ("rank", "area", "preset"):
        with pytest.raises(ValueError, match=f"`{name}` is 'sam'; accepted"):
            Perturbation(**{name: "sam"})


def test_fill_of_another_shape(cnn, batch):
    images, attribution = batch()
    with pytest.raises(ValueError, match=r"`fill` must be a tensor that broadcasts to \(4, 3, 6, 6\)"):
        insertion(cnn(), images, 0, attribution, fill=lambda x: x[..., :5])


def test_protocol_is_plain_data():
    assert Perturbation(steps=5).protocol["steps"] == 5
    assert Perturbation(fill=0.5).protocol["fill"] == 0.5
    assert Perturbation(fill=torch.zeros_like).protocol["fill"] == "zeros_like"
    assert Perturbation(fill=torch.nn.Identity()).protocol["fill"] == "Identity"


def test_two_fills_are_one_for_each_path(cnn, batch):
    images, attribution = batch()
    given, more = (cnn(), images, None, attribution), {"steps": 5}
    found = gap(*given, fill=["white", 0.2], **more)  # a list, as configs have it
    torch.testing.assert_close(
        found, insertion(*given, fill="white", **more) - deletion(*given, fill=0.2, **more), atol=1e-12, rtol=0
    )
    metric = Gap(("white", 0.2), 5)
    assert metric.protocol["fill"] == ["white", 0.2]
    evaluation = Evaluation(*given[:2])
    metric.per_sample(evaluation.of(attribution))
    assert evaluation.passes == metric.passes == (2 * 4 + 3, 0)


def test_passes_with_pixels_per_step_are_those_of_an_image_of_imagenet():
    assert Gap(preset="agi").passes == (2 * 223 + 2, 0)
    assert Gap(preset="rise").passes == (2 * 223 + 3, 0)
    assert Insertion(preset="la").passes == (223 + 2, 0)


@pytest.fixture
def least_certain(monkeypatch):
    """A model that is least certain about one colour, and how often that is searched for."""

    class OfColour(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("colour", torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64))

        def forward(self, inputs):
            away = inputs.mean((2, 3)) - self.colour
            return torch.cat([away * 10, away[:, :1] * 0], dim=1)

    searched = []
    plain = ConfusionFeature._search
    monkeypatch.setattr(ConfusionFeature, "_search", lambda *given: searched.append(1) or plain(*given))
    return OfColour(), searched


@pytest.mark.parametrize("context", [torch.enable_grad, torch.inference_mode])
def test_confusion_fills_with_the_colour_that_says_least(least_certain, context, batch):
    (model, searched), (images, attribution) = least_certain, batch()
    feature = ConfusionFeature()
    with context():
        found = gap(model, images.clone(), 0, attribution.clone(), fill="confusion", steps=6)
    for other in (feature, lambda x: feature(model, (3, 6, 6)).expand_as(x)):
        expected = gap(model, images, 0, attribution, fill=other, steps=6)
        torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)
    assert len(searched) == 1  # for all batches
    gap(model, *batch(2, 3, 5, 5)[:1], 0, batch(2, 3, 5, 5)[1], fill="confusion", steps=6)
    assert len(searched) == 2  # another size
    curve = Insertion("confusion", 6).read(Evaluation(model, images, 0).of(attribution)).curve
    torch.testing.assert_close(curve[:, 0], torch.full((4,), 0.25, dtype=torch.float64), atol=0.02, rtol=0)


def test_confusion_that_is_none_is_told(batch):
    class Sure(torch.nn.Module):
        def forward(self, inputs):
            return torch.cat([inputs.mean((1, 2, 3))[:, None] + 5, inputs.new_zeros(len(inputs), 1)], dim=1)

    images, attribution = batch()
    with pytest.warns(UserWarning, match=r"fill 'confusion': entropy of 0\.0\d of the largest possible; the model is"):
        gap(Sure(), images, 0, attribution, fill="confusion", steps=4)


def test_confusion_in_the_protocol():
    assert Gap("confusion").protocol["fill"] == "confusion"
    told = [Gap(fill)._cfg.tolist() for fill in ("confusion", ConfusionFeature(seed=1), ConfusionFeature(seed=2))]
    assert told[0] != told[1] != told[2]
    assert METRICS.build("gap", {"fill": "confusion", "preset": "laai"}).perturbation.rank == "union"


@pytest.mark.parametrize("rank", ["abs_sum", "abs_of_sum", "max"])
def test_equals_the_plain_loop_with_other_ranks(rank, cnn, batch, plain):
    images, attribution = batch(2)
    maps = {"abs_sum": lambda a: a.abs().sum(0), "abs_of_sum": lambda a: a.sum(0).abs(), "max": lambda a: a.amax(0)}
    for path, metric in SHARED.items():
        found = metric(cnn(), images, 2, attribution, steps=9, rank=rank)
        for i, image in enumerate(images):
            expected = plain(cnn(), image, 2, maps[rank](attribution[i]).numpy(), np.zeros(image.shape), 9, path)
            assert float(found[i]) == pytest.approx(expected, abs=1e-10)

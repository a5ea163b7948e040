"""Performance information curves: PAIR's own code, slow restatements, and what is left out."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from saliency.metrics import pic as pair
from torch import nn

from _reference.nets import Recorder
from lit_attr.metrics import AIC, SIC
from lit_attr.metrics._diffusion import diffuse
from lit_attr.metrics._evaluation import Evaluation
from lit_attr.metrics.functional import aic, sic
from lit_attr.metrics.pic import THRESHOLDS, _curve, _levels, _revealed, _start

FEW = (0.05, 0.2, 0.6)


def eight_bit(size=3, channels=3, height=14, width=17, seed=0):
    """Images of 8-bit levels, float64, half smooth and half noise, and a map without ties."""
    generator = torch.Generator().manual_seed(seed)
    ramp = torch.linspace(0, 150, width, dtype=torch.float64).expand(size, channels, height, width)
    noise = torch.rand(size, channels, height, width, generator=generator, dtype=torch.float64) * 105
    images = (ramp + noise).round() / 255
    return images, torch.randn(size, height, width, generator=generator, dtype=torch.float64)


def linear(channels=3, pixels=14 * 17, classes=4, scale=6):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(channels * pixels, classes, dtype=torch.float64))
    with torch.no_grad():
        model[1].weight.mul_(scale)
    return model


def rising(model, images, fill="delaunay"):
    """A target for each image of which blurring takes something."""
    ends = [SIC(fill)._information._ends(Evaluation(model, images, target)) for target in range(4)]
    return torch.stack([full.scores[0] - start.scores[0] for full, start in ends]).argmax(0)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("readout", ["prob", "accuracy"])
def test_equals_pairs_code(channels, readout, monkeypatch):
    monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)  # which newer versions of NumPy lack
    images, attribution = eight_bit(6, channels)
    model = linear(channels)
    target = rising(model, images)
    metric = SIC("delaunay", 0.0) if readout == "prob" else AIC("delaunay")
    value, curve, defined = metric.read(Evaluation(model, images, target).of(attribution))
    known = _start(images, 0)[0, 0].numpy()
    compared = 0
    for i in range(6):

        def predict(batch, i=i):
            x = torch.from_numpy(batch).double() / 255
            x = x[:, None] if x.dim() == 3 else x.permute(0, 3, 1, 2)
            p = model(x).softmax(1)
            return ((p[:, target[i]]) if readout == "prob" else (p.argmax(1) == target[i]).double()).detach().numpy()

        levels = (images[i] * 255).round().byte().permute(1, 2, 0).numpy()
        given = (levels[..., 0] if channels == 1 else levels, attribution[i].numpy(), known, predict, THRESHOLDS)
        try:
            expected = pair.compute_pic_metric(*given, min_pred_value=0.0 if readout == "prob" else 1.0)
        except pair.ComputePicMetricError:
            assert not defined[i]
            assert value[i].isnan()
            continue
        compared += 1
        assert float(value[i]) == pytest.approx(expected.auc, abs=1e-9)
        np.testing.assert_allclose(curve[i].numpy(), expected.curve_y, atol=1e-9)
    assert compared >= 2


@pytest.mark.parametrize("function", [sic, aic])
def test_diffusion_equals_a_slow_loop(function):
    images, attribution = eight_bit(4)
    model = linear()
    target = rising(model, images, "diffusion")
    settings = {"thresholds": FEW} | ({"min_score": 0} if function is sic else {})
    found = function(model, images, target, attribution, **settings)
    start = _start(images, 0)[0, 0]

    def look(image, y):
        file = BytesIO()
        Image.fromarray(image.byte().permute(1, 2, 0).numpy()).save(file, format="webp", lossless=True, quality=100)
        p = model(image[None] / 255).softmax(1)[0].detach()
        return file.tell(), float(p[y]) if function is sic else float(p.argmax() == y)

    for i in range(4):
        order = attribution[i].flatten().argsort(descending=True)
        points = []
        for share in (0, *FEW):
            known = start.flatten().clone()
            known[order[: round(share * 238)]] = True
            filled = diffuse((images[i : i + 1] * 255), known.view(1, 1, 14, 17)).round()[0]
            points.append(look(filled, target[i]))
        (e0, p0), *points, (e1, p1) = *points, look(images[i] * 255, target[i])
        if e0 >= e1 or p0 >= p1 or (function is aic and not p1):
            assert found[i].isnan()
            continue
        best, knots = 0.0, {}
        for e, p in points:
            best = max(best, min(1, max(0, (p - p0) / (p1 - p0))))
            knots[min(1, max(0, (e - e0) / (e1 - e0)))] = best
        knots = {**knots, 0.0: 0.0, 1.0: 1.0}
        at = np.arange(1001) / 1000
        curve = np.interp(at, sorted(knots), [knots[x] for x in sorted(knots)])
        assert float(found[i]) == pytest.approx(np.sum(curve[1:] + curve[:-1]) / 2000, abs=1e-9)
    if function is sic:
        assert found.isfinite().all()


@pytest.mark.parametrize("pixels", [9, 100, 144, 238])
def test_as_many_are_revealed_as_reach_the_quantile(pixels):
    values = np.random.default_rng(0).permutation(pixels) + 0.0
    for share in (*THRESHOLDS, 0.25, 0.33, 0.99):
        assert _revealed(share, pixels) == (values >= np.quantile(values, 1 - share)).sum()


@pytest.mark.parametrize("fill", ["diffusion", "delaunay"])
def test_known_pixels_are_left_as_they_are(fill):
    images, attribution = eight_bit(1)
    net = Recorder(linear())
    sic(net, images, 1, attribution, fill, 0, FEW)
    clean, blurred, *steps = net.points
    assert torch.equal(clean, images[0])
    known = _start(images, 0)[0, 0]
    assert int(known.sum()) in range(5, 7)  # floor(2.38) and four corners, of which one may be drawn
    for point, count in zip([blurred, *steps], [0, *(_revealed(t, 238) for t in FEW)], strict=True):
        seen = known.flatten().clone()
        seen[attribution[0].flatten().argsort(descending=True)[:count]] = True
        torch.testing.assert_close(point.flatten(1)[:, seen], images[0].flatten(1)[:, seen], rtol=0, atol=1e-12)
        levels = point * 255
        torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-9)  # eight bits, as they are counted


def test_ties_are_revealed_by_index_and_constant_maps_counted():
    images, _ = eight_bit(2)
    model = linear()
    target = rising(model, images, "diffusion")
    metric = SIC(min_score=0, thresholds=FEW)
    metric.update(model, images, target, torch.ones(2, 14, 17))
    index = -torch.arange(238.0).view(1, 14, 17).expand(2, 14, 17)
    assert (metric.count, metric.constant) == (2, 2)
    expected = sic(model, images, target, index, min_score=0, thresholds=FEW).mean()
    torch.testing.assert_close(metric.compute(), expected.float())


def test_an_increasing_transform_changes_nothing():
    images, attribution = eight_bit(2)
    model = linear()
    given, settings = (model, images, rising(model, images, "diffusion")), {"min_score": 0, "thresholds": FEW}
    assert torch.equal(sic(*given, attribution, **settings), sic(*given, attribution.exp(), **settings))


def test_curve_of_points_worked_out_by_hand():
    x = torch.tensor([[0.0, 0.5, 0.25, 1.0]], dtype=torch.float64)  # bytes may fall: points are sorted
    y = torch.tensor([[0.2, 0.6, 0.4, 0.8]], dtype=torch.float64)  # 0.4 is lifted to 0.6; (0, 0) hides the first
    curve = _curve(x, y)[0]
    assert curve[[0, 250, 500, 1000]].tolist() == pytest.approx([0, 0.6, 0.6, 1])
    assert float(curve[125]) == pytest.approx(0.3)
    assert float(curve[750]) == pytest.approx(0.7)  # on the way to the point at (1, 0.8)


@pytest.mark.parametrize("max_batch", [1, 4, 100])
def test_shared_passes_chunks_and_company(max_batch, cnn, counting):
    images, attribution = eight_bit()
    target = rising(linear(), images, "diffusion")
    expected = sic(linear(), images, target, attribution, min_score=0, thresholds=FEW)
    model = counting(linear())
    evaluation = Evaluation(model, images, target)
    metric = SIC(min_score=0, thresholds=FEW, max_batch=max_batch)
    found = metric.per_sample(evaluation.of(attribution))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    assert model.samples == 3 * metric.passes.forward == 3 * 5
    assert model.largest == (9 if max_batch == 100 else 3)  # nine even parts of at most four are three
    AIC(thresholds=FEW).per_sample(evaluation.of(attribution))
    assert model.samples == 3 * 5
    SIC(min_score=0, thresholds=FEW).per_sample(evaluation.of(-attribution))
    assert model.samples == 3 * (5 + 3)
    alone = sic(linear(), images[1:2], target[1:2], attribution[1:2], min_score=0, thresholds=FEW)
    torch.testing.assert_close(alone, expected[1:2], rtol=0, atol=1e-10)


def test_what_has_no_value_is_left_out():
    images, attribution = eight_bit(4)
    images[1] = 0.5  # nothing to blur: as many bytes
    model = linear().requires_grad_(False)
    target = rising(model, images, "diffusion")
    target[2] = model(images[2:3]).softmax(1).argmin()  # hardly predicted
    sure = model(images).softmax(1).gather(1, target[:, None])[:, 0]
    attribution[3, 0, 0] = torch.nan
    metric = SIC(min_score=float(sure[2]) + 1e-6, thresholds=FEW)
    metric.update(model, images, target, attribution)
    assert (metric.count, metric.undefined, metric.invalid) == (1, 2, 1)
    with pytest.warns(UserWarning, match="sic leaves out samples without a value: the model is not sure"):
        assert metric.compute().isfinite()
    hits = AIC(thresholds=FEW)
    hits.update(model, images, target, attribution)
    assert hits.undefined >= 2
    assert hits.invalid == 1


def test_output_that_is_not_finite_is_counted():
    class Broken(nn.Module):
        def forward(self, inputs):
            out = linear()(inputs)
            return out.masked_fill((inputs[:, :, 3, 3] != 7 / 255).all(1)[:, None], torch.nan)

    images, attribution = eight_bit(2)
    images[:, :, 3, 3] = 7 / 255  # gone when the image is blurred
    for metric in (SIC(min_score=0, thresholds=FEW), AIC(thresholds=FEW)):
        metric.update(Broken(), images, int(linear()(images).argmax(1)[0]), attribution)
        assert metric.count == 0
        assert metric.invalid >= 1


@pytest.mark.parametrize("size", [1, 4, 5])
@pytest.mark.parametrize("cls", [SIC, AIC])
def test_the_median_of_the_curves_is_that_of_pairs_code(cls, size, monkeypatch):
    monkeypatch.setattr(np, "trapz", np.trapezoid, raising=False)
    images, attribution = eight_bit(12)
    model = linear()
    target = rising(model, images, "diffusion")
    given = {"thresholds": FEW} | ({"min_score": 0} if cls is SIC else {})
    curve = cls(**given).read(Evaluation(model, images, target).of(attribution)).curve
    rows = curve.isfinite().all(1).nonzero()[:size, 0]
    assert len(rows) == size
    metric = cls(aggregate="median", **given)
    for part in rows.split(3):
        metric.update(model, images[part], target[part], attribution[part])
    places = np.arange(1001) / 1000
    each = [pair.PicMetricResult(places, curve[i].numpy(), [], [], [], 0.0) for i in rows]
    expected = pair.aggregate_individual_pic_results(each, method="median")
    assert float(metric.compute()) == pytest.approx(expected.auc, abs=5e-4)
    np.testing.assert_allclose(metric.curve().numpy(), expected.curve_y, atol=5.1e-4)
    summary = metric.summaries()["all"]
    assert (summary.samples, bool(summary.standard_error.isnan())) == (size, True)


def test_medians_of_groups_and_without_samples():
    images, attribution = eight_bit(6)
    model = linear()
    target = rising(model, images, "diffusion")
    settings = {"min_score": 0, "thresholds": FEW, "aggregate": "median"}
    metric = SIC(**settings)
    assert metric.summaries()["all"].curve.isnan().all()
    sure = Evaluation(model, images, target).confidence
    edge = float(sure.median())
    metric.split_by_confidence(edge).update(model, images, target, attribution)
    for name, which in (("all", sure > 0), (f"below_{edge:g}", sure < edge), (f"from_{edge:g}", sure >= edge)):
        alone = SIC(**settings)
        alone.update(model, images[which], target[which], attribution[which])
        assert torch.equal(metric.summaries()[name].curve, alone.curve())
        assert torch.equal(metric.summaries()[name].value, alone.compute())


@pytest.mark.parametrize("reduction", ["abs_of_sum", "abs_sum"])
def test_the_map_may_be_without_a_sign(reduction):
    images, _ = eight_bit(2)
    attribution = torch.randn(2, 3, 14, 17, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    reduced = attribution.sum(1).abs() if reduction == "abs_of_sum" else attribution.abs().sum(1)
    model = linear()
    given, settings = (model, images, rising(model, images, "diffusion")), {"min_score": 0, "thresholds": FEW}
    found = sic(*given, attribution, reduction=reduction, **settings)
    assert torch.equal(found, sic(*given, reduced, **settings))
    assert not torch.equal(found, sic(*given, attribution, **settings))


def test_only_the_published_fill_is_called_pic():
    for cls in (SIC, AIC):
        assert [cls(fill).protocol["name"] for fill in ("delaunay", "diffusion")] == ["PIC", "PIC-fast"]
    metrics = [SIC(), AIC(), SIC("delaunay"), SIC(min_score=0.5), SIC(seed=1), SIC(thresholds=FEW)]
    metrics += [SIC(aggregate="median"), SIC(reduction="abs_sum")]
    assert len({tuple(metric._cfg.tolist()) for metric in metrics}) == len(metrics)


@pytest.mark.parametrize("cls", [SIC, AIC])
def test_settings_are_checked(cls):
    for thresholds in ((), (0.0, 0.5), (0.5, 1.0)):
        with pytest.raises(ValueError, match=r"`thresholds` must be at least one share in \(0, 1\)"):
            cls(thresholds=thresholds)
    with pytest.raises(ValueError, match="`thresholds` must be ascending"):
        cls(thresholds=(0.5, 0.1))
    with pytest.raises(ValueError, match=r"`fill` is 'delauney'.*did you mean 'delaunay'"):
        cls("delauney")
    with pytest.raises(ValueError, match=r"`min_score` must be in \[0, 1\], got 1\.5"):
        SIC(min_score=1.5)


@pytest.mark.parametrize("shape", [(2, 6), (2, 2, 8, 8), (2, 1, 1, 8)])
def test_inputs_are_checked(shape):
    model = nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape[1:])), 2))
    with pytest.raises(ValueError, match=r"`inputs` must be images .* with one or three channels"):
        sic(model, torch.rand(shape), 1, torch.rand(shape))


def test_normalised_inputs_are_refused():
    images, attribution = eight_bit()
    with pytest.raises(ValueError, match=r"`inputs` must be images in \[0, 1\]"):
        sic(linear(), images * 3, 1, attribution)


def test_levels_of_half_precision_are_counted_in_single():
    """In bfloat16 there is nothing between 254 and 256."""
    found = _levels(torch.tensor([1.0, 0.99609375], dtype=torch.bfloat16))
    assert (found.dtype, found.tolist()) == (torch.float32, [255, 254])
    assert _levels(torch.tensor([0.5], dtype=torch.float64)).dtype == torch.float64

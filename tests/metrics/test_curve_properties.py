"""What holds for any shape, ties, constant maps, NaN, one class, one unit, batches of one."""

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from lit_attr.metrics import Evaluation, PerturbationCurves
from lit_attr.metrics.curves import AREAS
from lit_attr.metrics.functional import perturbation_curves
from lit_attr.metrics.ranking import RANKS

SLOW = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def cases(draw):
    """A model, samples and settings; attributions of few values, so that many are equal."""
    batch, classes = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    shape = draw(
        st.one_of(
            st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4)),  # images
            st.tuples(st.integers(1, 4), st.integers(1, 3)),  # tokens
            st.tuples(st.integers(1, 6)),  # features
        )
    )
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    images = torch.rand(batch, *shape, generator=generator, dtype=torch.float64)
    levels = draw(st.sampled_from([0, 1, 3, 1000]))  # 0: the same everywhere
    attribution = (torch.randn(batch, *shape, generator=generator, dtype=torch.float64) * levels).round()
    model = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), classes, dtype=torch.float64))
    with torch.no_grad():
        model[1].weight.copy_(torch.randn(model[1].weight.shape, generator=generator, dtype=torch.float64) * 3)
        model[1].bias.zero_()
    how = {"steps": draw(st.integers(1, 12)), "rank": draw(st.sampled_from(RANKS))}
    how |= {"pixels_per_step": draw(st.one_of(st.none(), st.integers(1, 20)))}
    return model, images, attribution, how | {"fill": draw(st.sampled_from(["black", "mean", "min", 0.3]))}


@SLOW
@given(case=cases(), area=st.sampled_from(list(AREAS)))
def test_ranges_and_ends(case, area):
    model, images, attribution, how = case
    found = perturbation_curves(model, images, None, attribution, area=area, **how)
    classes = max(2, model[1].out_features)
    with torch.no_grad():
        logits = model(images)
    logits = torch.cat([logits * 0, logits], 1) if logits.shape[1] == 1 else logits
    torch.testing.assert_close(found["del"].curve[:, 0], logits.softmax(1).amax(1))
    torch.testing.assert_close(found["ins"].curve[:, 0], found["del"].curve[:, -1])
    torch.testing.assert_close(found["ins"].curve[:, -1], found["del"].curve[:, 0])
    tops = {"ins": 1, "del": 1, "accuracy_ins": 1, "accuracy_del": 1}
    tops |= dict.fromkeys(("entropy_ins", "entropy_del"), torch.tensor(float(classes)).log())
    for name, reading in found.items():
        assert reading.value.isfinite().all()
        assert reading.curve.shape == (len(images), how["steps"] + 1)
        if name in tops:
            assert float(reading.curve.min()) >= 0
            assert float(reading.curve.max()) <= tops[name] + 1e-9
        if name in ("kl_ins", "kl_del"):
            assert float(reading.value.min()) >= 0
    for name in ("gap", "kl_gap"):
        one, other = (found[name.replace("gap", path)] for path in ("ins", "del"))
        torch.testing.assert_close(found[name].value, one.value - other.value)


@SLOW
@given(case=cases())
def test_a_sample_does_not_depend_on_the_others(case):
    model, images, attribution, how = case
    together = perturbation_curves(model, images, 0, attribution, max_batch=2, **how)
    for i in range(len(images)):
        alone = perturbation_curves(model, images[i : i + 1], 0, attribution[i : i + 1], **how)
        for name, reading in alone.items():
            torch.testing.assert_close(together[name].value[i : i + 1], reading.value, rtol=1e-9, atol=1e-12)


@SLOW
@given(case=cases())
def test_only_the_order_counts(case):
    """Oracle 2: a strictly increasing transform of a map changes nothing."""
    model, images, attribution, how = case
    one = attribution.sum(1, keepdim=True) if attribution.dim() == 4 else attribution
    if attribution.dim() == 3:
        one = attribution.sum(2, keepdim=True)
    how["rank"] = "sum"
    found = perturbation_curves(model, images, 0, one, **how)
    other = perturbation_curves(model, images, 0, (one / 1000).exp() * 3 - 1, **how)
    for name, reading in found.items():
        assert torch.equal(reading.value, other[name].value)


@SLOW
@given(case=cases())
def test_the_least_relevant_deleted_first_is_insertion_backwards(case):
    """Oracle 2, for maps without ties and steps that divide the positions."""
    model, images, attribution, how = case
    positions = attribution.flatten(1).shape[1] if attribution.dim() == 2 else attribution[0].numel()
    distinct = torch.randperm(positions, generator=torch.Generator().manual_seed(3)).double()
    distinct = distinct.expand(len(images), -1).reshape(attribution.shape)
    how |= {"rank": "element", "pixels_per_step": None, "steps": positions}
    one = perturbation_curves(model, images, 0, distinct, **how)
    other = perturbation_curves(model, images, 0, -distinct, **how)
    for name in ("ins", "kl_ins", "accuracy_ins", "entropy_ins"):
        backwards = other[name.replace("ins", "del")].curve.flip(1)
        torch.testing.assert_close(one[name].curve, backwards, rtol=1e-9, atol=1e-12)


@SLOW
@given(case=cases(), which=st.integers(0, 3))
def test_a_sample_with_nan_is_left_out_of_all(case, which):
    model, images, attribution, how = case
    which %= len(images)
    attribution[which].view(-1)[0] = torch.nan
    curves = PerturbationCurves(**how)
    curves.update(model, images, 0, attribution)
    evaluation = Evaluation(model, images, 0)
    for metric in curves.values():
        assert (metric.count, metric.invalid) == (len(images) - 1, 1)
        known = metric.per_sample(evaluation.of(attribution)).isfinite()
        assert known.tolist() == [i != which for i in range(len(images))]


def test_mean_and_area_of_even_steps():
    """Oracle 2: of a gap with shared ends, the mean is the area times T / (T + 1)."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3, dtype=torch.float64))
    images, attribution = torch.rand(2, 1, 6, 6, dtype=torch.float64), torch.randn(2, 6, 6)
    area, mean = (
        perturbation_curves(model, images, None, attribution, steps=12, area=area)["gap"].value
        for area in ("trapezoid", "mean")
    )
    torch.testing.assert_close(mean * 13 / 12, area)
    assert (mean != area).all()

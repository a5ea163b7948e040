"""All quantities in one pass, each what its own metric gives."""

import pytest
import torch
from torch import nn

from lit_attr.metrics import METRICS, Evaluation, PerturbationCurves
from lit_attr.metrics.functional import perturbation_curves

NAMES = {
    "ins": ("insertion", {}),
    "del": ("deletion", {}),
    "gap": ("gap", {}),
    "kl_ins": ("kl_insertion", {}),
    "kl_del": ("kl_deletion", {}),
    "kl_gap": ("kl_gap", {}),
    "accuracy_ins": ("insertion", {"readout": "accuracy"}),
    "accuracy_del": ("deletion", {"readout": "accuracy"}),
    "entropy_ins": ("insertion", {"readout": "entropy"}),
    "entropy_del": ("deletion", {"readout": "entropy"}),
}


def test_one_pass_gives_what_each_metric_gives_alone(batch, cnn, counting):
    images, attribution = batch()
    model = counting(cnn())
    curves = PerturbationCurves(0.4, steps=64, rank="union", confidence_edges=(0.7,))
    curves.update(model, images, None, attribution)
    assert model.samples == 4 * (2 * 35 + 2)  # 36 positions
    found = curves.compute()
    assert set(found) == set(NAMES)
    for name, (kind, more) in NAMES.items():
        alone = METRICS.build(kind, {"fill": 0.4, "steps": 64, "rank": "union", **more})
        alone.update(model.model, images, None, attribution)
        torch.testing.assert_close(found[name], alone.compute())
        torch.testing.assert_close(curves.summaries()[name]["all"].curve, alone.curve())
        assert curves[name].higher_is_better is alone.higher_is_better


def test_costs_what_insertion_and_deletion_cost(batch, cnn, counting):
    images, attribution = batch(2, 3, 9, 9)
    model = counting(cnn())
    PerturbationCurves().update(model, images, None, attribution)
    assert model.samples == 2 * (2 * 63 + 2)


def test_the_function_gives_values_and_curves(batch, cnn):
    images, attribution = batch()
    curves, found = PerturbationCurves(steps=6), perturbation_curves(cnn(), images, 1, attribution, steps=6)
    assert set(found) == set(NAMES)
    for name, reading in found.items():
        expected = curves[name].read(Evaluation(cnn(), images, 1).of(attribution))
        torch.testing.assert_close(reading, expected)
        assert reading.curve.shape == (4, 7)


def test_which_direction_is_better():
    found = {name: metric.higher_is_better for name, metric in PerturbationCurves().items()}
    assert {name for name, higher in found.items() if not higher} == {"del", "kl_del", "accuracy_del", "entropy_ins"}


def test_a_constant_model_has_one_value(batch):
    """Oracle 5."""

    class Constant(nn.Module):
        def forward(self, inputs):
            return torch.tensor([0.0, 1.0, 2.0], dtype=inputs.dtype).expand(len(inputs), 3)

    found = perturbation_curves(Constant(), batch()[0], None, batch()[1], steps=7)
    p = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64).softmax(0)
    expected = {"": p[2], "kl_": -p.log().mean() - torch.tensor(3.0).double().log(), "entropy_": -(p * p.log()).sum()}
    for prefix, value in (expected | {"accuracy_": torch.tensor(1.0).double()}).items():
        for path in ("ins", "del"):
            torch.testing.assert_close(found[prefix + path].value, value.expand(4))
    for name in ("gap", "kl_gap"):
        torch.testing.assert_close(found[name].value, torch.zeros(4, dtype=torch.float64), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", ["accuracy_ins", "accuracy_del"])
def test_accuracy_is_the_share_of_kept_predictions(name, batch, cnn):
    images, attribution = batch(6)
    model = cnn()
    curve = perturbation_curves(model, images, None, attribution, steps=9)[name].curve
    assert set(curve.unique().tolist()) == {0.0, 1.0}
    assert (curve[:, -1 if name == "accuracy_ins" else 0] == 1).all()
    kept = model(torch.zeros_like(images)).argmax(1) == model(images).argmax(1)
    assert torch.equal(curve[:, 0 if name == "accuracy_ins" else -1].bool(), kept)

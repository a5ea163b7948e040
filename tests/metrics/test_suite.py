"""A suite gives what its metrics give alone, and computes once what they share."""

import pytest
import torch

from lit_attr.attribution import IntegratedGradients
from lit_attr.metrics import METRICS, Insertion, MetricSuite

STEPS = {name: {"steps": 6} for name in ("insertion", "deletion", "gap")}


def test_each_metric_is_what_it_is_alone_and_passes_are_shared(cnn, counting, batch):
    images, attribution = batch(6)
    model, suite = counting(cnn()), MetricSuite(STEPS)
    for part in torch.arange(6).split(4):
        suite.update(model, images[part], None, attribution[part])
    assert model.samples == 6 * (2 * 5 + 2)
    found = suite.compute()
    for name, settings in STEPS.items():
        alone = METRICS.build(name, settings)
        alone.update(model, images, None, attribution)
        torch.testing.assert_close(found[name], alone.compute())
        torch.testing.assert_close(suite.summaries()[name]["all"], alone.summaries()["all"])


def test_the_method_makes_the_attribution_once(cnn, batch):
    images, _ = batch()
    method, calls = IntegratedGradients(steps=3), []

    def explain(model, inputs, target):
        calls.append(target)
        return method(model, inputs, target)

    by_method, by_function, given = (MetricSuite(STEPS) for _ in range(3))
    model = cnn()
    by_method.update(model, images, method=method)
    by_function.update(model, images, method=explain)
    given.update(model, images, None, method(model, images))
    assert by_method.compute() == by_function.compute() == given.compute()
    assert len(calls) == 1
    assert torch.equal(calls[0].index, model(images).argmax(1))


def test_forward_adds_a_batch_and_tells_it_alone(cnn, counting, batch):
    """As `self.log_dict(suite(...))` in a LightningModule."""
    images, attribution = batch(6)
    model, suite, method = counting(cnn()), MetricSuite(STEPS), IntegratedGradients(steps=3)
    first = suite(model, images[:4], None, attribution[:4])
    assert model.samples == 4 * (2 * 5 + 2)
    second = suite(model, images[4:], method=method)
    both = MetricSuite(STEPS)
    for found, given in ((first, (images[:4], None, attribution[:4])), (second, (images[4:], None, None))):
        alone = MetricSuite(STEPS)
        for each in (alone, both):
            each.update(model, *given, method=method)
        assert found == alone.compute()
    assert suite.compute() == both.compute()
    with pytest.raises(ValueError, match="give `attribution`, or the `method`"):
        suite(model, images)


def test_confidence_groups_of_all_metrics(cnn, batch):
    images, attribution = batch()
    suite = MetricSuite(STEPS, confidence_edges=(0.5, 0.7))
    suite.update(cnn(), images, 1, attribution)
    for name, summaries in suite.summaries().items():
        assert list(summaries) == ["all", "below_0.5", "from_0.5_below_0.7", "from_0.7"]
        everything, *groups = summaries.values()
        assert sum(group.samples for group in groups) == everything.samples == 4
        assert torch.equal(suite[name].compute(), summaries["all"].value)


def test_equal_metrics_stay_equal(cnn, batch):
    """MetricCollection lets metrics of equal settings share their states."""
    suite = MetricSuite({"a": Insertion(steps=4), "b": {"class": "insertion", "steps": 4}})
    images, attribution = batch()
    for _ in range(3):
        suite.update(cnn(), images, None, attribution)
    one, other = (suite.summaries()[name]["all"] for name in ("a", "b"))
    assert (one.value, one.standard_error, one.samples) == (other.value, other.standard_error, 12)


def test_without_attribution_and_method(cnn, batch):
    with pytest.raises(ValueError, match="give `attribution`, or the `method` that makes it"):
        MetricSuite(["gap"]).update(cnn(), batch()[0])


def test_an_empty_batch_adds_nothing(cnn, batch):
    suite = MetricSuite(STEPS)
    suite.update(cnn(), batch()[0][:0], method=IntegratedGradients())
    suite.update(cnn(), *batch()[:1], None, batch()[1])
    assert suite["gap"].count == 4


def test_unknown_names():
    with pytest.raises(ValueError, match=r"unknown metric 'gab'.*did you mean 'gap'"):
        MetricSuite(["gab"])


def test_a_metric_of_whole_explanations_gets_them(cnn, batch):
    """Completeness is then that of the method, with its own baseline; alone the attribution costs no pass more."""
    images, _ = batch()
    method = IntegratedGradients(steps=3, baseline=0.3)
    suite = MetricSuite({"completeness": {}, **STEPS})
    suite.update(cnn(), images, 1, method=method)
    expected = method.explain(cnn(), images, 1).completeness_error.abs().mean().float()
    torch.testing.assert_close(suite.compute()["completeness"], expected)


def test_an_attribution_alone_costs_what_the_method_declares(cnn, counting, batch):
    model, method = counting(cnn()), IntegratedGradients(steps=3)
    MetricSuite(["gini"]).update(model, batch()[0], 1, method=method)
    assert model.samples == 4 * (method.passes().forward + 1)  # and the clean pass, which tells the class


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_a_function_of_other_people_finds_gradients_and_leaves_no_trace(context, cnn, batch):
    def explain(model, inputs, target):
        points = inputs.clone().requires_grad_()
        model.train()
        return torch.autograd.grad(model(points)[:, 1].sum() * torch.rand(()), points)[0]

    model, suite = cnn(), MetricSuite(["gini"])
    with context():
        before = torch.get_rng_state()
        suite.update(model, batch()[0].clone(), 1, method=explain)
        assert torch.equal(torch.get_rng_state(), before)
    assert not model.training
    assert suite["gini"].count == 4

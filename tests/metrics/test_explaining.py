"""Explaining again, as metrics do."""

import pytest
import torch

from _reference.nets import cnn as net
from _reference.trace import snapshot
from lit_attr.attribution import Saliency
from lit_attr.metrics import METRICS, Evaluation
from lit_attr.metrics._explaining import explain_again, explained_by
from lit_attr.targets import ClassTarget


def test_it_is_what_the_method_gives(cnn, batch):
    images, model, method = batch()[0], cnn(), Saliency(signed=True)
    explained = explained_by(method, model, images, 2)
    assert torch.equal(explained.attribution, method(model, images, 2))
    with explained.evaluation.view() as view:
        assert torch.equal(explain_again(explained, view), explained.attribution)
        assert torch.equal(explain_again(explained, view, images / 2), method(model, images / 2, 2))
        assert torch.equal(
            explain_again(explained, view, target=ClassTarget(1).to(images.device)), method(model, images, 1)
        )


def test_a_function_that_needs_gradients_has_them(cnn, batch):
    def gradient(model, inputs, target):
        inputs = inputs.clone().requires_grad_()
        evidence = target.evidence(model(inputs), torch.arange(len(inputs)))
        return torch.autograd.grad(evidence.gather(1, target.index[:, None]).sum(), inputs)[0]

    images, model = batch()[0], cnn()
    with torch.inference_mode():
        found = explained_by(gradient, model, images.clone(), 2).attribution
    torch.testing.assert_close(found, Saliency(signed=True)(model, images, 2))


def test_another_size_is_refused(cnn, batch):
    images, attribution = batch()
    explained = Evaluation(cnn(), images, 0).of(attribution.sum(1), Saliency())
    message = r"`attribution` must be what `method` gives .* shape \(4, 6, 6\); `method` gives \(4, 3, 6, 6\)"
    with explained.evaluation.view() as view, pytest.raises(ValueError, match=message):
        explain_again(explained, view)


AGAIN = {
    "average_sensitivity": {"draws": 2},
    "explanation_similarity": {"restarts": 2},
    "max_sensitivity": {"draws": 2},
    "mprt": {"stages": 2},
    "random_logit": {},
}


def drawing(model, inputs, target):
    """A method that draws from the global random state."""
    return Saliency(signed=True)(model, inputs, target) * torch.rand_like(inputs)


@pytest.mark.parametrize("name", AGAIN)
@pytest.mark.parametrize("context", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_no_trace_of_metrics_that_explain_again(name, context):
    model, metric = net().train(), METRICS.build(name, AGAIN[name])
    model[1].eval()
    images = torch.rand(3, 3, 8, 8, dtype=torch.float64)
    with context():
        before, inputs = snapshot(model), images.clone()
        metric.update(model, inputs, None, inputs - 0.5, method=drawing)
        assert snapshot(model) == before
    assert metric.count + metric.undefined == 3


@pytest.mark.parametrize("name", AGAIN)
def test_without_a_method_it_is_asked_for(name, cnn, batch):
    images = batch()[0]
    with pytest.raises(ValueError, match="`method` must be given for a metric that explains again"):
        METRICS.build(name, AGAIN[name]).update(cnn(), images, 0, images)

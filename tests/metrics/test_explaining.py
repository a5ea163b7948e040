"""Explaining again, as metrics do."""

import pytest
import torch

from lit_attr.attribution import Saliency
from lit_attr.metrics import Evaluation
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

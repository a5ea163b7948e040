"""What is shared between metrics, and that the model is left alone."""

import pytest
import torch
from torch import nn

from lit_attr.metrics import Evaluation
from lit_attr.targets import ClassTarget, RegionTarget


def test_nothing_runs_until_asked(cnn, counting, batch):
    images, attribution = batch()
    model = counting(cnn())
    evaluation = Evaluation(model, images)
    evaluation.of(attribution)
    assert model.samples == 0
    assert evaluation.passes == (0, 0)


def test_clean_pass_is_made_once_for_evidence_and_prediction(cnn, counting, batch):
    images, _ = batch()
    model = counting(cnn())
    evaluation = Evaluation(model, images)
    torch.testing.assert_close(evaluation.evidence, model.model(images).detach())
    assert torch.equal(evaluation.target.index, evaluation.evidence.argmax(1))
    assert model.samples == len(images)
    assert evaluation.passes == (1, 0)


@pytest.mark.parametrize("target", [2, torch.tensor([0, 1, 4, 2]), ClassTarget(torch.tensor([0, 1, 4, 2]))])
def test_given_target_is_kept(target, cnn, batch):
    images, _ = batch()
    evaluation = Evaluation(cnn(), images, target)
    expected = [2] * 4 if isinstance(target, int) else [0, 1, 4, 2]
    assert evaluation.target.index.tolist() == expected


def test_target_out_of_range(cnn, batch):
    with pytest.raises(ValueError, match=r"`target` must be a class index in 0\.\.4, got 5"):
        _ = Evaluation(cnn(), batch()[0], 5).evidence


def test_target_of_another_length(cnn, batch):
    with pytest.raises(ValueError, match="`target` has 3 classes for 4 samples"):
        _ = Evaluation(cnn(), batch()[0], torch.tensor([0, 1, 2])).evidence


def test_integer_images_are_refused(cnn):
    with pytest.raises(ValueError, match="`inputs` must be a floating tensor"):
        _ = Evaluation(cnn(), torch.zeros(1, 3, 6, 6, dtype=torch.uint8)).evidence


def test_the_same_attribution_gives_the_same_object(cnn, batch):
    images, attribution = batch()
    evaluation = Evaluation(cnn(), images)
    assert evaluation.of(attribution) is evaluation.of(attribution)
    assert evaluation.of(attribution) is not evaluation.of(attribution.clone())


def test_once_computes_once():
    evaluation = Evaluation(nn.Identity(), torch.zeros(1, 2))
    calls = []
    assert [evaluation.once("a", lambda: calls.append(1) or 7) for _ in range(3)] == [7] * 3
    assert len(calls) == 1


def test_facts_about_the_attribution(cnn, batch):
    images, attribution = batch()
    attribution[1, 0, 2, 2] = torch.nan
    attribution[2, 1, 0, 0] = -torch.inf
    attribution[3] = 0.5
    explained = Evaluation(cnn(), images).of(attribution)
    assert explained.finite.tolist() == [True, False, False, True]
    assert explained.constant.tolist() == [False, False, False, True]
    assert explained.ranks.shape == (4, 1, 6, 6)


def test_view_counts_towards_the_evaluation(cnn, batch):
    images, _ = batch()
    evaluation = Evaluation(cnn(), images, 0)
    with evaluation.view() as view:
        view.evidence(view.inputs, view.rows)
    assert evaluation.passes == (2, 0)


def test_model_is_in_eval_mode_only_while_looked_at(batch):
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(108, 3, dtype=torch.float64)).train()
    evaluation = Evaluation(model, batch()[0])
    assert torch.equal(evaluation.evidence, evaluation.evidence)
    assert all(module.training for module in model.modules())
    with evaluation.view():
        assert not any(module.training for module in model.modules())
    assert all(module.training for module in model.modules())


def test_require_accepts_only_the_same_objects(cnn, batch):
    images, _ = batch()
    model, labels = cnn(), torch.tensor([0, 1, 2, 3])
    Evaluation(model, images).require(model, images, None)
    Evaluation(model, images, 3).require(model, images, 3)
    evaluation = Evaluation(model, images, labels)
    evaluation.require(model, images, labels)
    for other in [(cnn(), images, labels), (model, images.clone(), labels), (model, images, 0), (model, images, None)]:
        with pytest.raises(ValueError, match="`evaluation` is of another model, batch, target or masks"):
            evaluation.require(*other)


def test_masks_are_checked_and_kept(cnn, batch):
    images, attribution = batch()
    masks = torch.zeros(4, 6, 6, dtype=torch.bool)
    evaluation = Evaluation(cnn(), images, masks=masks)
    assert torch.equal(evaluation.of(attribution).masks, masks)
    evaluation.require(evaluation.model, images, None, masks)
    evaluation.require(evaluation.model, images, None)
    with pytest.raises(ValueError, match="of another model, batch, target or masks"):
        evaluation.require(evaluation.model, images, None, masks.clone())
    for bad in (masks.long(), masks[:3], masks[:, None]):
        with pytest.raises(ValueError, match=r"`masks` must be bool, \[B, H, W\] for images"):
            Evaluation(cnn(), images, masks=bad)


def test_what_is_not_given_is_asked_for_by_name(cnn, batch):
    images, attribution = batch()
    explained = Evaluation(cnn(), images).of(attribution)
    with pytest.raises(ValueError, match="`method` must be given for a metric that explains again"):
        _ = explained.method
    with pytest.raises(ValueError, match="`masks` must be given for a metric of localisation"):
        _ = explained.masks


def test_the_method_belongs_to_the_attribution(cnn, batch):
    images, attribution = batch()
    evaluation = Evaluation(cnn(), images)
    explained = evaluation.of(attribution, torch.sub)
    assert explained.method is torch.sub
    assert evaluation.of(attribution, torch.sub) is explained
    assert evaluation.of(attribution) is not explained


def test_confidence_is_that_of_the_prediction(cnn, batch):
    images, _ = batch()
    model = cnn()
    torch.testing.assert_close(Evaluation(model, images, 1).confidence, model(images).softmax(1).amax(1).detach())


def test_a_region_is_told_without_a_pass_and_anything_else_refused(cnn, batch):
    images = batch()[0]
    target = RegionTarget(1, torch.ones(4, 6, 6, dtype=torch.bool))
    evaluation = Evaluation(cnn(), images, target)
    assert torch.equal(evaluation.region.mask, target.mask)
    assert evaluation.passes == (0, 0)
    with pytest.raises(ValueError, match="`target` must be a RegionTarget for a metric of segmentation, got NoneType"):
        _ = Evaluation(cnn(), images).region


def test_something_else_may_be_read_from_the_model_and_counts(cnn, batch):
    images, model = batch()[0], cnn()
    evaluation = Evaluation(model, images, 1)
    with evaluation.view(ClassTarget(3)) as view:
        assert view.target.index.tolist() == [3] * 4
        view.evidence_at(view.inputs, view.rows)
    assert evaluation.passes == (1, 0)

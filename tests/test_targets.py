from collections import OrderedDict, UserDict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lit_attr._checks import ArgumentError
from lit_attr._view import looking_at
from lit_attr.objectives import logit, logprob
from lit_attr.targets import ClassTarget, DistributionTarget, PixelTarget, Target, logits_of
from lit_attr.updates import BIM, Region, Route, Walks, walk

LOGITS = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


@pytest.mark.parametrize(
    "output",
    [
        LOGITS,
        {"logits": LOGITS, "out": None},
        OrderedDict(out=LOGITS, aux=None),
        UserDict(logits=LOGITS),
        SimpleNamespace(logits=LOGITS),
        (LOGITS, "cache"),
        [LOGITS],
    ],
    ids=["tensor", "dict", "torchvision segmentation", "mapping", "object", "tuple", "list"],
)
def test_logits_are_found(output):
    assert logits_of(output) is LOGITS


def test_a_named_tuple_with_logits_gives_those():
    class Output(tuple):
        logits = LOGITS

    assert logits_of(Output(["loss"])) is LOGITS


@pytest.mark.parametrize(
    "output", [None, {}, {"prediction": LOGITS}, (), ("text",), SimpleNamespace(), torch.tensor(1.0)]
)
def test_output_without_logits_is_refused(output):
    with pytest.raises(
        ArgumentError, match=rf"`model output` must be a tensor of logits.*, got {type(output).__name__}"
    ):
        logits_of(output)


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_one_unit_is_the_second_of_two_classes(shape):
    found = logits_of(torch.arange(4.0).reshape(shape))
    assert found.tolist() == [[0, 0], [0, 1], [0, 2], [0, 3]]
    assert torch.allclose(found.softmax(1)[:, 1], torch.arange(4.0).sigmoid())


def test_one_dense_unit_is_the_second_of_two_classes():
    found = logits_of(torch.ones(2, 1, 3, 3))
    assert found.shape == (2, 2, 3, 3)
    assert found.sum((0, 2, 3)).tolist() == [0, 18]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_low_precision_is_raised_and_stays_differentiable(given, expected):
    logits = LOGITS.to(given).requires_grad_()
    found = logits_of(logits)
    assert found.dtype == expected
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    assert bool((gradient == 1).all())


@pytest.mark.parametrize("index", [2, torch.tensor(2), np.int64(2), torch.tensor(2, dtype=torch.uint8)])
def test_one_class_for_all(index):
    target = ClassTarget(index)
    assert target.index.dtype == torch.long
    assert target.index.tolist() == 2


def test_a_class_each_is_a_copy():
    given = torch.tensor([1, 0])
    target = ClassTarget(given)
    given.zero_()
    assert target.index.tolist() == [1, 0]


def test_a_class_from_inference_mode_can_be_used_outside():
    with torch.inference_mode():
        given = torch.tensor([1, 0])
    assert not ClassTarget(given).index.is_inference()


@pytest.mark.parametrize(
    "index",
    [1.5, True, "cat", None, torch.zeros(2), torch.zeros(2, dtype=torch.bool), torch.zeros(2, 1, dtype=torch.long)],
)
def test_what_is_no_class_is_refused(index):
    with pytest.raises(ArgumentError, match=r"`target` must be a class index or a long tensor \[B\], got"):
        ClassTarget(index)


def test_evidence_is_the_logits():
    assert ClassTarget(0).evidence({"logits": LOGITS}, torch.tensor([0, 0])) is LOGITS


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_both_classes_of_one_unit_have_a_logit(shape):
    output = torch.arange(4.0).reshape(shape)
    found = ClassTarget(torch.tensor([1, 0])).evidence(output, torch.tensor([0, 0, 1, 1]))
    assert found.tolist() == [[0, 0], [0, 1], [-2, 0], [-3, 0]]
    torch.testing.assert_close(found.softmax(1), logits_of(output).softmax(1))
    assert ClassTarget(0).evidence(output, torch.zeros(4, dtype=torch.long)).tolist() == [[-z, 0] for z in range(4)]


@pytest.mark.parametrize("output", [torch.zeros(2, 3, 4, 4), torch.zeros(3, 3)])
def test_evidence_of_another_shape_is_refused(output):
    with pytest.raises(ArgumentError, match=r"`model output` must be logits \[2, K\], got \("):
        ClassTarget(0).evidence(output, torch.tensor([0, 1]))


def test_to_keeps_the_classes():
    found = ClassTarget(torch.tensor([1, 0])).to(torch.device("meta"))
    assert isinstance(found, ClassTarget)
    assert found.index.device.type == "meta"


def test_a_target_must_say_what_its_evidence_is():
    class Half(Target):
        def evidence(self, output, rows):
            return output

    with pytest.raises(TypeError, match=r"abstract method '?to'?"):
        Half()


def test_outputs_of_a_model_keep_their_graph():
    net = nn.Linear(3, 1)
    assert logits_of((net(torch.ones(2, 3)),)).requires_grad


def drawn(*shape, dtype=torch.float64):
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(5))


VOID = 255
LABELS = torch.randint(0, 4, (3, 5, 6), generator=torch.Generator().manual_seed(3))
LABELS[0, :2] = LABELS[1, 1, 1] = LABELS[2, 1:] = VOID
ROWS = torch.tensor([2, 0, 0, 1, 2])  # variants in no order, several of a sample


def segmenter():
    """Half the resolution of images `[N, 2, 10, 12]`, four classes."""
    layers = [nn.Conv2d(2, 6, 3, stride=2, padding=1), nn.Tanh(), nn.Conv2d(6, 4, 3, padding=1)]
    return nn.Sequential(*layers).double()


def cross_entropy(logits, labels, ignore_index=VOID):
    """Of each sample: the mean of `F.cross_entropy` over its own pixels."""
    size = labels.shape[1:]
    whole = [F.interpolate(z[None], size, mode="bilinear", align_corners=False) for z in logits]
    return torch.stack(
        [F.cross_entropy(z, y[None], ignore_index=ignore_index) for z, y in zip(whole, labels, strict=True)]
    )


@pytest.mark.parametrize("size", [(5, 6), (3, 3), (9, 11)], ids=["as the labels", "smaller", "larger"])
@pytest.mark.parametrize("given", [torch.float32, torch.float64])
def test_pixels_give_minus_the_cross_entropy_of_each_sample(size, given):
    logits = drawn(5, 4, *size, dtype=given).requires_grad_()
    target = PixelTarget(LABELS)
    evidence = target.evidence({"out": logits, "aux": None}, ROWS)
    expected = -cross_entropy(logits, LABELS[ROWS])
    assert evidence.dtype == given
    assert evidence[:, 1].tolist() == [0] * 5
    torch.testing.assert_close(logit(evidence, target.index[ROWS]), expected)
    found, wanted = (torch.autograd.grad(values.sum(), logits)[0] for values in (evidence[:, 0], expected))
    torch.testing.assert_close(found, wanted)


def test_one_unit_of_a_segmenter_is_the_second_of_two_classes():
    unit, labels = drawn(2, 1, 3, 3), LABELS[1:, :3, :3].clone()
    labels[labels != VOID] %= 2
    found = PixelTarget(labels).evidence(unit, torch.arange(2))[:, 0]
    for i in range(2):
        counted = labels[i] != VOID
        loss = F.binary_cross_entropy_with_logits(unit[i, 0][counted], labels[i][counted].double())
        torch.testing.assert_close(found[i], -loss)


def test_low_precision_of_a_segmenter_is_raised_before_it_is_resized():
    logits = drawn(3, 4, 3, 3, dtype=torch.bfloat16)
    found = PixelTarget(LABELS).evidence(logits, torch.arange(3))
    torch.testing.assert_close(found[:, 0], -cross_entropy(logits.float(), LABELS))


def test_pixels_that_do_not_count_change_nothing():
    logits = drawn(3, 4, 5, 6)
    other = torch.where((LABELS == VOID)[:, None], logits + 3 * drawn(3, 1, 5, 6) * drawn(4, 1, 1), logits)
    target, rows = PixelTarget(LABELS), torch.arange(3)
    assert target.evidence(other, rows).tolist() == target.evidence(logits, rows).tolist()


@pytest.mark.parametrize("void", [-1, -100, 0, 300])
def test_any_label_may_be_the_one_that_does_not_count(void):
    labels = torch.where(LABELS == VOID, void, LABELS)
    found = PixelTarget(labels, ignore_index=void).evidence(drawn(3, 4, 5, 6), torch.arange(3))
    torch.testing.assert_close(found[:, 0], -cross_entropy(drawn(3, 4, 5, 6), labels, void))


@pytest.mark.parametrize("given", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_labels_are_a_copy_in_long(given):
    labels = LABELS.to(given, copy=True)
    target = PixelTarget(labels)
    labels.zero_()
    assert target.labels.dtype == target.index.dtype == torch.long
    assert bool((target.labels == LABELS).all())
    assert target.index.tolist() == [0, 0, 0]


def test_labels_and_probabilities_from_inference_mode_can_be_used_outside():
    with torch.inference_mode():
        labels, probabilities = LABELS.clone(), torch.full((2, 4), 0.25)
        assert labels.is_inference()
    assert not PixelTarget(labels).labels.is_inference()
    assert not DistributionTarget(probabilities).probabilities.is_inference()


def test_one_tensor_of_the_size_of_the_logits_is_kept_for_the_backward_pass():
    logits, kept = drawn(3, 50, 3, 3).requires_grad_(), {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        PixelTarget(LABELS).evidence(logits, torch.arange(3))
    large = [tuple(tensor.shape) for tensor in kept.values() if tensor.numel() > LABELS.numel()]
    assert large == [(3, 50, 5, 6)]


@pytest.mark.parametrize(
    "labels",
    [
        None,
        3,
        [[[0, 1]]],
        LABELS.float(),
        LABELS > 1,
        LABELS[0],
        LABELS[:, None],
        torch.zeros(1, 2, 2, dtype=torch.cfloat),
    ],
)
def test_what_is_no_map_of_labels_is_refused(labels):
    with pytest.raises(ArgumentError, match=r"`labels` must be an integer tensor \[B, H, W\], got"):
        PixelTarget(labels)


@pytest.mark.parametrize("void", [None, 1.0, True, "void"])
def test_what_is_no_label_to_ignore_is_refused(void):
    with pytest.raises(ArgumentError, match="`ignore_index` must be an integer, got"):
        PixelTarget(LABELS, ignore_index=void)


def test_a_sample_without_a_pixel_that_counts_is_refused():
    labels = LABELS.clone()
    labels[1] = VOID
    with pytest.raises(ArgumentError, match=r"`labels` must be .* each sample that is not 255, got none in sample 1"):
        PixelTarget(labels)


def test_labels_that_are_no_classes_are_refused():
    with pytest.raises(ArgumentError, match=r"`labels` must be classes from 0 on, or 255 .*, got -1"):
        PixelTarget(torch.where(LABELS == 2, -1, LABELS))
    target = PixelTarget(LABELS)
    with pytest.raises(ArgumentError, match=r"`labels` must be classes in 0\.\.2, or 255 .*, got 3"):
        target.evidence(drawn(3, 3, 5, 6), torch.arange(3))
    assert target.evidence(drawn(3, 4, 5, 6), torch.arange(3)).shape == (3, 2)


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 5), (2, 4, 5, 6), (3, 4, 2, 5, 6)])
def test_what_is_no_output_of_a_segmenter_is_refused(shape):
    with pytest.raises(ArgumentError, match=r"`model output` must be logits \[3, K, h, w\], got \("):
        PixelTarget(LABELS).evidence(torch.zeros(shape), torch.arange(3))


def test_no_samples_have_no_labels():
    target = PixelTarget(LABELS[:0])
    assert target.evidence(torch.zeros(0, 4, 3, 3), torch.arange(0)).shape == (0, 2)


def probabilities(dtype=torch.float64):
    """Of three samples; the last is sure, the second excludes a class."""
    given = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.5, 0.25, 0.0, 0.25], [0.0, 1.0, 0.0, 0.0]], dtype=torch.float64)
    return given.to(dtype)


@pytest.mark.parametrize("given", [torch.float32, torch.float64])
def test_a_distribution_gives_minus_the_divergence(given):
    logits, target = drawn(5, 4, dtype=given).requires_grad_(), DistributionTarget(probabilities())
    evidence = target.evidence((logits, "cache"), ROWS)
    expected = -F.kl_div(logits.log_softmax(1), probabilities(given)[ROWS], reduction="none").sum(1)
    assert evidence.dtype == given
    assert evidence[:, 1].tolist() == [0] * 5
    torch.testing.assert_close(logit(evidence, target.index[ROWS]), expected)
    (found,) = torch.autograd.grad(evidence[:, 0].sum(), logits)
    torch.testing.assert_close(found, probabilities(given)[ROWS] - logits.softmax(1))  # the closed form


def test_the_divergence_is_zero_at_the_distribution_itself():
    logits = probabilities()[:1].log().requires_grad_()
    value = DistributionTarget(probabilities()[:1]).evidence(logits, torch.tensor([0]))[:, 0]
    assert value.abs().item() < 1e-15
    assert torch.autograd.grad(value.sum(), logits)[0].abs().max() < 1e-15


def test_classes_that_are_impossible_to_both_add_nothing():
    logits = torch.tensor([[1.0, 2.0, -torch.inf, 0.5]], dtype=torch.float64).requires_grad_()
    value = DistributionTarget(probabilities()[1:2]).evidence(logits, torch.tensor([0]))[:, 0]
    kept = [0, 1, 3]
    p, q = probabilities()[1, kept], logits.detach()[0, kept].softmax(0)
    torch.testing.assert_close(value.detach(), -(p * (p / q).log()).sum()[None])
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    torch.testing.assert_close(gradient[0, kept], p - q)
    assert gradient[0, 2] == 0


def test_one_unit_has_a_distribution_over_two_classes():
    found = DistributionTarget(torch.tensor([[0.25, 0.75]])).evidence(torch.tensor([2.0]), torch.tensor([0]))
    p, q = torch.tensor([0.25, 0.75]), torch.tensor([0.0, 2.0]).softmax(0)
    torch.testing.assert_close(found[0, 0], -(p * (p / q).log()).sum())


def test_probabilities_are_a_detached_copy_of_what_a_model_gave():
    logits = drawn(2, 1000, dtype=torch.bfloat16).requires_grad_()
    given = logits.softmax(1)
    target = DistributionTarget(given)
    kept = given.detach().float()
    given.detach().zero_()
    assert target.probabilities.dtype == torch.float32
    assert not target.probabilities.requires_grad
    assert bool((target.probabilities == kept).all())


@pytest.mark.parametrize(
    "given", [None, 0.5, [[0.5, 0.5]], torch.ones(2, 1).long(), torch.ones(1), torch.ones(1, 1, 1)]
)
def test_what_is_no_table_of_probabilities_is_refused(given):
    with pytest.raises(ArgumentError, match=r"`probabilities` must be a floating tensor \[B, K\], got"):
        DistributionTarget(given)


@pytest.mark.parametrize(
    ("row", "told"),
    [([0.5, 0.6], r"1\.1"), ([1.5, -0.5], "1"), ([0.4, 0.4], r"0\.8"), ([torch.nan, 1.0], "nan"), ([2.0, 1.0], "3")],
)
def test_what_is_no_distribution_is_refused(row, told):
    given = torch.tensor([[0.5, 0.5], row])
    with pytest.raises(ArgumentError, match=f"must be not negative, with sum one, got sample 1 with sum {told}$"):
        DistributionTarget(given)


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (3, 4, 2)])
def test_logits_that_fit_no_distribution_are_refused(shape):
    with pytest.raises(ArgumentError, match=r"`model output` must be logits \[3, 4\], as `probabilities`.*, got \("):
        DistributionTarget(probabilities()).evidence(torch.zeros(shape), torch.arange(3))


@pytest.mark.parametrize(
    ("target", "tensors"),
    [
        (PixelTarget(LABELS), ["labels", "_counts", "index"]),
        (DistributionTarget(probabilities()), ["probabilities", "index"]),
    ],
)
def test_to_moves_every_tensor_and_leaves_the_target(target, tensors):
    found = target.to(torch.device("meta"))
    assert type(found) is type(target)
    assert sorted(name for name, value in vars(found).items() if isinstance(value, torch.Tensor)) == sorted(tensors)
    assert {getattr(found, name).device.type for name in tensors} == {"meta"}
    assert {getattr(target, name).device.type for name in tensors} == {"cpu"}
    assert target.to(torch.device("cpu")).index is target.index


def test_only_evidence_of_classes_has_a_predicted_class():
    assert ClassTarget(0).compares_classes
    assert not PixelTarget(LABELS).compares_classes
    assert not DistributionTarget(probabilities()).compares_classes


def climbed(net, inputs, target, objective=logit, walks_each=1, **settings):
    """The points and values of five steps of BIM against the target."""
    walks = Walks.of(torch.zeros(len(inputs), walks_each, dtype=torch.long), toward=-1.0)
    route = Route(BIM(0.01), steps=5, region=Region(0.045), **settings)
    with looking_at(net, inputs, target) as view:
        return [(turn.points, turn.value) for turn in walk(view, inputs[walks.rows], walks, route, objective)]


def plain_bim(loss, points):
    """The same by a plain loop, the gradient of a sum of losses."""
    path, start = [points], points
    for _ in range(5):
        at = path[-1].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(at).sum(), at)
        path.append((path[-1] + 0.01 * gradient.sign()).clamp(start - 0.045, start + 0.045))
    return path


def test_an_attack_on_a_segmenter_raises_the_cross_entropy_as_a_plain_loop_does():
    net, images = segmenter(), drawn(3, 2, 10, 12)
    labels = LABELS.repeat_interleave(2, 1).repeat_interleave(2, 2)
    found = climbed(net, images, PixelTarget(labels), walks_each=2, max_batch=4)
    both = torch.arange(3).repeat_interleave(2)
    expected = plain_bim(lambda x: cross_entropy(net(x), labels[both]), images[both])
    for (points, value), point in zip(found, expected, strict=True):
        torch.testing.assert_close(points, point)
        torch.testing.assert_close(-value, cross_entropy(net(point), labels[both]).detach())
    losses = -torch.stack([value for _, value in found])
    assert bool((losses.diff(dim=0) > 0).all())


def test_an_attack_climbs_the_log_probability_by_the_same_signs():
    net, images = segmenter(), drawn(3, 2, 10, 12)
    target = PixelTarget(LABELS)
    by_logit, by_logprob = (climbed(net, images, target, objective)[-1][0] for objective in (logit, logprob))
    torch.testing.assert_close(by_logit, by_logprob)


def test_an_attack_raises_the_divergence_as_a_plain_loop_does():
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 4)).double()
    inputs = drawn(3, 3, 4)
    p = net(inputs).softmax(1).detach()
    beside = inputs + 0.01 * drawn(3, 3, 4).flip(0)  # at the clean sample the gradient is zero
    found = climbed(net, beside, DistributionTarget(p))
    path = plain_bim(lambda x: F.kl_div(net(x).log_softmax(1), p, reduction="none").sum(1), beside)
    for (points, _), point in zip(found, path, strict=True):
        torch.testing.assert_close(points, point)
    losses = -torch.stack([value for _, value in found])
    assert bool((losses.diff(dim=0) > 0).all())


def test_labels_for_another_number_of_samples_are_refused():
    with (
        pytest.raises(ValueError, match="`target` has 3 classes for 2 samples"),
        looking_at(segmenter(), drawn(2, 2, 10, 12), PixelTarget(LABELS)),
    ):
        pass

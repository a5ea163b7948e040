from collections import OrderedDict, UserDict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from lit_attr._checks import ArgumentError
from lit_attr.targets import ClassTarget, Target, logits_of

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

import math

import pytest
import torch

from lit_attr.objectives import OBJECTIVES, get_objective

LOGITS = [[1.0, 2.0, 4.0], [0.0, -1.0, 0.5]]
INDEX = torch.tensor([1, 2])


def softmax(row):
    total = sum(math.exp(z) for z in row)
    return [math.exp(z) / total for z in row]


CLOSED_FORMS = {
    "logit": lambda row, y: row[y],
    "logprob": lambda row, y: math.log(softmax(row)[y]),
    "prob": lambda row, y: softmax(row)[y],
    "margin": lambda row, y: row[y] - max(z for k, z in enumerate(row) if k != y),
    "log_odds": lambda row, y: math.log(softmax(row)[y] / (1 - softmax(row)[y])),
    "certainty": lambda row, y: -sum(math.log(p) for p in softmax(row)),
    "sum_logprob": lambda row, y: sum(math.log(p) for p in softmax(row)),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_closed_form(name):
    found = OBJECTIVES[name](torch.tensor(LOGITS, dtype=torch.float64), INDEX)
    expected = [CLOSED_FORMS[name](row, int(y)) for row, y in zip(LOGITS, INDEX, strict=True)]
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_gradient_is_right_and_does_not_couple_samples(name):
    evidence = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    index = torch.tensor([0, 3, 1])
    jacobian = torch.autograd.functional.jacobian(lambda e: OBJECTIVES[name](e, index), evidence)  # [3, 3, 4]
    for i in range(3):
        for j in range(3):
            assert bool((jacobian[i, j] != 0).any()) == (i == j)
    assert torch.autograd.gradcheck(lambda e: OBJECTIVES[name](e, index), evidence)


def test_logprob_keeps_a_gradient_where_the_probability_underflows():
    evidence = torch.tensor([[0.0, 200.0]], requires_grad=True)
    (found,) = torch.autograd.grad(OBJECTIVES["logprob"](evidence, torch.tensor([0])).sum(), evidence)
    assert found.tolist() == [[1.0, -1.0]]


@pytest.mark.parametrize("name", ["logprob", "log_odds", "prob"])
@pytest.mark.parametrize("lead", [14.0, 20.0, 40.0])
def test_gradients_of_sure_models_are_not_lost_in_float32(name, lead):
    def gradient(dtype):
        evidence = torch.tensor([[lead, 0.0, -1.0]], dtype=dtype, requires_grad=True)
        (found,) = torch.autograd.grad(OBJECTIVES[name](evidence, torch.tensor([0])).sum(), evidence)
        return found.double()

    exact = gradient(torch.float64) if lead < 30 or name == "log_odds" else None
    found = gradient(torch.float32)
    assert bool((found.sign() == torch.tensor([[1.0, -1.0, -1.0]])).all())
    if exact is not None:
        torch.testing.assert_close(found, exact, rtol=1e-5, atol=0)


def test_get_objective():
    assert get_objective("prob") is OBJECTIVES["prob"]
    assert get_objective(math.hypot) is math.hypot


def test_unknown_objective():
    with pytest.raises(ValueError, match=r"`objective` is 'logits'; accepted: .*; did you mean 'logit'\?"):
        get_objective("logits")

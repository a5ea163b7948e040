import pytest
import torch
from torch import nn

from _reference.nets import Counter, Function, linear, mlp, quadratic
from lit_attr._checks import ArgumentError
from lit_attr._view import Passes, looking_at
from lit_attr.objectives import logit
from lit_attr.targets import ClassTarget, Target

X = torch.rand(4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


class Detached(nn.Module):
    def forward(self, inputs):
        return inputs.detach().repeat(1, 1)


class Second(Target):
    """The second of two outputs."""

    def __init__(self, index):
        self.index = index

    def evidence(self, output, rows):
        return output[1]

    def to(self, device):
        return Second(self.index.to(device))


@pytest.mark.parametrize(
    ("target", "expected"),
    [(1, [1, 1, 1, 1]), (torch.tensor([2, 0, 1, 2]), [2, 0, 1, 2]), (ClassTarget(2), [2, 2, 2, 2])],
)
def test_target_is_one_class_per_sample(target, expected):
    with looking_at(linear(), X, target) as view:
        assert view.target.index.tolist() == expected


def test_no_target_is_the_predicted_class_and_costs_a_forward_pass():
    net = Counter(linear())
    with looking_at(net, X, None) as view:
        assert view.target.index.tolist() == net.model(X).argmax(1).tolist()
        assert view.passes == Passes(1, 0)
        assert net.forwards == 4


def test_no_target_for_a_dense_model():
    net = Function(lambda x: x)
    with (
        pytest.raises(ArgumentError, match=r"`model output` must be logits \[4, K\], got \(4, 2, 6\)"),
        looking_at(net, X, None),
    ):
        pass


@pytest.mark.parametrize("max_batch", [1, 3, None])
def test_chunks_of_values_and_predictions(max_batch):
    net = Counter(mlp())
    with looking_at(net, X, None, max_batch) as view:
        found = view.value(X.flip(0), view.rows.flip(0), logit, max_batch)
        predicted = view.evidence_at(view.inputs, view.rows, max_batch).argmax(1)
    assert net.largest <= (max_batch or 4)
    torch.testing.assert_close(found, net.model(X).amax(1).flip(0).detach())
    assert torch.equal(predicted, net.model(X).argmax(1))


def test_passes_are_counted():
    net = Counter(mlp())
    with looking_at(net, X, 0) as view:
        view.value(X, view.rows, logit)
        view.gradient(X[:2], view.rows[:2], logit)
        assert view.passes == Passes(6 / 4, 2 / 4)
    assert (net.forwards, net.backwards) == (6, 2)


def test_gradient_is_of_each_variant_and_its_own_class():
    net = linear()
    rows = torch.tensor([3, 3, 0])
    with looking_at(net, X, torch.tensor([2, 0, 1, 1])) as view:
        gradient, evidence = view.gradient(torch.rand(3, 6, dtype=torch.float64), rows, logit)
    assert torch.equal(gradient, net.weight[[1, 1, 2]].detach())
    assert evidence.shape == (3, 3)
    assert not evidence.requires_grad
    assert not gradient.requires_grad


def test_value_has_no_graph():
    with looking_at(mlp(), X, 0) as view:
        assert not view.value(X, view.rows, logit).requires_grad


@pytest.mark.parametrize(("dtype", "expected"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)])
def test_gradients_are_float32_or_wider(dtype, expected):
    net = nn.Linear(6, 3).to(dtype)
    with looking_at(net, X.to(dtype), 0) as view:
        assert view.gradient(X.float(), view.rows, logit)[0].dtype == expected


def test_derive_of_several_tensors():
    with looking_at(linear(), X, 0) as view:
        a, b = (torch.ones(4, 6, dtype=torch.float64, requires_grad=True) for _ in range(2))
        by_a, by_b = view.derive((a * b * 3 + a).sum(1), a, b)
        assert view.passes.backward == 1
    assert by_a.unique().tolist() == [4]
    assert by_b.unique().tolist() == [3]


@pytest.mark.parametrize("bad", [3, -1, torch.tensor([0, 1, 2, 3])])
def test_class_out_of_range_at_the_first_evaluation(bad):
    with (
        looking_at(linear(), X, bad) as view,
        pytest.raises(ArgumentError, match=r"`target` must be a class index in 0..2, got -?\d"),
    ):
        view.value(X, view.rows, logit)


@pytest.mark.parametrize("target", [torch.tensor([0]), torch.zeros(5, dtype=torch.long), Second(torch.tensor([0, 1]))])
def test_target_of_another_length(target):
    with pytest.raises(ValueError, match=r"`target` has \d classes for 4 samples"), looking_at(linear(), X, target):
        pass


@pytest.mark.parametrize("net", [Detached(), Function(lambda x: x.new_ones(len(x)))])
def test_a_model_that_is_not_differentiable(net):
    with (
        looking_at(net, X, 0) as view,
        pytest.raises(ValueError, match=rf"output of {type(net).__name__} does not depend differentiably"),
    ):
        view.gradient(X, view.rows, logit)


def test_something_explained_that_the_output_does_not_use():
    with looking_at(linear(), X, 0) as view:
        a, b = (torch.ones(4, requires_grad=True) for _ in range(2))
        with pytest.raises(ValueError, match="does not depend differentiably on what is explained"):
            view.derive(a * 2, a, b)


@pytest.mark.parametrize("objective", [lambda e, _: e.mean(), lambda e, _: e, lambda e, _: e[:, :1]])
def test_an_objective_that_mixes_samples_is_refused(objective):
    with (
        looking_at(linear(), X, 0) as view,
        pytest.raises(ArgumentError, match=r"`objective` must be one value per row, \[4\], got shape"),
    ):
        view.gradient(X, view.rows, objective)


@pytest.mark.parametrize("inputs", [X.long(), X[0], None])
def test_inputs_are_checked(inputs):
    with pytest.raises(ArgumentError, match=r"`inputs` must be a floating tensor"), looking_at(linear(), inputs, 0):
        pass


def test_inputs_that_are_not_finite():
    with pytest.raises(ArgumentError, match="`inputs` must be finite"), looking_at(linear(), X * torch.inf, 0):
        pass


def test_any_target_takes_part():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = quadratic(torch.eye(6, dtype=torch.float64), torch.zeros(6, dtype=torch.float64))

        def forward(self, inputs):
            return None, self.net(inputs).repeat(1, 2)

    with looking_at(Two(), X, Second(torch.tensor([0, 1, 0, 1]))) as view:
        gradient, _ = view.gradient(X, view.rows, logit)
    assert torch.equal(gradient, X)


@pytest.mark.parametrize("target", [0, None])
def test_inputs_are_detached_and_no_inference_tensor(target):
    with torch.inference_mode():
        given = X.clone()
    for inputs in (given, X.clone().requires_grad_()):
        with looking_at(linear(), inputs, target) as view:
            assert not view.inputs.requires_grad
            assert not view.inputs.is_inference()
            assert torch.equal(view.inputs, X)


def test_a_model_may_write_into_its_input():
    class Centred(nn.Module):
        def forward(self, inputs):
            return inputs.sub_(0.5).square()

    inputs = X.clone()
    with looking_at(Centred(), inputs, None) as view:
        gradient, _ = view.gradient(view.inputs, view.rows, logit)
        view.value(view.inputs, view.rows, logit)
    assert torch.equal(inputs, X)
    expected = torch.zeros_like(X).scatter(1, (X - 0.5).square().argmax(1, keepdim=True), 1) * 2 * (X - 0.5)
    assert torch.allclose(gradient, expected)

"""Explaining changes nothing, and what state the model is in changes no explanation; for every method."""

import gc

import pytest
import torch
from torch import nn

from _reference.methods import ALL, WALKS, build
from _reference.nets import cnn
from _reference.trace import hooks, snapshot
from lit_attr.attribution import METHODS

TARGETS = torch.tensor([2, 0, 1, 2])


@pytest.fixture
def fresh_compiler():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.fixture
def only_new_objects():
    """All that is there is set aside, and the collector goes through what the test makes."""
    gc.freeze()
    yield
    gc.unfreeze()


def in_training():
    """In train mode apart from a frozen batch norm, with gradients from the step before."""
    net = cnn().train()
    net[1].eval().requires_grad_(False)
    net(torch.rand(2, 3, 8, 8, dtype=torch.float64)).sum().backward()
    return net


class Fails(nn.Module):
    """Raises in its forward or in its backward pass."""

    def __init__(self, net, where):
        super().__init__()
        self.net = net
        self.where = where

    def forward(self, inputs):
        logits = self.net(inputs)
        if self.where == "forward":
            raise KeyError(self.where)
        if logits.requires_grad:
            logits.register_hook(self._back)
        return logits

    def _back(self, gradient):
        raise KeyError(self.where)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("target", [1, None])
@pytest.mark.parametrize("around", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_no_trace(name, target, around, images):
    """Complaint 2, check N20: nothing in the model, the inputs or the process differs afterwards."""
    net, given = in_training(), images.clone()
    before = snapshot(net)
    with around():
        build(name).explain(net, given, target)
    assert snapshot(net) == before
    assert torch.equal(given, images)
    assert given.grad is None


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("where", ["forward", "backward"])
def test_no_trace_of_a_failure(name, where, images):
    if where == "backward" and METHODS.get(name)().passes().backward == 0:
        pytest.skip("no backward pass")
    net = Fails(in_training(), where)
    before = snapshot(net)
    with pytest.raises(KeyError, match=where):
        build(name)(net, images, TARGETS)
    assert snapshot(net) == before


@pytest.mark.parametrize("name", ALL)
@pytest.mark.usefixtures("only_new_objects")
def test_nothing_piles_up(name, images):
    """Complaint 9: neither hooks nor live tensors grow with the number of calls."""
    net, method = cnn(), build(name)

    def alive():
        gc.collect()
        return sum(issubclass(type(item), torch.Tensor) for item in gc.get_objects())

    method.explain(net, images, TARGETS)
    before = hooks(net), alive()
    for _ in range(3):
        method.explain(net, images, TARGETS)
    assert (hooks(net), alive()) == before


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode])
def test_where_lightning_calls_it(name, around, images):
    """Complaint 1: under `no_grad`, and under `inference_mode` with a batch and a target made in there."""
    net, method = cnn(), build(name)
    expected = method(net, images, TARGETS)
    with around():
        found = method(net, images.clone(), TARGETS.clone())
    torch.testing.assert_close(found, expected)
    assert not found.is_inference()


@pytest.mark.parametrize("name", ALL)
def test_train_mode_makes_no_difference(name, images):
    net, method = cnn(), build(name)
    expected = method(net, images, TARGETS)
    torch.testing.assert_close(method(net.train(), images, TARGETS), expected)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("frozen", [slice(None), slice(0, 5)], ids=["all", "backbone"])
def test_a_frozen_model_makes_no_difference(name, frozen, images):
    """Complaint 13."""
    net, method = cnn(), build(name)
    expected = method(net, images, TARGETS)
    net[frozen].requires_grad_(False)
    torch.testing.assert_close(method(net, images, TARGETS), expected)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("how", "backend"),
    [("wrapped", "eager"), ("in place", "eager"), ("a part of it", "eager"), ("wrapped", "aot_eager")],
)  # the last compiles backward passes too
@pytest.mark.usefixtures("fresh_compiler")
# Dynamo looks at `.grad` of every input that is no leaf, as of any compiled part of a model in training, and silences
# the warning itself unless warnings are errors.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_a_compiled_model_makes_no_difference(name, how, backend, images):
    net, method = cnn(), build(name)
    expected = method.explain(net, images, TARGETS)
    if how == "wrapped":
        net = torch.compile(net, backend=backend)
    elif how == "in place":
        net.compile(backend=backend)
    else:
        net[4] = torch.compile(net[4], backend=backend)
    net(images)  # compiled before anything is explained, as in training
    found = method.explain(net, images, TARGETS)
    torch.testing.assert_close(found.attribution, expected.attribution)
    assert found.info.keys() == expected.info.keys()
    for key, value in expected.info.items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(found.info[key], value)
        else:
            assert found.info[key] == value


@pytest.mark.parametrize("name", ALL)
def test_a_model_that_writes_into_its_input(name, images):
    """Complaint 10: a first layer in place is no reason to fail, nor to change the samples."""
    inner = cnn()
    in_place = nn.Sequential(nn.ReLU(inplace=True), *inner)
    given = images - 0.5
    kept = given.clone()
    method = build(name, **({"bounds": None} if name in WALKS else {}))  # some are negative
    found = method(in_place, given, TARGETS)
    assert torch.equal(given, kept)
    torch.testing.assert_close(found, method(nn.Sequential(nn.ReLU(), *inner), given, TARGETS))


@pytest.mark.parametrize("name", ALL)
def test_one_activation_in_many_places(name, images):
    """Complaint 10: a ReLU that is one module, used three times and in place."""

    class Reused(nn.Module):
        def __init__(self, inplace):
            super().__init__()
            self.first, self.second, self.head = (
                nn.Conv2d(3, 4, 3, dtype=torch.float64),
                nn.Conv2d(4, 5, 3, dtype=torch.float64),
                nn.Linear(5, 3, dtype=torch.float64),
            )
            self.relu = nn.ReLU(inplace=inplace)

        def forward(self, inputs):
            places = self.relu(self.second(self.relu(self.first(inputs))))
            return self.head(self.relu(places.mean((2, 3))))

    net, twin = Reused(inplace=True), Reused(inplace=False)
    twin.load_state_dict(net.state_dict())
    torch.testing.assert_close(build(name)(net, images, TARGETS), build(name)(twin, images, TARGETS))

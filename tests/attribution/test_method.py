"""What every method promises of its result, costs and settings; `_reference/methods.py` lists who takes part."""

import dataclasses
import pickle

import pytest
import torch
from torch import nn

from _reference.methods import ALL, ANY_CLASS, BY_DIFFERENCES, OF_ANY_SCALE, ON_IMAGES_ONLY, UNENDING, WALKS, build
from _reference.nets import Counter, cnn, linear
from lit_attr import attribution
from lit_attr.attribution import AGI, METHODS, Explanation, IntegratedGradients, Method, available

BATCH = 4
ENDS_EVALUATED_LATER = {"big", "fast_ig", "ig"}  # both ends of their paths, only where `explain` asks for the error
TARGETS = torch.tensor([2, 0, 1, 2])


@pytest.mark.parametrize("name", ALL)
def test_attribution_is_of_the_inputs_or_of_their_places(name, images):
    found = build(name)(cnn(), images, TARGETS)
    assert found.shape == ((BATCH, 1, 8, 8) if name in ON_IMAGES_ONLY else images.shape)
    assert found.flatten(1).any(1).all()
    assert not found.requires_grad


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64, torch.float64)],
    ids=str,
)
def test_attribution_is_float32_or_wider_and_finite(name, dtype, expected, images):
    found = build(name).explain(cnn(dtype=dtype), images.to(dtype), TARGETS)
    assert found.attribution.dtype == expected
    assert found.attribution.isfinite().all()
    assert found.attribution.any()
    if found.completeness_error is not None:
        assert found.completeness_error.dtype == expected


@pytest.mark.parametrize("name", ALL)
def test_autocast(name, images):
    net, inputs = cnn(dtype=torch.float32), images.float()
    with torch.autocast("cpu", torch.bfloat16):
        found = build(name)(net, inputs, TARGETS)
    assert found.dtype == torch.float32
    exact = build(name)(net, inputs, TARGETS)
    if name not in BY_DIFFERENCES:
        assert float((found - exact).norm() / exact.norm()) < (0.3 if name in WALKS else 0.1)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("max_batch", [1, 3])
@pytest.mark.parametrize("target", [TARGETS, None], ids=["given", "predicted"])
def test_chunks_change_nothing_and_are_held(name, max_batch, target, images):
    """Complaint 8: one limit on what is evaluated at once, for every method, and results that do not depend on it."""
    net = Counter(cnn())
    found = build(name, max_batch=max_batch).explain(net, images, target)
    assert net.largest <= max_batch
    expected = build(name).explain(net.model, images, target)
    torch.testing.assert_close(found.attribution, expected.attribution, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.completeness_error, expected.completeness_error, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("target", [TARGETS, None], ids=["given", "predicted"])
def test_out_of_memory_is_survived(name, target, images):
    """Complaint 8: where the device is too small for a batch, it is halved until it fits; the result stays."""

    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = cnn()

        def forward(self, inputs):
            if len(inputs) > 2:
                raise torch.OutOfMemoryError("too many")
            return self.net(inputs)

    net = Small()
    found, expected = (build(name).explain(model, images, target) for model in (net, net.net))
    torch.testing.assert_close(found.attribution, expected.attribution, rtol=1e-9, atol=1e-12)
    assert found.passes == expected.passes  # what did not fit was not a pass


@pytest.mark.parametrize("name", ALL)
def test_a_sample_does_not_depend_on_its_batch(name, images):
    """Check N10, with a different class for each sample."""
    net, method = cnn(), build(name)
    together = method(net, images, TARGETS)
    for i in range(BATCH):
        alone = method(net, images[i : i + 1], TARGETS[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in ALL if name not in ANY_CLASS])
def test_the_explained_class_matters(name, images):
    net, method = cnn(), build(name)
    assert not torch.allclose(method(net, images, 0), method(net, images, 1), rtol=1e-2)


@pytest.mark.parametrize("name", ALL)
def test_no_target_is_the_predicted_class(name, images):
    net, method = cnn(), build(name)
    found = method.explain(net, images)
    expected = method.explain(net, images, net(images).argmax(1))
    assert torch.equal(found.attribution, expected.attribution)
    assert found.passes == expected.passes._replace(forward=expected.passes.forward + 1)


@pytest.mark.parametrize("name", ALL)
def test_an_empty_batch_is_explained_by_nothing(name, images):
    """The last share of a process may be empty."""
    for target in (0, None, TARGETS[:0]):
        found = build(name).explain(cnn(), images[:0], target)
        assert found.attribution.shape[0] == 0
        assert found.attribution.shape[2:] == images.shape[2:]


@pytest.mark.parametrize("name", ALL)
def test_the_same_twice_whatever_the_global_seed(name, images):
    """Check N20."""
    net, method = cnn(), build(name)
    torch.manual_seed(1)
    first = method(net, images, TARGETS)
    torch.manual_seed(2)
    assert torch.equal(method(net, images, TARGETS), first)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("max_batch", [3, None])
def test_declared_passes_are_the_real_ones(name, max_batch, images):
    net, method = Counter(cnn()), build(name, max_batch=max_batch, **UNENDING.get(name, {}))
    predicted = net.model(images).argmax(1)  # a walk to a class that is predicted already has no steps
    method(net, images, predicted)
    assert (net.forwards / BATCH, net.backwards / BATCH) == method.passes(images.shape[1:], classes=3)


@pytest.mark.parametrize("name", UNENDING)
def test_walks_that_end_early_make_fewer_passes_than_declared(name, vectors):
    method = METHODS.build(name, {"alpha": 0.2})
    found, declared = method.explain(linear(), vectors), method.passes(vectors.shape[1:], classes=3)
    assert found.success.any()
    assert found.passes.forward < declared.forward
    assert found.passes.backward < declared.backward


@pytest.mark.parametrize("name", ALL)
def test_reported_passes_are_the_real_ones_with_the_check_of_completeness(name, images):
    net, method = Counter(cnn()), build(name, **UNENDING.get(name, {}))
    found = method.explain(net, images, net.model(images).argmax(1))
    assert (net.forwards / BATCH, net.backwards / BATCH) == found.passes
    more = found.passes.forward - method.passes(images.shape[1:], classes=3).forward
    assert more == (2 if name in ENDS_EVALUATED_LATER else 0)


@pytest.mark.parametrize("name", ALL)
def test_call_is_the_attribution_of_explain(name, images):
    net, method = cnn(), build(name)
    found = method.explain(net, images, TARGETS)
    assert isinstance(found, Explanation)
    assert torch.equal(method(net, images, TARGETS), found.attribution)


@pytest.mark.parametrize("name", ALL)
def test_objective_is_used(name, images):
    """A quarter of the logit gives a quarter of the attribution; a named objective is the function of that name."""
    net = cnn()
    plain = build(name, objective="logit")(net, images, TARGETS)
    if name not in OF_ANY_SCALE:
        quarter = build(name, objective=lambda e, y: e.gather(1, y[:, None])[:, 0] / 4)(net, images, TARGETS)
        torch.testing.assert_close(quarter, plain / 4)
    other = build(name, objective="margin")(net, images, TARGETS)
    assert not torch.allclose(other, plain, rtol=1e-2)


@pytest.mark.parametrize("name", ALL)
def test_settings_are_plain_and_frozen(name):
    method = build(name)
    assert type(method).__eq__ is Method.__eq__  # which compares tensors too
    assert method == build(name)
    assert hash(method) == hash(build(name))
    assert pickle.loads(pickle.dumps(method)) == method
    assert method != build(name, objective="margin")
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'max_batch'"):
        method.max_batch = 3


def test_a_preset_survives_copies_files_and_changes():
    """It is a name until it is used, so that nothing depends on where the settings have been."""
    method = AGI(preset="reference")
    used = AGI(walk="reset", rule="left", choice="random", alpha=0.05)
    assert method.resolved() == used
    assert pickle.loads(pickle.dumps(method)).resolved() == used
    assert METHODS.build("agi", dataclasses.asdict(method)).resolved() == used
    assert dataclasses.replace(method, preset="toolkit") == AGI()
    assert dataclasses.replace(pickle.loads(pickle.dumps(AGI())), preset="reference").resolved() == used
    with pytest.raises(ValueError, match="`rule` must be 'left' with walk='reset'"):
        AGI(walk="reset", rule="trapezoid")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("agi", {"seed": "abc"}, "`seed` must be an integer, got abc"),
        ("agi", {"seed": 1.5}, "`seed` must be an integer, got 1.5"),
        ("agi", {"alpha": "2/255"}, "`alpha` must be a number, got 2/255"),
        ("mfaba", {"early_stop": "no"}, "`early_stop` must be true or false, got no"),
        ("rise", {"debias": 1}, "`debias` must be true or false, got 1"),
        ("la", {"spatial_range": None}, "`spatial_range` must be a number, got None"),
    ],
)
def test_kinds_of_settings_are_checked(name, settings, message):
    with pytest.raises(ValueError, match=message):
        METHODS.build(name, settings)


def test_tensors_among_the_settings_are_compared_by_their_values():
    one, same, other = (IntegratedGradients(baseline=torch.tensor([value])) for value in (0.5, 0.5, 0.25))
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != IntegratedGradients(baseline=0.5)
    assert len({one, same, other}) == 2


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_batch": 0}, "`max_batch` must be a positive integer, got 0"),
        ({"objective": "logits"}, "`objective` is 'logits'; accepted: .*did you mean 'logit'"),
    ],
)
def test_settings_are_refused_before_there_is_a_model(name, settings, message):
    with pytest.raises(ValueError, match=message):
        build(name, **settings)


@pytest.mark.parametrize("name", ALL)
def test_inputs_and_targets_are_checked(name, images):
    net, method = cnn(), build(name)
    with pytest.raises(ValueError, match="`inputs` must be finite"):
        method(net, images / 0, TARGETS)
    with pytest.raises(ValueError, match=r"`target` must be a class index in 0..2, got 3"):
        method(net, images, 3)
    with pytest.raises(ValueError, match="`target` has 2 classes for 4 samples"):
        method(net, images, TARGETS[:2])


@pytest.mark.parametrize("name", ALL)
def test_a_model_that_is_not_differentiable_is_refused(name, images):
    if METHODS.get(name)().passes().backward == 0:
        pytest.skip("asks for no gradient")

    class Cut(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = cnn()

        def forward(self, inputs):
            return self.net(inputs).detach()

    with pytest.raises(ValueError, match="the output of Cut does not depend differentiably on what is explained"):
        build(name)(Cut(), images, TARGETS)


class Two(nn.Module):
    """A model of one unit z, written with the two logits (0, z), or with (-z, 0)."""

    def __init__(self, net, index):
        super().__init__()
        self.net = net
        self.index = index

    def forward(self, inputs):
        z = self.net(inputs)
        return nn.functional.pad(z, (1, 0)) if self.index else nn.functional.pad(-z, (0, 1))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("index", [0, 1])
def test_one_output_unit_has_a_logit_for_either_class(name, index, images):
    net, method = cnn(classes=1), build(name)
    if name.endswith("_cam") and index == 0:  # -z only has evidence against it
        net[-1].weight.data.neg_()
    found = method(net, images, index)
    assert found.flatten(1).any(1).all()
    torch.testing.assert_close(found, method(Two(net, index), images, index))


def test_available_are_the_registered_names():
    assert available() == ALL


@pytest.mark.parametrize("name", ALL)
def test_every_registered_method_is_public(name):
    assert getattr(attribution, METHODS.get(name).__name__) is METHODS.get(name)

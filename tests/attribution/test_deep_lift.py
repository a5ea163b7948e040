import itertools
import warnings

import pytest
import torch
from captum.attr import DeepLift as Captum
from torch import nn
from torch.utils._python_dispatch import _get_current_dispatch_mode
from torchvision.models import GoogLeNet, ResNet
from torchvision.models.resnet import BasicBlock
from torchvision.models.vgg import make_layers
from torchvision.ops import SqueezeExcitation

from _reference.architectures import architecture
from _reference.nets import Recorder, mlp
from lit_attr.attribution import DeepLift

TARGETS = torch.tensor([2, 0, 1])


@pytest.fixture
def ends():
    """Inputs and a baseline for each."""
    return torch.rand(2, 3, 3, 16, 16, dtype=torch.float64)


class Apart(nn.Module):
    """The identity. Captum reads gradients before it has changed them where two of its modules follow each other."""

    def forward(self, inputs):
        return inputs * 1


def convolutional(activation=nn.ReLU, pool=None, head=None):
    layers = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), activation(), Apart(), pool or nn.MaxPool2d(2), nn.Conv2d(6, 8, 3)]
    layers += [activation(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10), activation(), nn.Linear(10, 4)]
    return nn.Sequential(*layers, *([head] if head else [])).double().eval()


def by_captum(net, inputs, baseline):
    """One by one: with several samples Captum's pooling mixes them up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.cat(
            [
                Captum(net).attribute(x[None], b[None], target=int(y)).detach()
                for x, b, y in zip(inputs, baseline, TARGETS, strict=True)
            ]
        )


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus])
def test_is_captums(activation, ends):
    net = convolutional(activation)
    found = DeepLift(baseline=ends[1])(net, ends[0], TARGETS)
    torch.testing.assert_close(found, by_captum(net, *ends), rtol=1e-10, atol=1e-15)


def test_is_captums_in_overlapping_windows_that_share_no_winner(ends):
    """Captum keeps one window of a place that won several; the middles of these windows lie in no other."""
    ends[..., ::2, ::2] += 2
    pool = nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4)).double()
    found = DeepLift(baseline=ends[1])(pool, ends[0], TARGETS)
    torch.testing.assert_close(found, by_captum(pool, *ends), rtol=1e-10, atol=1e-15)


def test_is_captums_with_a_softmax_over_centred_logits(ends):
    net = convolutional(head=nn.Softmax(1))
    with torch.no_grad():
        net[-2].weight -= net[-2].weight.mean(0)
        net[-2].bias -= net[-2].bias.mean()
    found = DeepLift(baseline=ends[1])(net, ends[0], TARGETS)
    torch.testing.assert_close(found, by_captum(net, *ends), rtol=1e-10, atol=1e-15)


class Distinct(BasicBlock):
    """A block of ResNet whose two activations are two modules, as Captum needs it."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.relu, self.last = nn.ReLU(), nn.ReLU()

    def forward(self, inputs):
        shortcut = inputs if self.downsample is None else self.downsample(inputs)
        return self.last(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(inputs))))) + shortcut)


def test_torchvisions_resnet_as_it_is(ends):
    """Its activations are used twice and in place; the twin is the same function, written for Captum."""
    net, twin = (ResNet(block, [1, 2, 1, 1], num_classes=4).double().eval() for block in (BasicBlock, Distinct))
    twin.load_state_dict(net.state_dict())
    net.maxpool = nn.Identity()
    twin.relu, twin.maxpool = nn.ReLU(), nn.Identity()
    found = DeepLift(baseline=ends[1])(net, ends[0], TARGETS)
    torch.testing.assert_close(found, by_captum(twin, *ends), rtol=1e-9, atol=1e-14)


MADE_OF_STEPS_WITH_A_RULE = {
    name: (lambda name=name: architecture(name)) for name in ("densenet", "mobilenet", "resnet", "squeezenet")
} | {
    "vgg": lambda: nn.Sequential(make_layers([8, "M", 16, "M"]), nn.Flatten(), nn.Linear(4096, 4)).double().eval(),
    "googlenet": lambda: GoogLeNet(num_classes=4, init_weights=False).double().eval(),
}


@pytest.mark.parametrize("name", MADE_OF_STEPS_WITH_A_RULE)
def test_completeness(name):
    net, images = MADE_OF_STEPS_WITH_A_RULE[name](), torch.rand(2, 3, 64, 64, dtype=torch.float64)
    found = DeepLift().explain(net, images, TARGETS[:2])
    points = torch.cat([images, torch.zeros_like(images)])
    start, end = net(points).gather(1, TARGETS[:2].repeat(2)[:, None])[:, 0].detach().chunk(2)
    assert bool(((found.attribution.sum((1, 2, 3)) - (start - end)).abs() <= 1e-10 * (start - end).abs()).all())
    torch.testing.assert_close(found.completeness_error, found.attribution.sum((1, 2, 3)) - (start - end))


def test_completeness_on_a_smooth_net():
    """Check N7."""
    net, x = mlp(48), torch.rand(4, 48, dtype=torch.float64)
    found = DeepLift().explain(net, x, 1)
    change = (net(x) - net(x * 0))[:, 1]
    assert bool((found.completeness_error.abs() < 1e-10 * change.abs()).all())


@pytest.mark.parametrize("objective", ["logit", "prob", "logprob", "margin", "sum_logprob"])
def test_the_objective_is_a_part_of_what_is_explained(objective, ends):
    found = DeepLift(baseline=ends[1], objective=objective).explain(convolutional(nn.GELU), ends[0], TARGETS)
    assert bool((found.completeness_error.abs() < 1e-10 * found.attribution.flatten(1).abs().sum(1)).all())


def test_saturation():
    """Check N4: 1 - relu(1 - x) is flat at 2, and has come from 0 to 1 on the way."""

    class Saturated(nn.Module):
        def forward(self, x):
            return 1 - (1 - x).relu()

    found = DeepLift()(Saturated(), torch.tensor([[2.0]], dtype=torch.float64), 1)
    assert float(found) == 1


class Gated(nn.Module):
    """A product of activations behind a norm of one sample."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3)

    def forward(self, x):
        x = self.norm(self.first(x))
        return self.last(x * x.sigmoid())


def relative_error(net, x, found):
    change = (net(x) - net(x * 0)).gather(1, TARGETS[:, None])[:, 0].detach()
    return (found.completeness_error / change).abs()


def test_what_has_no_rule_is_told_and_measured():
    net, x = Gated().double(), torch.rand(3, 6, dtype=torch.float64)
    with pytest.warns(UserWarning, match="DeepLIFT is not exact for Gated: .*`Explanation.completeness_error`") as told:
        found = DeepLift(max_batch=2).explain(net, x, TARGETS)
    assert len(told) == 1
    assert told[0].filename == __file__
    error = relative_error(net, x, found)
    assert f"up to {float(error.max()):.2g} times" in str(told[0].message)
    assert float(error.max()) > 0.01


def squeezed():
    layers = [nn.Conv2d(3, 6, 3), SqueezeExcitation(6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)]
    for gate in (layers[1].fc1, layers[1].fc2):  # that opens and closes, and is not shut by its ReLU
        nn.init.normal_(gate.weight, std=3)
        nn.init.constant_(gate.bias, 2)
    return nn.Sequential(*layers).double()


@pytest.mark.parametrize("name", ["vit", "swin", "squeeze and excitation"])
def test_transformers_and_gates_are_told(name):
    net, x = squeezed() if " " in name else architecture(name), torch.rand(3, 3, 32, 32, dtype=torch.float64)
    with pytest.warns(UserWarning, match=f"not exact for {type(net).__name__}"):
        found = DeepLift().explain(net, x, TARGETS)
    assert found.attribution.isfinite().all()
    assert found.attribution.flatten(1).any(1).all()
    change = (net(x) - net(x * 0)).gather(1, TARGETS[:, None])[:, 0].detach()
    torch.testing.assert_close(found.completeness_error, found.attribution.sum((1, 2, 3)) - change)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("name", ["densenet", "resnet", "squeezenet"])
def test_rounding_is_not_taken_for_an_error(name, dtype):
    net, images = architecture(name).to(dtype), torch.rand(4, 3, 64, 64)
    DeepLift()(net, images.to(dtype), 1)  # any warning is an error
    with torch.autocast("cpu", torch.bfloat16):
        DeepLift()(net.float(), images, 1)


def test_an_error_is_not_taken_for_rounding():
    net, x = Gated(), torch.rand(3, 6)
    for enabled in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled), pytest.warns(UserWarning, match="Gated"):
            DeepLift()(net, x, TARGETS)


def test_what_is_evaluated(ends):
    """The baseline and the input, once, and the error of completeness comes with them."""
    inputs, baseline = ends
    net = Recorder(convolutional())
    found = DeepLift(baseline=baseline).explain(net, inputs, TARGETS)
    assert torch.equal(net.points, torch.cat([baseline, inputs]))
    assert found.passes == (2, 1)
    assert torch.equal(found.endpoint, baseline)
    confidence = [net(x).softmax(1).gather(1, TARGETS[:, None])[:, 0].detach() for x in (baseline, inputs)]
    torch.testing.assert_close(found.confidence, torch.stack(confidence, 1))


def test_features_at_the_baseline_get_nothing(ends):
    inputs, baseline = ends
    baseline[:, 1] = inputs[:, 1]
    found = DeepLift(baseline=baseline)(convolutional(), inputs, TARGETS)
    assert not found[:, 1].any()
    assert found[:, 0].any()


@pytest.mark.parametrize("reused", [True, False])
def test_modules_functions_and_reuse_are_one(reused, ends):
    """Complaint 10: how an activation is called makes no difference."""

    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.net, self.one = convolutional(pool=nn.MaxPool2d(2)), nn.ReLU(inplace=True)

        def forward(self, x):
            for layer in self.net:
                is_relu = isinstance(layer, nn.ReLU)
                x = (self.one(x) if reused else torch.relu(x)) if is_relu else layer(x)
            return x

    net, (inputs, baseline) = Functional(), ends
    method = DeepLift(baseline=baseline)
    torch.testing.assert_close(method(net, inputs, TARGETS), method(net.net, inputs, TARGETS), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("at", range(2))
def test_no_mode_is_left_after_an_exception(at, ends):
    class Fails(nn.Module):
        calls = itertools.count()

        def forward(self, x):
            if next(self.calls) == at:
                raise KeyError(at)
            return x.mean((2, 3))

    with pytest.raises(KeyError, match=str(at)):
        DeepLift()(Fails(), ends[0], TARGETS)
    assert _get_current_dispatch_mode() is None


def test_a_model_that_decides_by_its_input_is_refused(ends):
    class Deciding(nn.Module):
        def forward(self, x):
            return (x.relu() if x.mean() > 0.2 else x.tanh()).mean((2, 3))

    with pytest.raises(ValueError, match="chooses its steps by what it is given"):
        DeepLift()(Deciding(), ends[0], TARGETS)


def test_baselines_are_checked_before_there_is_a_model():
    with pytest.raises(ValueError, match=r"`baseline` is 'blakc'; accepted: .*did you mean 'black'"):
        DeepLift(baseline="blakc")

import captum.attr
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from _reference.architectures import architecture
from _reference.nets import Counter, cnn
from _reference.trace import hooks
from lit_attr.attribution import GradCAM

TARGETS = torch.tensor([2, 0])


class Pooled(nn.Module):
    """Convolution, ReLU, mean over space, linear; what comes between is chosen by a test."""

    def __init__(self, between=lambda x: x):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, dtype=torch.float64)
        self.relu = nn.ReLU()
        self.head = nn.Linear(4, 3, dtype=torch.float64)
        self.between = between

    def forward(self, inputs):
        return self.head(self.between(self.relu(self.conv(inputs))).mean((2, 3)))


@pytest.fixture
def images():
    return torch.rand(2, 3, 10, 8, dtype=torch.float64)


def test_pooled_network_by_hand(images):
    """Check N12: ReLU(sum_k W_yk a_k) / hw, upsampled."""
    net = Pooled()
    places = net.relu(net.conv(images))
    weighted = torch.einsum("bk,bkhw->bhw", net.head.weight[TARGETS], places) / (8 * 6)
    expected = F.interpolate(weighted.relu()[:, None], (10, 8), mode="bilinear", align_corners=False)
    found = GradCAM().explain(net, images, TARGETS)
    assert expected.any()
    torch.testing.assert_close(found.attribution, expected.detach(), rtol=0, atol=1e-14)
    assert found.info == {"layer": "relu"}


CAPTUM = [
    ("resnet", "layer4"),
    ("resnet", "layer2"),
    ("resnet", "layer4.0.bn2"),  # the sum with the shortcut is written into its output
    ("resnet", "layer4.0.relu"),  # used twice
    ("densenet", "features"),  # the ReLU that follows is written into its output
    ("densenet", "features.denseblock2"),
    ("mobilenet", "features.4"),
    ("squeezenet", "features"),
]


@pytest.mark.parametrize(("name", "layer"), CAPTUM)
def test_captum(name, layer):
    net, x = architecture(name), torch.rand(2, 3, 64, 64, dtype=torch.float64)
    oracle = captum.attr.LayerGradCam(net, net.get_submodule(layer))
    small = oracle.attribute(x, TARGETS, relu_attributions=True)
    expected = captum.attr.LayerAttribution.interpolate(small, (64, 64), "bilinear").detach()
    assert expected.any()
    torch.testing.assert_close(GradCAM(layer=layer)(net, x, TARGETS), expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("name", ["resnet", "densenet", "mobilenet", "squeezenet"])
def test_the_layer_it_finds_is_the_layer_by_that_name(name):
    net, x = architecture(name), torch.rand(3, 3, 64, 64, dtype=torch.float64)
    found = GradCAM(max_batch=2).explain(net, x, 1)
    expected = GradCAM(layer=found.info["layer"]).explain(net, x, 1)
    torch.testing.assert_close(found.attribution, expected.attribution)
    assert found.info == expected.info


def test_a_network_that_overwrites_the_found_layer_costs_one_forward_pass_more():
    net = Counter(architecture("densenet"))
    x = torch.rand(3, 3, 64, 64, dtype=torch.float64)
    found = GradCAM(max_batch=1).explain(net, x, 1)
    assert found.passes.forward * 3 == net.forwards == 4  # of the first chunk only
    assert found.info == {"layer": "model.features"}


LAYERS = {
    "resnet18": "layer4",
    "vgg11": "avgpool",
    "densenet121": "features",
    "mobilenet_v2": "features",
    "convnext_tiny": "features",
    "swin_t": "permute",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_layer_of_torchvision(name):
    """Complaint 12: the last spatial layer is found and named."""
    net = getattr(torchvision.models, name)(weights=None, num_classes=5)
    found = GradCAM().explain(net, torch.rand(1, 3, 64, 64), 1)
    assert found.info == {"layer": LAYERS[name]}


def test_channels_last_are_no_places():
    """As in Swin: the last module with four axes has them in the order [B, H, W, C]."""

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 16, 3, dtype=torch.float64)
            self.norm = nn.LayerNorm(16, dtype=torch.float64)
            self.head = nn.Linear(16, 3, dtype=torch.float64)

        def forward(self, inputs):
            return self.head(self.norm(self.conv(inputs).permute(0, 2, 3, 1)).mean((1, 2)))

    assert GradCAM().explain(Last(), torch.rand(1, 3, 8, 8, dtype=torch.float64), 0).info == {"layer": "conv"}


def test_a_layer_used_again_without_places_counts_where_it_had_some(images):
    class Again(Pooled):
        def forward(self, inputs):
            return self.head(self.relu(self.relu(self.conv(inputs)).mean((2, 3))))

    net = Again()
    found = GradCAM().explain(net, images, 0)
    assert found.info == {"layer": "relu"}
    assert torch.equal(GradCAM(layer="relu")(net, images, 0), found.attribution)


@pytest.mark.parametrize("layer", ["relu", None])
def test_what_follows_may_write_into_the_layer(layer, images):
    net, in_place = Pooled(lambda x: x.mul(2)), Pooled(lambda x: x.mul_(2))
    in_place.load_state_dict(net.state_dict())
    net.relu = in_place.relu = nn.AvgPool2d(2)  # unlike a ReLU it does not need its output to go backward
    torch.testing.assert_close(GradCAM(layer=layer)(in_place, images, 0), GradCAM(layer=layer)(net, images, 0))


def test_only_negative_evidence_is_a_zero_map(images):
    net = Pooled()
    net.head.weight.data.fill_(-1)
    assert not GradCAM()(net, images, 0).any()


def test_a_layer_inside_a_compiled_part(images):
    net = Pooled()
    expected = GradCAM(layer="conv")(net, images, 0)
    net.conv = torch.compile(net.conv, backend="eager")
    torch.testing.assert_close(GradCAM(layer="conv")(net, images, 0), expected)


def test_no_layer_with_places(images):
    net = nn.Sequential(nn.Flatten(), nn.Linear(240, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"found no submodule with a spatial output .* in Sequential; name another"):
        GradCAM()(net, images, 0)


def test_unknown_layer_names_the_nearest(images):
    net = Pooled()
    before = hooks(net)
    with pytest.raises(ValueError, match=r"`layer` is 'rleu', no submodule of Pooled; .*did you mean 'relu'\?"):
        GradCAM(layer="rleu")(net, images, 0)
    assert hooks(net) == before


@pytest.mark.parametrize(("layer", "got"), [("8", r"\(2, 3\)"), ("7", r"\(2, 24\)")])
def test_a_layer_without_places(layer, got):
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    with pytest.raises(
        ValueError, match=rf"`layer` must be .* output \[B, C, h, w\], got '{layer}', whose output is {got}"
    ):
        GradCAM(layer=layer)(cnn(), images, 0)


def test_a_layer_with_several_outputs(images):
    class Pair(nn.Module):
        def forward(self, inputs):
            return inputs, None

    net = Pooled(lambda x: net.pair(x)[0])
    net.pair = Pair()
    with pytest.raises(ValueError, match=r"`layer` must be .*, got 'pair', whose output is tuple"):
        GradCAM(layer="pair")(net, images, 0)


def test_a_layer_that_is_not_called(images):
    net = Pooled()
    net.spare = nn.Conv2d(3, 3, 1)
    with pytest.raises(ValueError, match="Grad-CAM: layer spare was not called in Pooled; name another `layer`"):
        GradCAM(layer="spare")(net, images, 0)


def test_a_layer_that_does_not_lead_to_the_output(images):
    net = Pooled(lambda x: (net.aside(x), x)[1])
    net.aside = nn.Conv2d(4, 4, 1, dtype=torch.float64)
    with pytest.raises(ValueError, match="the output of Pooled does not depend differentiably on what is explained"):
        GradCAM(layer="aside")(net, images, 0)


@pytest.mark.parametrize("shape", [(2, 6), (2, 5, 6)])
def test_inputs_that_are_no_images(shape):
    with pytest.raises(ValueError, match=r"`inputs` must be images \[B, C, H, W\], got shape"):
        GradCAM()(Pooled(), torch.rand(shape), 0)

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


@pytest.mark.parametrize("name", ["resnet", "densenet", "mobilenet", "squeezenet", "swin"])
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
    ("resnet18", 64): "layer4",
    ("resnet18", 32): "layer3",  # layer4 has one place
    ("vgg11", 64): "features",
    ("vgg11", 32): "features.19",  # the features have one place, of which `avgpool` makes 7x7
    ("densenet121", 64): "features",
    ("mobilenet_v2", 64): "features",
    ("mobilenet_v3_small", 64): "features",
    ("efficientnet_b0", 64): "features",
    ("convnext_tiny", 64): "features",
    ("squeezenet1_1", 64): "classifier.2",
    ("googlenet", 64): "inception5b",
    ("inception_v3", 128): "Mixed_7c",
    ("swin_t", 64): "norm",
    ("swin_v2_t", 64): "norm",
    ("vit_b_32", 224): "encoder.layers.encoder_layer_11.ln_1",
    ("maxvit_t", 224): "blocks.3",
}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), LAYERS)
def test_layer_of_torchvision(name, size):
    """Complaint 12: the last spatial layer is found and named."""
    settings = {"init_weights": False} if name in {"googlenet", "inception_v3"} else {}
    net = getattr(torchvision.models, name)(weights=None, num_classes=5, **settings)
    found = GradCAM().explain(net, torch.rand(1, 3, size, size), 1)
    assert found.info == {"layer": LAYERS[name, size]}


def test_windows_laid_out_by_channels_are_no_smaller_grid():
    """A MaxViT so thin that its windows times its channels are fewer than its places."""
    settings = {"block_channels": [16, 32], "block_layers": [1, 1], "partition_size": 8, "num_classes": 5}
    net = torchvision.models.MaxVit((128, 128), 16, head_dim=8, stochastic_depth_prob=0.0, **settings)
    assert GradCAM().explain(net, torch.rand(1, 3, 128, 128), 1).info == {"layer": "blocks.1"}


def test_a_single_place_spread_over_a_grid_is_not_taken():
    """VGG on 32 pixels; its pooling by its name gives the constant map."""
    net, x = torchvision.models.vgg11(num_classes=5), torch.rand(1, 3, 32, 32)
    assert len(GradCAM(layer="avgpool")(net, x, 1).unique()) == 1
    assert len(GradCAM()(net, x, 1).unique()) > 1


def restated(net, x, layer, places):
    """By a hook; `places` makes `[B, C, h, w]` of the layer's output."""
    kept = []
    handle = net.get_submodule(layer).register_forward_hook(lambda module, inputs, output: kept.append(output))
    score = net(x)[[0, 1], TARGETS].sum()
    handle.remove()
    (gradient,) = torch.autograd.grad(score, kept)
    weighted = places(gradient).mean((2, 3), keepdim=True) * places(kept[0])
    expected = F.interpolate(weighted.sum(1, keepdim=True).relu(), x.shape[2:], mode="bilinear", align_corners=False)
    assert (expected.flatten(1).std(1) > 0).any()
    return expected.detach()


def patches(output):
    return torch.stack([output[:, 1 + 4 * row : 5 + 4 * row] for row in range(4)], 2).permute(0, 3, 2, 1)


def channels_last(output):
    return output.permute(0, 3, 1, 2)


TRANSFORMERS = [
    ("vit", (32, 32), None, "encoder.layers.encoder_layer_2.ln_1", patches),
    ("vit", (32, 32), "encoder.layers.encoder_layer_1.ln_2", None, patches),
    ("vit", (32, 32), "encoder.layers.encoder_layer_0", None, patches),
    ("vit", (32, 32), "conv_proj", None, lambda output: output),
    ("swin", (32, 32), None, "norm", channels_last),
    ("swin", (32, 48), None, "norm", channels_last),
    ("swin", (48, 32), "features.1.0.norm2", None, channels_last),
    ("swin", (32, 32), "permute", None, lambda output: output),
]


@pytest.mark.parametrize(("name", "size", "layer", "chosen", "places"), TRANSFORMERS)
def test_transformers(name, size, layer, chosen, places):
    net, x = architecture(name), torch.rand(2, 3, *size, dtype=torch.float64)
    found = GradCAM(layer=layer).explain(net, x, TARGETS)
    assert found.info == {"layer": layer or chosen}
    assert found.passes == (1, 1)
    expected = restated(net, x, layer or chosen, places)
    torch.testing.assert_close(found.attribution, expected, rtol=1e-9, atol=1e-14)


class Attending(nn.Module):
    """Patches of 8 pixels, two blocks of attention with separate queries, and a class token, or the mean."""

    def __init__(self, norm=nn.LayerNorm, front=1):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 8, 8)
        self.front = nn.Parameter(torch.randn(1, front, 8))
        self.blocks = nn.ModuleList(nn.ModuleDict(self.block(norm)) for _ in range(2))
        self.head = nn.Linear(8, 3)
        self.double()

    def block(self, norm):
        return {"norm": norm(8)} | {name: nn.Linear(8, 8) for name in ("query", "key", "value", "out")}

    def forward(self, inputs):
        tokens = self.patches(inputs).flatten(2).mT
        tokens = torch.cat([self.front.expand(len(inputs), -1, -1), tokens], 1)
        for block in self.blocks:
            x = block.norm(tokens)
            weights = (block.query(x) @ block.key(x).mT).softmax(-1)
            tokens = tokens + block.out(weights @ block.value(x))
        return self.head(tokens[:, 0] if self.front.numel() else tokens.mean(1))


class OwnNorm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        return x * x.square().mean(-1, keepdim=True).rsqrt() * self.weight


# More than a class token in front is made out only where the patches have exactly the proportions of the image.
TOKENS = [(size, front) for size in [(24, 24), (16, 40)] for front in [0, 1, 5]] + [((30, 19), 0), ((30, 19), 1)]


@pytest.mark.parametrize(("size", "front"), TOKENS)
@pytest.mark.parametrize("norm", [nn.LayerNorm, OwnNorm])
def test_tokens(norm, size, front):
    """Any image with its patches, whole or not; any number of tokens in front."""
    net, x = Attending(norm, front), torch.rand(2, 3, *size, dtype=torch.float64)
    rows, columns = size[0] // 8, size[1] // 8
    found = GradCAM().explain(net, x, TARGETS)
    assert found.info == {"layer": "blocks.1.norm"}
    expected = restated(net, x, "blocks.1.norm", lambda o: o[:, front:].reshape(2, rows, columns, 8).movedim(3, 1))
    torch.testing.assert_close(found.attribution, expected, rtol=1e-9, atol=1e-14)


def test_a_head_of_zeros_does_not_change_the_choice():
    net, x = architecture("vit"), torch.rand(2, 3, 32, 32, dtype=torch.float64)
    nn.init.zeros_(net.heads.head.weight)
    with torch.autograd.set_detect_anomaly(True, check_nan=True):
        found = GradCAM().explain(net, x, TARGETS)
    assert found.info == {"layer": "encoder.layers.encoder_layer_2.ln_1"}
    assert found.passes == (1, 2)
    assert not found.attribution.any()


def test_the_choice_reaches_past_many_layers_behind_the_last_attention():
    net, x = Attending(), torch.rand(2, 3, 24, 24, dtype=torch.float64)
    net.after = nn.Sequential(*(nn.LayerNorm(8, dtype=torch.float64) for _ in range(9)))
    net.blocks[1].out = nn.Sequential(net.blocks[1].out, *net.after)
    found = GradCAM().explain(net, x, TARGETS)
    assert found.info == {"layer": "blocks.1.norm"}
    torch.testing.assert_close(found.attribution, GradCAM(layer="blocks.1.norm")(net, x, TARGETS))


@pytest.mark.parametrize("layer", ["encoder.layers.encoder_layer_2", "encoder.ln"])
def test_a_layer_of_which_only_the_class_token_is_read(layer):
    net, x = architecture("vit"), torch.rand(2, 3, 32, 32, dtype=torch.float64)
    with pytest.raises(ValueError, match=rf"`layer` is '{layer}', of which VisionTransformer reads the class token"):
        GradCAM(layer=layer)(net, x, TARGETS)


def test_channels_last():
    """As in Swin, without a permutation behind."""

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 16, 3, dtype=torch.float64)
            self.norm = nn.LayerNorm(16, dtype=torch.float64)
            self.head = nn.Linear(16, 3, dtype=torch.float64)

        def forward(self, inputs):
            return self.head(self.norm(self.conv(inputs).permute(0, 2, 3, 1)).mean((1, 2)))

    net, x = Last(), torch.rand(2, 3, 8, 8, dtype=torch.float64)
    found = GradCAM().explain(net, x, TARGETS)
    assert found.info == {"layer": "norm"}
    torch.testing.assert_close(found.attribution, restated(net, x, "norm", channels_last))


def test_an_output_beside_the_explained_one_is_not_taken(images):
    """As the auxiliary head of torchvision's DeepLab, which comes last."""
    net = Pooled(lambda x: (net.aside(x), x)[1])
    net.aside = nn.Conv2d(4, 4, 1, dtype=torch.float64)
    found = GradCAM(max_batch=1).explain(net, images, TARGETS)
    assert found.info == {"layer": "relu"}
    assert found.passes == (1.5, 1)
    assert torch.equal(found.attribution, GradCAM(layer="relu")(net, images, TARGETS))


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
    with pytest.raises(ValueError, match="Grad-CAM found no submodule with a spatial output in Sequential; name a"):
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
        ValueError, match=rf"`layer` must be .* output \[B, C, h, w\], .*, got '{layer}', whose output is {got}"
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

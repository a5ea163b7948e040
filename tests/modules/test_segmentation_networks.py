"""Segmentation networks by name, their second heads, and the weights they take."""

import pytest
import torch
from torch import nn
from torchvision import models

from lit_attr.modules.segmentation_networks import build_segmentation_network

NAMES = models.list_models(module=models.segmentation)
SMALLEST = "lraspp_mobilenet_v3_large"


def meta(name, **settings):
    """Shapes without values, so that large networks cost nothing."""
    with torch.device("meta"):
        return build_segmentation_network(name, 7, 3, **settings)


def test_the_documented_networks_are_torchvisions():
    assert all(name in build_segmentation_network.__doc__ for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_network_has_the_given_classes_at_full_size(name):
    found = meta(name).eval()(torch.empty(1, 3, 65, 96, device="meta"))
    assert found["out"].shape == (1, 7, 65, 96)
    assert ("aux" in found) == (not name.startswith("lraspp"))


@pytest.mark.parametrize("name", NAMES)
def test_without_a_second_head(name):
    assert "aux" not in meta(name, auxiliary=False).eval()(torch.empty(1, 3, 64, 64, device="meta"))


def test_the_small_one_takes_any_channels():
    assert build_segmentation_network("small_segmenter", 4, 2)(torch.rand(2, 2, 16, 16)).shape == (2, 4, 16, 16)


@pytest.mark.parametrize(
    ("name", "channels", "settings", "message"),
    [
        (
            "fcn_resnet5",
            3,
            {},
            "unknown model 'fcn_resnet5'; accepted: deeplab.*small_segmenter; did you mean 'fcn_resnet50'",
        ),
        ("fcn_resnet50", 1, {}, "`mean` must be three values for a torchvision network, got 1 values"),
        (
            "fcn_resnet50",
            3,
            {"weights_backbone": "IMAGENET"},
            "`weights_backbone` is 'IMAGENET'; accepted: DEFAULT, IM",
        ),
        ("small_segmenter", 3, {"weights_backbone": "DEFAULT"}, "`weights_backbone` must be None for small_segmenter"),
    ],
)
def test_wrong_settings(name, channels, settings, message):
    with pytest.raises(ValueError, match=message):
        build_segmentation_network(name, 7, channels, **settings)


def test_unknown_weights():
    with pytest.raises(FileNotFoundError, match=r"neither a file nor weights of lraspp.*COCO_WITH_VOC_LABELS_V1"):
        build_segmentation_network(SMALLEST, 7, 3, weights="COCO")
    with pytest.raises(FileNotFoundError, match="known: none published"):
        build_segmentation_network("small_segmenter", 7, 3, weights="DEFAULT")


def written(path, name, classes, **settings):
    """A file of weights none of which a new network has."""
    net = build_segmentation_network(name, classes, 3, **settings)
    for value in net.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 1)
    torch.save(net.state_dict(), path)
    return net.state_dict(), str(path)


def differing(net, state):
    own = net.state_dict()
    return {key for key in own if own[key].shape != state[key].shape or not torch.equal(own[key], state[key])}


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("small_segmenter", {"classifier"}),
        (SMALLEST, {"classifier.low_classifier", "classifier.high_classifier"}),
        ("deeplabv3_mobilenet_v3_large", {"classifier.4", "aux_classifier.4"}),
    ],
)
def test_weights_from_a_file_with_as_many_classes_and_with_others(tmp_path, name, heads):
    state, path = written(tmp_path / "w.pt", name, 5)
    assert differing(build_segmentation_network(name, 5, 3, weights=path), state) == set()
    other = differing(build_segmentation_network(name, 4, 3, weights=path), state)
    assert other == {f"{head}.{part}" for head in heads for part in ("weight", "bias")}


def test_a_second_head_that_is_not_wanted_is_left_out(tmp_path):
    name = "deeplabv3_mobilenet_v3_large"
    state, path = written(tmp_path / "w.pt", name, 5)
    net = build_segmentation_network(name, 5, 3, weights=path, auxiliary=False)
    assert differing(net, state) == set()
    assert not any(key.startswith("aux") for key in net.state_dict())


def test_weights_of_another_network_are_refused(tmp_path):
    _, path = written(tmp_path / "w.pt", "small_segmenter", 5)
    with pytest.raises(ValueError, match="do not fit LRASPP; missing, unknown or of other shape"):
        build_segmentation_network(SMALLEST, 5, 3, weights=path)


def test_published_weights_are_asked_of_torchvision(monkeypatch):
    """And those of the classifier are not, where there are any of the whole."""
    asked = []
    build = models.get_model

    def get_model(name, weights=None, weights_backbone=None, **settings):
        asked.append((weights, weights_backbone))
        return build(name, weights=None, weights_backbone=None, **settings)

    monkeypatch.setattr(models, "get_model", get_model)
    assert isinstance(
        build_segmentation_network(SMALLEST, 21, 3, weights="DEFAULT", weights_backbone="DEFAULT"), nn.Module
    )
    assert asked == [(None, None), ("DEFAULT", None)]
    build_segmentation_network(SMALLEST, 21, 3, weights_backbone="IMAGENET1K_V1")
    assert asked[2] == (None, "IMAGENET1K_V1")

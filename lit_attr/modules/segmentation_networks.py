"""Segmentation networks by name: torchvision's, and a small one."""

from typing import Any

from torch import Tensor, nn

from lit_attr._checks import ArgumentError
from lit_attr.modules.backbones import load_into, published_or_file
from lit_attr.modules.small_segmenter import SmallSegmenter
from lit_attr.registry import did_you_mean

__all__ = ["build_segmentation_network"]

_SMALL = "small_segmenter"


def build_segmentation_network(
    name: str,
    num_classes: int,
    in_channels: int,
    *,
    weights: str | None = None,
    weights_backbone: str | None = None,
    auxiliary: bool = True,
) -> nn.Module:
    """A segmentation network by name, with `num_classes` output channels; nothing is downloaded unless asked for.

    Args:
        name: "small_segmenter", or torchvision's "deeplabv3_resnet50", "deeplabv3_resnet101",
            "deeplabv3_mobilenet_v3_large", "fcn_resnet50", "fcn_resnet101", "lraspp_mobilenet_v3_large".
        num_classes: number of output channels; pretrained heads of another size are left out, and said.
        in_channels: channels of the input; torchvision's networks take 3.
        weights: of the whole network: None; the name of a torchvision weight enum ("DEFAULT",
            "COCO_WITH_VOC_LABELS_V1": downloaded); or a file (see `read_weights`).
        weights_backbone: where there are no `weights`, the name of a weight enum of the classifier that the network is
            made of ("DEFAULT", "IMAGENET1K_V1": downloaded).
        auxiliary: whether DeepLabV3 and FCN have their second head, whose loss helps to train the middle layers.

    Raises:
        ValueError: for an unknown name or weight enum, or weights of another architecture.
        FileNotFoundError: if `weights` is neither an enum of this network nor a file.
    """
    from torchvision import models

    if name == _SMALL:
        if weights_backbone is not None:
            raise ArgumentError("weights_backbone", weights_backbone, f"None for {_SMALL}")
        network: nn.Module = SmallSegmenter(num_classes, in_channels)
    else:
        accepted = models.list_models(module=models.segmentation)
        if name not in accepted:
            hint = did_you_mean(name, [_SMALL, *accepted])
            msg = f"unknown model '{name}'; {hint}; or the import path of a module"
            raise ValueError(msg)
        if in_channels != 3:
            raise ArgumentError(
                "mean", f"{in_channels} values, one per channel", "three values for a torchvision network"
            )
        backbone = _backbone_weights(name, None if weights else weights_backbone)
        settings: dict[str, Any] = {} if name.startswith("lraspp") else {"aux_loss": auxiliary}
        network = models.get_model(name, num_classes=num_classes, weights_backbone=backbone, **settings)
    if weights is not None:
        state = published_or_file(name, weights, published=name != _SMALL)
        load_into(network, _fitting(network, state), weights, heads=2)
    return network


def _backbone_weights(name: str, weights: str | None) -> str | None:
    from torchvision import models

    if weights is None:
        return None
    backbone = name.split("_", 1)[1]
    known = [w.name for w in models.get_model_weights(backbone)]
    if weights not in {*known, "DEFAULT"}:
        msg = f"`weights_backbone` is '{weights}'; {did_you_mean(weights, ['DEFAULT', *known])}"
        raise ValueError(msg)
    return weights


def _fitting(network: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the second head, where the network has none."""
    if hasattr(network, "aux_classifier") and network.aux_classifier is not None:
        return state
    return {key: value for key, value in state.items() if not key.startswith("aux_classifier.")}

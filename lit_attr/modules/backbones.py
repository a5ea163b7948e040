"""Networks by name: torchvision's classifiers and the CIFAR residual networks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from lit_attr._checks import ArgumentError
from lit_attr.modules.cifar_resnet import CifarResNet
from lit_attr.registry import did_you_mean, import_path

__all__ = ["build_backbone", "read_weights"]

_CIFAR = {f"cifar_resnet{depth}": depth for depth in (8, 14, 20, 32, 44, 56)}
# Their auxiliary heads change the output in training; their own input transform is kept on, as with the published
# weights, so that a checkpoint does not depend on what it was initialised from.
_NO_HEADS = {
    "googlenet": {"aux_logits": False, "transform_input": True, "init_weights": True},
    "inception_v3": {"aux_logits": False, "transform_input": True, "init_weights": True},
}


def build_backbone(name: str, num_classes: int, in_channels: int, weights: str | None = None) -> nn.Module:
    """A classifier by name, with a head of `num_classes`.

    Args:
        name: "cifar_resnet8" ... "cifar_resnet56", or any torchvision classifier ("resnet18", "vit_b_16", ...).
        num_classes: number of logits; a pretrained head of another size is left out, and said.
        in_channels: channels of the input; torchvision's networks take 3.
        weights: None; the name of a torchvision weight enum ("DEFAULT", "IMAGENET1K_V2": downloaded); or a file (see
            `read_weights`).

    Raises:
        ValueError: for an unknown name or weight enum, or weights of another architecture.
        FileNotFoundError: if `weights` is neither an enum of this network nor a file.
    """
    from torchvision import models  # costs a second

    if name in _CIFAR:
        network: nn.Module = CifarResNet(_CIFAR[name], num_classes, in_channels)
    else:
        accepted = models.list_models(module=models)
        if name not in accepted:
            msg = f"unknown model '{name}'; {did_you_mean(name, [*_CIFAR, *accepted])}; or the import path of a module"
            raise ValueError(msg)
        if in_channels != 3:
            channels = f"{in_channels} values, one per channel (for {name}: set `data.channels` to 3)"
            raise ArgumentError("mean", channels, "three values for a torchvision network")
        network = models.get_model(name, num_classes=num_classes, **_NO_HEADS.get(name, {}))
    if weights is not None:
        load_into(network, published_or_file(name, weights, published=name not in _CIFAR), weights)
    return network


def given_or_built(
    model: str | nn.Module, num_classes: int, build: Callable[..., nn.Module], **weights: str | None
) -> nn.Module:
    """The network that a setting `model` means: a module, a class by its import path, or what `build` makes of a name.

    Args:
        model: the setting.
        num_classes: goes to a class.
        build: makes a network from its name and `weights`.
        weights: settings of initial weights by their names, for networks that are built by name.

    Raises:
        ValueError: for an import path that leads to no module, and weights for what has no name.
    """
    if isinstance(model, str) and "." not in model:
        return build(model, **weights)
    for setting, value in weights.items():
        if value is not None:
            raise ArgumentError(setting, value, "None for a `model` that is not one of the named networks")
    if isinstance(model, nn.Module):
        return model
    network = import_path("`model`:", model)(num_classes=num_classes)
    if not isinstance(network, nn.Module):
        raise ArgumentError("model", model, "the import path of a module class")
    return network


def published_or_file(name: str, weights: str, *, published: bool) -> dict[str, Tensor]:
    """The state dict that a setting `weights` means: a file's, or the one that torchvision publishes for `name`.

    Args:
        name: of a network.
        weights: a file, or the name of a weight enum.
        published: whether torchvision knows the network.

    Raises:
        FileNotFoundError: if it is neither.
    """
    from torchvision import models

    path = Path(weights).expanduser()
    if path.is_file():
        return read_weights(path)
    enum = {w.name: w for w in models.get_model_weights(name)} if published else {}
    if weights not in enum and not (enum and weights == "DEFAULT"):
        known = ", ".join(enum) or "none published"
        msg = f"`weights` is '{weights}', neither a file nor weights of {name} (known: {known})"
        raise FileNotFoundError(msg)
    # by way of a network of torchvision's: some of the published files are older than the names in the code
    state: dict[str, Tensor] = models.get_model(name, weights=weights).state_dict()
    return {key: value for key, value in state.items() if not key.startswith("AuxLogits.")}


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a file: safetensors, a `torch.save`d state dict, or a Lightning checkpoint of a `Classifier`.

    Pickled code is never run: files that need more than tensors are refused.

    Raises:
        ValueError: if the file holds no state dict.
    """
    found = load_safely(path, "weights")
    if isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = {key.removeprefix("model."): value for key, value in found["state_dict"].items()}
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        msg = f"`weights`: {path} holds no state dict (names to tensors)"
        raise ValueError(msg)
    return found


def load_safely(path: Path, argument: str) -> Any:
    """What a file written by `torch.save` or safetensors holds, tensors on the CPU, without running code in it.

    Args:
        path: the file.
        argument: the setting that named it, for the message.

    Raises:
        ValueError: if it cannot be read, or only by running code.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # both raise many kinds, and torch's message recommends to run the code
        msg = f"`{argument}`: {path} is damaged, or holds more than tensors and plain values, which is never loaded"
        raise ValueError(msg) from error


def load_into(network: nn.Module, state: dict[str, Tensor], source: str, heads: int = 1) -> None:
    """Load strictly, but leave out the head of another number of classes.

    Args:
        network: takes the weights.
        state: the weights.
        source: where they come from, for messages.
        heads: how many layers may be of another number of classes.

    Raises:
        ValueError: for weights of another architecture.
    """
    own = network.state_dict()
    other = {key for key, value in state.items() if key in own and own[key].shape != value.shape}
    named = {key.rpartition(".")[0] for key in other}
    head_alone = len(named) <= heads and all(own[key].shape[1:] == state[key].shape[1:] for key in other)
    missing = {key for key in own.keys() - state.keys() if not key.endswith("num_batches_tracked")}  # not in old files
    wrong = sorted(missing | (state.keys() - own.keys()) | (set() if head_alone else other))
    if wrong:
        some = ", ".join(wrong[:4]) + (f" and {len(wrong) - 4} more" if len(wrong) > 4 else "")
        msg = f"`weights` from {source} do not fit {type(network).__name__}; missing, unknown or of other shape: {some}"
        raise ValueError(msg)
    network.load_state_dict({key: value for key, value in state.items() if key not in other}, strict=False)
    for head in sorted(named):
        rank_zero_info(f"The head '{head}' of {source} has another number of classes and starts from random values.")

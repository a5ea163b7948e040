"""The image and the label in an item, or a batch, of other people's data sets."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from torch import Tensor

from lit_attr._checks import ArgumentError

Label: TypeAlias = int | Tensor

INPUTS = ("image", "images", "pixel_values", "input", "inputs", "x")
LABELS = ("label", "labels", "target", "targets", "y")


def places(item: Any) -> tuple[Any, Any]:
    """Where an item has its image and its label: the keys of a mapping, or 0 and 1.

    Raises:
        ArgumentError: for an item that is neither a tuple of at least two nor a mapping with known keys.
    """
    if isinstance(item, Mapping):
        found = [next((key for key in keys if key in item), None) for keys in (INPUTS, LABELS)]
        if None not in found:
            return found[0], found[1]
    elif isinstance(item, tuple | list) and len(item) > 1:
        return 0, 1
    got = f"{type(item).__name__}" + (f" with {', '.join(map(str, item))}" if isinstance(item, Mapping) else "")
    accepted = f"(image, label, ...), or a mapping with one of {', '.join(INPUTS)} and one of {', '.join(LABELS)}"
    raise ArgumentError("an item of the training set", got, accepted)


def image_and_label(item: Any) -> tuple[Any, Label]:
    """The image of an item as it is, and its class index; or its mask, int64 `[H, W]`.

    Raises:
        ArgumentError: as `places` does, and for a label that is neither.
    """
    image, label = (item[place] for place in places(item))
    if isinstance(label, Tensor) and label.numel() != 1:
        if label.dim() == 2 and not label.is_floating_point():
            return image, label.as_subclass(Tensor).long()
        accepted = "a class index, or an integer mask [H, W]"
        raise ArgumentError("the label of an item", f"a tensor of shape {tuple(label.shape)}", accepted)
    return image, int(label)


def with_image(item: Any, image: Any, label: Any = None) -> Any:
    """The item with another image, and where one is given with another label; what else is in it is kept."""
    place, labelled = places(item)
    changes = {place: image} if label is None else {place: image, labelled: label}
    if isinstance(item, Mapping):
        return {**item, **changes}
    changed = [changes.get(at, part) for at, part in enumerate(item)]
    if isinstance(item, list):
        return changed
    return type(item)(*changed) if hasattr(item, "_fields") else tuple(changed)

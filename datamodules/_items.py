"""The image and the label in an item, or a batch, of other people's data sets."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lit_attr._checks import ArgumentError

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


def image_and_label(item: Any) -> tuple[Any, int]:
    """The image of an item as it is, and its class index.

    Raises:
        ArgumentError: as `places` does, and for a label that is no class index.
    """
    image, label = (item[place] for place in places(item))
    if isinstance(label, Tensor) and label.numel() != 1:
        raise ArgumentError("the label of an item", f"a tensor of shape {tuple(label.shape)}", "a class index")
    return image, int(label)


def with_image(item: Any, image: Any) -> Any:
    """The item with another image; what else is in it is kept."""
    place, _ = places(item)
    if isinstance(item, Mapping):
        return {**item, place: image}
    changed = [*item]
    changed[place] = image
    if isinstance(item, list):
        return changed
    return type(item)(*changed) if hasattr(item, "_fields") else tuple(changed)

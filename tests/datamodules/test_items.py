from typing import NamedTuple

import pytest
import torch

from lit_attr.datamodules._items import image_and_label, with_image


class Pair(NamedTuple):
    image: object
    label: object
    name: str


@pytest.mark.parametrize(
    "item",
    [
        (0.5, 3),
        [0.5, torch.tensor(3), "name"],
        {"name": "a", "pixel_values": 0.5, "target": torch.tensor([3])},
        Pair(0.5, 3, "name"),
    ],
)
def test_images_and_labels_are_found_and_exchanged(item):
    assert image_and_label(item) == (0.5, 3)
    changed = with_image(item, 0.7)
    assert type(changed) is type(item)
    assert image_and_label(changed) == (0.7, 3)
    assert len(changed) == len(item)
    assert image_and_label(item) == (0.5, 3)
    if isinstance(item, dict):
        assert changed["name"] == "a"


@pytest.mark.parametrize(
    ("item", "got"), [(3, "int"), ((3,), "tuple"), ({"image": 3, "box": 4}, "dict with image, box"), ("ab", "str")]
)
def test_other_items_are_refused(item, got):
    with pytest.raises(ValueError, match=rf"must be \(image, label, ...\), or a mapping with one of .*, got {got}"):
        image_and_label(item)


def test_a_label_that_is_no_class_is_refused():
    with pytest.raises(ValueError, match=r"`the label of an item` must be a class index, or an integer mask"):
        image_and_label((0.5, torch.zeros(10)))


def test_a_mask_is_a_label():
    mask = torch.tensor([[0, 1], [2, 255]], dtype=torch.uint8)
    image, found = image_and_label((0.5, mask))
    assert image == 0.5
    assert found.dtype == torch.long
    assert torch.equal(found, mask.long())
    changed = with_image({"image": 0.5, "target": mask, "name": "a"}, 0.7, mask.long() + 1)
    assert (changed["image"], changed["name"]) == (0.7, "a")
    assert torch.equal(changed["target"], mask.long() + 1)
    with pytest.raises(ValueError, match=r"or an integer mask \[H, W\], got a tensor of shape \(2, 2\)"):
        image_and_label((0.5, mask.float()))

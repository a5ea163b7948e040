"""Classes as colours and as files, against torchvision's and the reader of masks."""

import numpy as np
import pytest
import torch
from PIL import Image

from lit_attr.datamodules import read_mask
from lit_attr.visual import class_colours, class_overlay, save_classes


def test_colours_are_those_of_voc():
    """Its devkit's values for background, aeroplane, person, tvmonitor, and the border."""
    known = {0: (0, 0, 0), 1: (128, 0, 0), 15: (192, 128, 128), 20: (0, 64, 128), 255: (224, 224, 192)}
    colours = class_colours()
    assert {index: tuple(colours[index].tolist()) for index in known} == known
    assert len({tuple(colour) for colour in colours.tolist()}) == 256


def test_a_file_is_read_back_and_shows_the_colours(tmp_path):
    classes = torch.tensor([[0, 1, 20], [255, 5, 0]])
    save_classes(tmp_path / "new" / "mask.png", classes)
    assert torch.equal(read_mask(tmp_path / "new" / "mask.png"), classes)
    shown = np.asarray(Image.open(tmp_path / "new" / "mask.png").convert("RGB"))
    assert np.array_equal(shown, class_colours()[classes.numpy()])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["mask.png"]


def test_overlay_mixes_and_leaves_the_background():
    image, classes = torch.full((3, 1, 3), 0.2), torch.tensor([[0, 1, 7]])
    picture = class_overlay(image, classes, alpha=0.5)
    expected = [[51, 51, 51], *((51 + class_colours()[[1, 7]].astype(float)) / 2).round().tolist()]
    assert np.abs(picture[0].astype(float) - expected).max() <= 0.5
    whole = class_overlay(image, classes, background=None, alpha=1.0)
    assert np.array_equal(whole[0], class_colours()[[0, 1, 7]])


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (torch.zeros(2, 2), r"`classes` must be integers \[H, W\], got torch.float32"),
        (torch.full((2, 2), 256), r"`classes` must be in 0..255, got 256 to 256"),
        (torch.zeros(2, 3, dtype=torch.long), "`classes` must be of the image's size"),
    ],
)
def test_other_classes_are_refused(classes, message):
    with pytest.raises(ValueError, match=message):
        class_overlay(torch.rand(1, 2, 2), classes)

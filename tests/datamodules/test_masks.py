"""Indices of masks of every kind; what holds no indices is refused by its file name."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from _reference.fake_data import palette_png
from lit_attr.datamodules import ImageReadError, read_mask

INDICES = np.array([[0, 1, 20], [255, 7, 0]], dtype=np.uint8)
EXPECTED = torch.tensor([[0, 1, 20], [255, 7, 0]])


def test_a_palette_is_not_applied(tmp_path):
    palette_png(tmp_path / "m.png", INDICES)
    found = read_mask(tmp_path / "m.png")
    assert found.dtype == torch.int64
    assert torch.equal(found, EXPECTED)
    with Image.open(tmp_path / "m.png") as file:
        assert len(np.unique(np.asarray(file.convert("L")))) == 5  # the colours are others
        assert not (np.asarray(file.convert("L")) == INDICES).any()


@pytest.mark.parametrize("name", ["m.png", "m.bmp", "m.tif", "m.pgm"])
def test_grey_values_are_indices(tmp_path, name):
    Image.fromarray(INDICES).save(tmp_path / name)
    assert torch.equal(read_mask(tmp_path / name), EXPECTED)


def test_sixteen_bits(tmp_path):
    Image.fromarray(INDICES.astype(np.uint16) * 200).save(tmp_path / "m.png")
    assert torch.equal(read_mask(tmp_path / "m.png"), EXPECTED * 200)


def test_one_bit(tmp_path):
    Image.fromarray(INDICES > 5).save(tmp_path / "m.png")
    assert torch.equal(read_mask(tmp_path / "m.png"), (EXPECTED > 5).long())


def test_semantic_boundaries(tmp_path):
    savemat(tmp_path / "m.mat", {"GTcls": {"Segmentation": INDICES, "Boundaries": np.zeros(3)}})
    assert torch.equal(read_mask(tmp_path / "m.mat"), EXPECTED)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_colours_are_refused(tmp_path, mode):
    Image.new(mode, (3, 2)).save(tmp_path / "m.png")
    with pytest.raises(
        ImageReadError, match=rf"cannot read mask '.*m\.png': its pixels are colours \({mode}\), accepted"
    ):
        read_mask(tmp_path / "m.png")


def test_jpeg_is_refused(tmp_path):
    Image.fromarray(INDICES).save(tmp_path / "m.jpg")
    with pytest.raises(ImageReadError, match=r"m\.jpg': JPEG alters pixels"):
        read_mask(tmp_path / "m.jpg")


@pytest.mark.parametrize("name", ["m.png", "m.mat"])
def test_broken_files_are_named(tmp_path, name):
    with pytest.raises(ImageReadError, match=rf"cannot read mask '.*{name}': there is no such file"):
        read_mask(tmp_path / name)
    (tmp_path / name).write_bytes(b"nothing of the kind" * 20)
    with pytest.raises(ImageReadError, match=f"cannot read mask '.*{name}': "):
        read_mask(tmp_path / name)

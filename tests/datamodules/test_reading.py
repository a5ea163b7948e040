"""Every kind of file, written on the spot, against pixels known in advance."""

import pickle
import struct

import numpy as np
import pytest
import torch
from PIL import Image

from lit_attr.datamodules import ImageReadError, read_image

GREY = np.array([[0, 100, 200], [50, 150, 255]], dtype=np.uint8)
COLOUR = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)


def save(image, path, **settings):
    image.save(path, **settings)
    return path


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("extension", ["png", "bmp", "tif", "pgm"])
def test_grey(tmp_path, extension, channels):
    pixels = read_image(save(Image.fromarray(GREY), tmp_path / f"x.{extension}"), channels)
    assert pixels.dtype == torch.uint8
    assert pixels.is_contiguous()
    assert pixels.tolist() == [GREY.tolist()] * channels


def test_colour_to_three_and_one(tmp_path):
    path = save(Image.fromarray(COLOUR), tmp_path / "x.png")
    assert torch.equal(read_image(path, 3), torch.from_numpy(COLOUR).permute(2, 0, 1))
    luma = COLOUR @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(read_image(path, 1)[0], luma, atol=0.51)


def test_alpha_is_dropped(tmp_path):
    alpha = np.full_like(GREY, 7)
    rgba = save(Image.fromarray(np.dstack([COLOUR, alpha])), tmp_path / "rgba.png")
    grey = save(Image.fromarray(np.dstack([GREY, alpha])), tmp_path / "la.png")
    assert torch.equal(read_image(rgba, 3), torch.from_numpy(COLOUR).permute(2, 0, 1))
    assert read_image(grey, 1)[0].tolist() == GREY.tolist()


@pytest.mark.parametrize("transparency", [None, 0, bytes([0, 128])])
def test_palette_with_and_without_transparency(tmp_path, transparency):
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8)).convert("P")
    image.putpalette([255, 0, 0, 0, 0, 255])
    settings = {} if transparency is None else {"transparency": transparency}
    path = save(image, tmp_path / "x.png", **settings)
    with Image.open(path) as file:
        assert file.mode == "P"
    assert read_image(path, 3).tolist() == [[[255, 0]], [[0, 0]], [[0, 255]]]


def test_one_bit(tmp_path):
    path = save(Image.fromarray(GREY > 120), tmp_path / "x.png")
    assert read_image(path, 1)[0].tolist() == [[0, 0, 255], [0, 255, 255]]


def test_cmyk_jpeg(tmp_path):
    path = save(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), tmp_path / "x.jpg", quality=100)
    red, green, blue = read_image(path, 3).float().mean((1, 2)).tolist()
    assert red > 240
    assert max(green, blue) < 15


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_png_is_scaled_not_clipped(tmp_path, channels):
    values = np.array([[0, 128, 129, 257], [25700, 32768, 65406, 65535]], dtype=np.uint16)
    path = save(Image.fromarray(values), tmp_path / "x.png")
    assert read_image(path, channels).tolist() == [[[0, 0, 1, 1], [100, 128, 254, 255]]] * channels


def test_big_endian_and_32_bit_greys(tmp_path):
    values = np.array([[0, 25700, 65535]], dtype=np.uint16)
    (tmp_path / "big.tif").write_bytes(big_endian_tiff(values))
    with Image.open(tmp_path / "big.tif") as file:
        assert file.mode == "I;16B"
    wide = save(Image.fromarray(values.astype(np.int32)), tmp_path / "wide.tif")
    assert read_image(tmp_path / "big.tif", 1).tolist() == [[[0, 100, 255]]]
    assert read_image(wide, 1).tolist() == [[[0, 100, 255]]]


@pytest.mark.parametrize("value", [-1, 65536])
def test_integers_beyond_16_bits_are_refused(tmp_path, value):
    path = save(Image.fromarray(np.full((2, 2), value, dtype=np.int32)), tmp_path / "x.tif")
    with pytest.raises(ImageReadError, match=rf"x\.tif.*\[{value}, {value}\], accepted: \[0, 65535\]"):
        read_image(path, 1)


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, GREY),
        (2, GREY[:, ::-1]),
        (3, GREY[::-1, ::-1]),
        (6, np.rot90(GREY, -1)),  # to be turned clockwise
        (8, np.rot90(GREY)),
    ],
)
def test_exif_orientation(tmp_path, orientation, expected):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(Image.fromarray(GREY), tmp_path / "x.png", exif=exif)
    assert read_image(path, 1)[0].tolist() == expected.tolist()


def test_16_bit_with_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(Image.fromarray(GREY.astype(np.uint16) * 257), tmp_path / "x.png", exif=exif)
    assert read_image(path, 1)[0].tolist() == np.rot90(GREY, -1).tolist()


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("empty.png", b"", "the file is empty"),
        ("text.png", b"no image at all", "not an image of a known format"),
        ("missing.png", None, "there is no such file"),
    ],
)
def test_not_an_image(tmp_path, name, content, cause):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageReadError, match=f"cannot read image '.*{name}': {cause}") as caught:
        read_image(tmp_path / name, 3)
    assert caught.value.cause == cause


@pytest.mark.parametrize("extension", ["jpg", "png", "bmp"])
def test_truncated(tmp_path, extension):
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    path = save(Image.fromarray(noise), tmp_path / f"x.{extension}")
    path.write_bytes(path.read_bytes()[:1500])
    with pytest.raises(ImageReadError, match=rf"x\.{extension}.*truncated"):
        read_image(path, 3)


def test_damaged_inside(tmp_path):
    path = save(Image.fromarray(COLOUR), tmp_path / "x.png")
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 6] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ImageReadError, match=r"x\.png"):
        read_image(path, 3)


def test_floating_point_and_folder_are_refused(tmp_path):
    path = save(Image.fromarray(GREY.astype(np.float32)), tmp_path / "x.tif")
    with pytest.raises(ImageReadError, match=r"x\.tif.*floating-point"):
        read_image(path, 1)
    with pytest.raises(ImageReadError, match=r"[Ii]s a directory"):
        read_image(tmp_path, 1)


def test_wrong_channels(tmp_path):
    with pytest.raises(ValueError, match="`channels` must be 1 or 3, got 4"):
        read_image(tmp_path, 4)


def test_the_error_survives_a_process():
    error = pickle.loads(pickle.dumps(ImageReadError("cannot read image 'a': b", "b")))
    assert (str(error), error.cause) == ("cannot read image 'a': b", "b")


def big_endian_tiff(values):
    """A one-strip 16-bit grey TIFF in big-endian order, which Pillow cannot write."""
    height, width = values.shape
    tags = [(256, width), (257, height), (258, 16), (259, 1), (262, 1), (273, 122), (277, 1), (278, height)]
    entries = [struct.pack(">HHIHH", tag, 3, 1, value, 0) for tag, value in tags]
    entries.append(struct.pack(">HHII", 279, 4, 1, values.size * 2))
    header = b"MM" + struct.pack(">HI", 42, 8) + struct.pack(">H", len(entries)) + b"".join(entries) + bytes(4)
    return header + values.astype(">u2").tobytes()

"""What tests of corruptions share: names, images, pictures in the place of frost, and a sample's random numbers."""

import numpy as np
import torch
from PIL import Image

from lit_attr.corruptions import CORRUPTIONS, ImageNetC, get_corruption

NAMES = CORRUPTIONS.names()
PUBLISHED = [name for name in NAMES if issubclass(CORRUPTIONS.get(name), ImageNetC)]
VARIANTS = {"imagenet": 224, "cifar": 32, "tinyimagenet": 64}


def stream(key, seed=0):
    """The random numbers of one sample."""
    return np.random.Generator(np.random.Philox(key=np.array([seed, key], np.uint64)))


def write_pictures(folder, count=6, size=(300, 260)):
    """Noise in the place of photographs."""
    for number in range(count):
        levels = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
        Image.fromarray(levels).save(folder / f"frost{number + 1}.png")
    return str(folder)


def made(name, folder, **settings):
    """A corruption, with a folder of pictures where it needs one."""
    if name == "frost":
        settings["pictures"] = folder
    return get_corruption(name, **settings)


def eight_bit(*shape, seed=0):
    """Random images of 256 levels, smooth enough to have structure, in [0, 1]."""
    rng = np.random.default_rng(seed)
    rough = rng.random(shape)
    smooth = (rough + np.roll(rough, 1, -1) + np.roll(rough, 1, -2) + np.roll(rough, 2, -1)) / 4
    return torch.from_numpy(np.round(smooth * 255) / 255).float()


def levels(images):
    """The levels 0..255 of images [1, C, H, W] as an array [H, W, C]."""
    (image,) = (images.double() * 255).round()
    return image.permute(1, 2, 0).numpy()


def cut(values):
    """Values [H, W, C] in [0, 1] as levels, by the cast of the published data, less the rounding errors before it."""
    return np.floor(np.clip(values, 0, 1) * 255 + 1e-6)


def assert_same_levels(found, expected, share=1e-3):
    """Equal but for a few pixels that the cast to 8 bits puts one level apart, as they lie on a level."""
    apart = np.abs(levels(found) - expected)
    assert apart.max() <= 1
    assert (apart > 0).mean() <= share

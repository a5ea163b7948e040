"""Every registered attribution method with few steps, for tests of what all of them promise.

A method that is registered takes part by itself, with its defaults; it gets an entry below where those are slow, or
where it does not promise what the others do.
"""

from lit_attr.attribution import METHODS

SMALL = {
    "ig": {"steps": 5},
    "smoothgrad": {"samples": 5},
}
ON_IMAGES_ONLY = {"grad_cam"}  # explain places of an image, [B, 1, H, W]
SPREADING = {"grad_cam"}  # may give something to a feature that the model does not use
WITHOUT_END = {"grad_cam", "saliency", "smoothgrad"}  # no path, so no end point

ALL = METHODS.names()
ON_VECTORS = [name for name in ALL if name not in ON_IMAGES_ONLY]
WITH_DUMMY_AXIOM = [name for name in ALL if name not in SPREADING]
WITH_END = [name for name in ALL if name not in WITHOUT_END]


def build(name, **settings):
    return METHODS.build(name, SMALL.get(name, {}) | settings)

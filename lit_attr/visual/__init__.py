"""Explanations as pictures, and pictures to loggers."""

from lit_attr.visual.critical_difference import critical_difference_picture
from lit_attr.visual.images import save_png
from lit_attr.visual.maps import heat, overlay, to_rgb
from lit_attr.visual.media import log_curves, log_images, log_table
from lit_attr.visual.panel import Panel, draw
from lit_attr.visual.picture import picture

__all__ = [
    "Panel",
    "critical_difference_picture",
    "draw",
    "heat",
    "log_curves",
    "log_images",
    "log_table",
    "overlay",
    "picture",
    "save_png",
    "to_rgb",
]

"""Explanations as pictures, and pictures to loggers."""

from lit_attr.visual.accuracy import AccuracyCurve, accuracy_picture
from lit_attr.visual.adversarial import AttackedSample, draw_attacked
from lit_attr.visual.classes import class_colours, class_overlay, save_classes
from lit_attr.visual.critical_difference import critical_difference_picture
from lit_attr.visual.images import save_png
from lit_attr.visual.maps import heat, overlay, to_rgb
from lit_attr.visual.matrix import matrix_picture
from lit_attr.visual.media import log_curves, log_images, log_masks, log_table
from lit_attr.visual.panel import Panel, draw
from lit_attr.visual.picture import picture
from lit_attr.visual.scores import Score, scores_picture
from lit_attr.visual.variants import VariantSample, draw_variants

__all__ = [
    "AccuracyCurve",
    "AttackedSample",
    "Panel",
    "Score",
    "VariantSample",
    "accuracy_picture",
    "class_colours",
    "class_overlay",
    "critical_difference_picture",
    "draw",
    "draw_attacked",
    "draw_variants",
    "heat",
    "log_curves",
    "log_images",
    "log_masks",
    "log_table",
    "matrix_picture",
    "overlay",
    "picture",
    "save_classes",
    "save_png",
    "scores_picture",
    "to_rgb",
]

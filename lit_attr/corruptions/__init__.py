"""Corruptions of images: noise of any strength, and those of ImageNet-C at their published severities."""

from lit_attr.corruptions.blurs import DefocusBlur, GaussianBlur, GlassBlur, MotionBlur, ZoomBlur
from lit_attr.corruptions.corruption import CORRUPTIONS, Corruption, get_corruption
from lit_attr.corruptions.digital import Brightness, Contrast, JPEGCompression, Pixelate, Saturate
from lit_attr.corruptions.elastic import ElasticTransform
from lit_attr.corruptions.imagenet_c import ImageNetC
from lit_attr.corruptions.imagenet_noise import GaussianNoiseC, ImpulseNoiseC, ShotNoiseC, SpeckleNoiseC
from lit_attr.corruptions.mean_error import (
    ALEXNET,
    ALEXNET_CLEAN,
    mean_corruption_error,
    relative_mean_corruption_error,
)
from lit_attr.corruptions.noise import GaussianNoise, SaltAndPepper, SpeckleNoise
from lit_attr.corruptions.spatter import Spatter
from lit_attr.corruptions.weather import Fog, Frost, Snow

__all__ = [
    "ALEXNET",
    "ALEXNET_CLEAN",
    "CORRUPTIONS",
    "Brightness",
    "Contrast",
    "Corruption",
    "DefocusBlur",
    "ElasticTransform",
    "Fog",
    "Frost",
    "GaussianBlur",
    "GaussianNoise",
    "GaussianNoiseC",
    "GlassBlur",
    "ImageNetC",
    "ImpulseNoiseC",
    "JPEGCompression",
    "MotionBlur",
    "Pixelate",
    "SaltAndPepper",
    "Saturate",
    "ShotNoiseC",
    "Snow",
    "Spatter",
    "SpeckleNoise",
    "SpeckleNoiseC",
    "ZoomBlur",
    "get_corruption",
    "mean_corruption_error",
    "relative_mean_corruption_error",
]

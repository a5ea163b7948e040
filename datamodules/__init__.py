"""Data modules, and the reading of images."""

from lit_attr.datamodules.augmentation import Augmentation
from lit_attr.datamodules.image import ImageDataModule
from lit_attr.datamodules.joint import JointAugmentation
from lit_attr.datamodules.masks import MaskError, read_mask
from lit_attr.datamodules.predict import PredictBatch, PredictFolder
from lit_attr.datamodules.reading import ImageReadError, read_image
from lit_attr.datamodules.scenes import DigitScenes, digit_scenes
from lit_attr.datamodules.segmentation import SegmentationDataModule
from lit_attr.datamodules.sigma import SIGMADataModule

__all__ = [
    "Augmentation",
    "DigitScenes",
    "ImageDataModule",
    "ImageReadError",
    "JointAugmentation",
    "MaskError",
    "PredictBatch",
    "PredictFolder",
    "SIGMADataModule",
    "SegmentationDataModule",
    "digit_scenes",
    "read_image",
    "read_mask",
]

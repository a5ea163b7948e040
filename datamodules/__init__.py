"""Data modules, and the reading of images."""

from lit_attr.datamodules.augmentation import Augmentation
from lit_attr.datamodules.image import ImageDataModule
from lit_attr.datamodules.predict import PredictBatch, PredictFolder
from lit_attr.datamodules.reading import ImageReadError, read_image
from lit_attr.datamodules.sigma import SIGMADataModule

__all__ = [
    "Augmentation",
    "ImageDataModule",
    "ImageReadError",
    "PredictBatch",
    "PredictFolder",
    "SIGMADataModule",
    "read_image",
]

"""LightningModules: whatever is trained, explained and attacked."""

from lit_attr.modules.advgan import AdvGANModule, Discriminator
from lit_attr.modules.classifier import Classifier
from lit_attr.modules.segmenter import Segmenter

__all__ = ["AdvGANModule", "Classifier", "Discriminator", "Segmenter"]

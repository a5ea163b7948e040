"""LightningModules: whatever is trained, explained and attacked."""

from lit_attr.modules.advgan import AdvGANModule, Discriminator
from lit_attr.modules.classifier import Classifier

__all__ = ["AdvGANModule", "Classifier", "Discriminator"]

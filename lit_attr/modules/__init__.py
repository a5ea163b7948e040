"""LightningModules: whatever is trained, explained and attacked."""

from lit_attr.modules.adversarial import (
    MART,
    TRADES,
    TRAININGS,
    AdversarialTraining,
    FastTraining,
    FreeTraining,
    PGDTraining,
    TrainingBatch,
    get_training,
)
from lit_attr.modules.advgan import AdvGANModule, Discriminator
from lit_attr.modules.classifier import Classifier
from lit_attr.modules.segmenter import Segmenter

__all__ = [
    "MART",
    "TRADES",
    "TRAININGS",
    "AdvGANModule",
    "AdversarialTraining",
    "Classifier",
    "Discriminator",
    "FastTraining",
    "FreeTraining",
    "PGDTraining",
    "Segmenter",
    "TrainingBatch",
    "get_training",
]

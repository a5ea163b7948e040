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
    "TrainingBatch",
    "get_training",
]

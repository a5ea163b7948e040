"""Adversarial training: what a training step makes of a batch so that the model withstands attacks.

A recipe is frozen settings; it is called with a `TrainingBatch` and gives the loss. The attacks inside look at the
model in eval mode with frozen parameters and leave no trace in it; the loss comes from passes in the modes that the
model is in, so that batch norms in training see the samples that are trained on, and frozen ones stay frozen.
"""

from lit_attr.modules.adversarial.fast import FastTraining
from lit_attr.modules.adversarial.free import FreeTraining
from lit_attr.modules.adversarial.mart import MART
from lit_attr.modules.adversarial.pgd import AttackTraining, PGDTraining
from lit_attr.modules.adversarial.trades import TRADES
from lit_attr.modules.adversarial.training import (
    TRAININGS,
    AdversarialTraining,
    Losses,
    TrainingBatch,
    get_training,
)

__all__ = [
    "MART",
    "TRADES",
    "TRAININGS",
    "AdversarialTraining",
    "AttackTraining",
    "FastTraining",
    "FreeTraining",
    "Losses",
    "PGDTraining",
    "TrainingBatch",
    "get_training",
]

"""Samples made of a whole data set and kept on disk: banks without confidence, by SIGMA, and adversarial sets."""

from lit_attr.bank.adversarial import AdversarialSet, attack_samples
from lit_attr.bank.build import build_bank, model_hash
from lit_attr.bank.store import Bank, BankError

__all__ = ["AdversarialSet", "Bank", "BankError", "attack_samples", "build_bank", "model_hash"]

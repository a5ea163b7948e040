"""Banks: samples without confidence for a whole training set, made by SIGMA and kept on disk."""

from lit_attr.bank.build import build_bank, model_hash
from lit_attr.bank.store import Bank, BankError

__all__ = ["Bank", "BankError", "build_bank", "model_hash"]

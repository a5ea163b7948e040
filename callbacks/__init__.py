"""Callbacks: explanations in training, and written with predictions; variants of the model in training."""

from lit_attr.callbacks.explanations import ExplanationCallback
from lit_attr.callbacks.sigma import SIGMARefresh
from lit_attr.callbacks.writer import ExplanationWriter

__all__ = ["ExplanationCallback", "ExplanationWriter", "SIGMARefresh"]

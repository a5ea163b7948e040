"""Callbacks: explanations in training, and written with predictions."""

from lit_attr.callbacks.explanations import ExplanationCallback
from lit_attr.callbacks.writer import ExplanationWriter

__all__ = ["ExplanationCallback", "ExplanationWriter"]

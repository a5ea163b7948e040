"""Callbacks: explanations and robustness in training, and explanations written with predictions."""

from lit_attr.callbacks.explanations import ExplanationCallback
from lit_attr.callbacks.robustness import RobustnessCallback
from lit_attr.callbacks.writer import ExplanationWriter

__all__ = ["ExplanationCallback", "ExplanationWriter", "RobustnessCallback"]

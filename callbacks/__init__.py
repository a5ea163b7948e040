"""Callbacks: explanations and robustness in training, methods compared, explanations written with predictions."""

from lit_attr.callbacks.benchmark import BenchmarkCallback
from lit_attr.callbacks.explanations import ExplanationCallback
from lit_attr.callbacks.robust_segmentation import SegmentationRobustnessCallback
from lit_attr.callbacks.robustness import RobustnessCallback
from lit_attr.callbacks.run_report import ReportCallback
from lit_attr.callbacks.sigma import SIGMARefresh
from lit_attr.callbacks.writer import ExplanationWriter

__all__ = [
    "BenchmarkCallback",
    "ExplanationCallback",
    "ExplanationWriter",
    "ReportCallback",
    "RobustnessCallback",
    "SIGMARefresh",
    "SegmentationRobustnessCallback",
]

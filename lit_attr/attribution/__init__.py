"""Attribution methods: frozen settings, called with a model, samples and a target."""

from lit_attr.attribution._method import METHODS, Explanation, Method, available
from lit_attr.attribution.fast_ig import FastIG
from lit_attr.attribution.grad_cam import GradCAM
from lit_attr.attribution.integrated_gradients import IntegratedGradients
from lit_attr.attribution.saliency import Saliency
from lit_attr.attribution.smoothgrad import SmoothGrad

__all__ = [
    "METHODS",
    "Explanation",
    "FastIG",
    "GradCAM",
    "IntegratedGradients",
    "Method",
    "Saliency",
    "SmoothGrad",
    "available",
]

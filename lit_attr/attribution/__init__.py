"""Attribution methods: frozen settings, called with a model, samples and a target."""

from lit_attr._view import Passes, View
from lit_attr.attribution._method import METHODS, About, Explanation, Method, available
from lit_attr.attribution.agi import AGI
from lit_attr.attribution.attexplore import AttEXplore
from lit_attr.attribution.big import BIG
from lit_attr.attribution.confusion import ConfusionFeature
from lit_attr.attribution.dea import DEA
from lit_attr.attribution.deep_lift import DeepLift
from lit_attr.attribution.expected_gradients import ExpectedGradients
from lit_attr.attribution.fast_ig import FastIG
from lit_attr.attribution.fundamental import FundamentalAttribution
from lit_attr.attribution.grad_cam import GradCAM
from lit_attr.attribution.guided_ig import GuidedIG
from lit_attr.attribution.hires_cam import HiResCAM
from lit_attr.attribution.integrated_gradients import IntegratedGradients
from lit_attr.attribution.isa import ISA
from lit_attr.attribution.la import LA
from lit_attr.attribution.laai import LAAI
from lit_attr.attribution.mfaba import MFABA
from lit_attr.attribution.occlusion import Occlusion
from lit_attr.attribution.rise import RISE
from lit_attr.attribution.saliency import Saliency
from lit_attr.attribution.sigma import SIGMA
from lit_attr.attribution.smoothgrad import SmoothGrad
from lit_attr.attribution.xres_cam import XResCAM

__all__ = [
    "AGI",
    "BIG",
    "DEA",
    "ISA",
    "LA",
    "LAAI",
    "METHODS",
    "MFABA",
    "RISE",
    "SIGMA",
    "About",
    "AttEXplore",
    "ConfusionFeature",
    "DeepLift",
    "ExpectedGradients",
    "Explanation",
    "FastIG",
    "FundamentalAttribution",
    "GradCAM",
    "GuidedIG",
    "HiResCAM",
    "IntegratedGradients",
    "Method",
    "Occlusion",
    "Passes",
    "Saliency",
    "SmoothGrad",
    "View",
    "XResCAM",
    "available",
]

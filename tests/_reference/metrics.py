"""Every registered metric with few steps, for tests of what all of them promise.

A metric that is registered takes part by itself, with its defaults; it gets an entry below where those are slow, or
where it needs more than an attribution.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_attr.attribution import Saliency
from lit_attr.metrics import METRICS
from lit_attr.targets import RegionTarget

SMALL = {
    "average_sensitivity": {"draws": 3},
    "deletion": {"steps": 6},
    "gap": {"steps": 6},
    "infidelity": {"samples": 8},
    "insertion": {"steps": 6},
    "kl_deletion": {"steps": 6},
    "kl_gap": {"steps": 6},
    "kl_insertion": {"steps": 6},
    "max_sensitivity": {"draws": 3},
    "mprt": {"stages": 2},
    "pointing_game": {"tolerance": 3},
    "region_deletion": {"steps": 6},
    "region_insertion": {"steps": 6},
    "road": {"percentages": (20, 70)},
    "road_lerf": {"percentages": (20, 70)},
    "road_morf": {"percentages": (20, 70)},
    "sic": {"thresholds": (0.1, 0.5), "min_score": 0},
    "subset_correlation": {"sizes": (0.1, 0.5), "subsets": 8},
}
WITH_MASKS = {  # update needs to know where the object is
    "attribution_localisation",
    "mask_auc",
    "mask_topk",
    "pointing_game",
    "relevance_mass",
    "relevance_rank",
}
# update needs to know what made the attribution
WITH_METHOD = {
    "average_sensitivity",
    "explanation_similarity",
    "max_sensitivity",
    "mprt",
    "random_logit",
    "region_robustness",
}
WITH_REGION = {"leakage_ratio", "off_target_drop", "off_target_mass", "region_robustness", "target_drop"}
# have no value for an attribution that is the same everywhere
UNDEFINED_WHERE_CONSTANT = {
    "explanation_similarity",
    "mask_topk",
    "mprt",
    "random_logit",
    "region_robustness",
    "relevance_rank",
    "subset_correlation",
}
# have no value for an attribution that is zero everywhere, as the former
UNDEFINED_WHERE_ZERO = UNDEFINED_WHERE_CONSTANT | {
    "attribution_localisation",
    "average_sensitivity",
    "complexity",
    "effective_complexity",
    "gini",
    "max_sensitivity",
    "off_target_mass",
    "relevance_mass",
}

# Its value exists where the target is predicted, but not when blurred, of which these samples and networks have none.
APART = {"aic"}

ALL = [name for name in METRICS.names() if name not in APART]
OF_CLASSES = [name for name in ALL if name not in WITH_REGION]
METHOD = Saliency(signed=True)
TARGET = 1


class Batch(NamedTuple):
    """What a metric is updated with."""

    images: Tensor
    attribution: Tensor
    masks: Tensor

    def part(self, which):
        """Some of the samples."""
        return Batch(*(tensor[which] for tensor in self))


def samples(size=4, channels=3, length=12):
    """Images in [0, 1], a signed attribution of them and masks of a few positions, float64; always the same."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(size, channels, length, length, generator=generator, dtype=torch.float64)
    attribution = torch.randn(size, channels, length, length, generator=generator, dtype=torch.float64)
    masks = torch.zeros(size, length, length, dtype=torch.bool)
    for i in range(size):
        masks[i, i % 5 : i % 5 + 4, 3 : 6 + i % 3] = True
    return Batch(images, attribution, masks)


def build(name, **settings):
    return METRICS.build(name, SMALL.get(name, {}) | settings)


class Dense(nn.Module):
    """A segmenter: what a classifier says of an image, at each pixel by how bright it is and where."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        logits = self.model(images)
        height, width = images.shape[2:]
        places = torch.linspace(-1, 1, height * width, dtype=images.dtype).view(1, height, width)
        pixels = torch.stack([images.mean(1) * (k + 1) + places.sin() * k for k in range(logits.shape[1])], dim=1)
        return {"out": logits[:, :, None, None] * (0.5 + pixels)}


def seen(name, model, batch, target=TARGET):
    """The model and the target as a metric wants them: of the class, or of the class over the region of the masks."""
    if name not in WITH_REGION:
        return model, target
    near = F.max_pool2d(batch.masks[:, None].double(), 3, 1, 1)[:, 0] > 0
    return Dense(model), RegionTarget(target, batch.masks, ~near)


def explained(name, model, batch):
    """The batch with the attribution of the method, for metrics that compare it with what the method gives again."""
    if name not in WITH_METHOD:
        return batch
    model, target = seen(name, model, batch)
    return batch._replace(attribution=METHOD(model, batch.images, target))


def needs(name, batch):
    """The arguments of `update` that only some metrics ask for."""
    masks = {"masks": batch.masks} if name in WITH_MASKS else {}
    return masks | ({"method": METHOD} if name in WITH_METHOD else {})


def update(metric, model, batch, target=TARGET, **more):
    """Give a metric a batch, and whatever it needs besides."""
    name = METRICS.name_of(metric)
    needed = needs(name, batch)
    model, target = seen(name, model, batch, target)
    metric.update(model, batch.images, target, batch.attribution, **needed, **more)
    return metric

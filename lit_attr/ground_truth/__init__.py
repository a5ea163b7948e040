"""Models of which it is known what their output rests on: to test an attribution method or a metric of one's own."""

from lit_attr.ground_truth.additive import Additive
from lit_attr.ground_truth.designed import Designed
from lit_attr.ground_truth.keyed import KeyedNetwork, train_keyed
from lit_attr.ground_truth.scenes import Scenes, keyed_scenes, swap_distractors, swap_keys
from lit_attr.ground_truth.tiled import Tiled

__all__ = [
    "Additive",
    "Designed",
    "KeyedNetwork",
    "Scenes",
    "Tiled",
    "keyed_scenes",
    "swap_distractors",
    "swap_keys",
    "train_keyed",
]

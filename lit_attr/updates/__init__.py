"""Update rules: from the points of guided walks to their next moves, for attacks and for path attributions."""

from lit_attr.updates.region import Bounds, Region, check_bounds, get_bounds
from lit_attr.updates.rules import BIM, UPDATES, L2Step, UpdateRule, get_update
from lit_attr.updates.spsa import SPSA, Pattern
from lit_attr.updates.ssa import SSA
from lit_attr.updates.step import Step, Update
from lit_attr.updates.walk import Route, Turn, Walks, walk

__all__ = [
    "BIM",
    "SPSA",
    "SSA",
    "UPDATES",
    "Bounds",
    "L2Step",
    "Pattern",
    "Region",
    "Route",
    "Step",
    "Turn",
    "Update",
    "UpdateRule",
    "Walks",
    "check_bounds",
    "get_bounds",
    "get_update",
    "walk",
]

"""What is tried where no methods are named: each registered method with its main settings."""

from collections.abc import Mapping
from typing import Any

from lit_attr.attribution import METHODS, Method

__all__ = ["CANDIDATES", "candidates"]

CANDIDATES: dict[str, tuple[dict[str, Any], ...]] = {
    "agi": ({"classes": 5, "steps": 10}, {}),
    "attexplore": ({"steps": 5, "copies": 10}, {}),
    "big": ({"steps": 10, "search_steps": 20}, {}),
    "dea": ({},),
    "deep_lift": ({},),
    "expected_gradients": ({"samples": 20}, {}),
    "fast_ig": ({},),
    "fundamental": ({},),
    "grad_cam": ({},),
    "guided_ig": ({"steps": 20}, {}),
    "hires_cam": ({},),
    "ig": ({"steps": 10}, {}),
    "isa": ({"rounds": 8}, {}),
    "la": ({"classes": 5, "steps": 10}, {}),
    "laai": ({"explorations": 5, "steps": 10}, {}),
    "mfaba": ({"steps": 10}, {}),
    "occlusion": ({},),
    "rise": ({"masks": 500}, {}),
    "saliency": ({}, {"signed": True}),
    "sigma": ({"paths": 2, "steps": 100}, {}),
    "smoothgrad": ({"samples": 10}, {}),
    "xres_cam": ({},),
}
"""Settings by method: those it comes with, and before them, of a method whose cost can be chosen, cheaper ones."""


def candidates(table: Mapping[str, tuple[Mapping[str, Any], ...]] = CANDIDATES) -> dict[str, Method]:
    """The methods of a table, by names that tell what differs from the settings that a method comes with.

    Example:
        >>> list(candidates({"ig": ({"steps": 10}, {})}))
        ['ig(steps=10)', 'ig']
    """
    return {named(name, settings): METHODS.build(name, settings) for name, many in table.items() for settings in many}


def named(name: str, settings: Mapping[str, Any]) -> str:
    """A method with settings, in one word."""
    told = ",".join(f"{key}={value}" for key, value in settings.items())
    return f"{name}({told})" if told else name

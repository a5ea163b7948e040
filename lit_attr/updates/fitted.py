"""A method's update rule as its user chose it, at the method's step length."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from lit_attr._checks import ArgumentError
from lit_attr.updates.region import Norm
from lit_attr.updates.rules import UpdateRule, get_update
from lit_attr.updates.step import Update

__all__ = ["fitted"]


def fitted(
    update: str | Mapping[str, Any] | Update,
    *,
    alpha: float,
    norm: Norm = "linf",
    eps: float | None = None,
    wanted: Mapping[str, Any] | None = None,
) -> Update:
    """The rule that a method walks by: what a name or settings leave open is as in the method.

    So rules are compared at steps of one length. Settings that are given win; a rule that comes as an object or as a
    function stays as it is, and so does the step of a rule in which `alpha` is no length in this norm (see
    `UpdateRule.length`).

    Args:
        update: as for `get_update`.
        alpha: length of the method's steps, in units of the input.
        norm: in which it is measured.
        eps: radius of the method's ball, for rules that look so far; None where it has none.
        wanted: further settings that the method's user asked for, of which the rule must have each.

    Raises:
        ValueError: for an unknown name or setting, or a wanted one that the rule does not have.

    Example:
        >>> fitted("bim", alpha=0.1), fitted({"class": "l2", "alpha": 0.5}, alpha=0.1)
        (BIM(alpha=0.1, momentum=0.0, ...), L2Step(alpha=0.5))
    """
    rule = get_update(update)
    named = isinstance(update, str | Mapping)
    fields = set[str](getattr(rule, "__dataclass_fields__", ()) if named else ())
    free = fields - set(update) if isinstance(update, Mapping) else fields
    for name, value in (wanted or {}).items():
        if name not in fields:
            raise ArgumentError(name, value, f"left out with update={update!r}, which takes none from the method")
    found = _filled(rule, {"norm": norm, "eps": eps, **(wanted or {})}, free)
    if isinstance(found, UpdateRule) and found.length == norm:
        found = _filled(found, {"alpha": alpha}, free)
    return found


def _filled(rule: Update, settings: Mapping[str, Any], free: set[str]) -> Update:
    """The rule with those of the settings that are free."""
    found = {name: value for name, value in settings.items() if name in free and value is not None}
    filled: Any = rule
    return dataclasses.replace(filled, **found) if found else rule

"""A method's update rule as its user chose it, at the method's step length."""

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
    function stays as it is, and so do `alpha` and `eps` of one that does not measure in this norm (see
    `UpdateRule.length`).

    Args:
        update: as for `get_update`.
        alpha: length of the method's steps, in units of the input.
        norm: in which it is measured.
        eps: radius of the method's ball, for rules that have one too; None where it has none.
        wanted: further settings that the method's user asked for, of which the rule must have each.

    Raises:
        ValueError: for an unknown name or setting, or a wanted one that the rule does not have.

    Example:
        >>> fitted("bim", alpha=0.1), fitted({"class": "l2", "alpha": 0.5}, alpha=0.1)
        (BIM(alpha=0.1, momentum=0.0, ...), L2Step(alpha=0.5))
    """
    rule, wanted = get_update(update), wanted or {}
    taken = rule.takes if isinstance(rule, UpdateRule) and isinstance(update, str | Mapping) else frozenset[str]()
    for name in wanted.keys() - taken:
        raise ArgumentError(name, wanted[name], f"left out with update={update!r}, which takes none from the method")
    if not isinstance(rule, UpdateRule):
        return rule
    free = taken - update.keys() if isinstance(update, Mapping) else taken

    def open_ones(settings: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in settings.items() if name in free and value is not None}

    rule = rule.having(open_ones({**wanted, "norm": norm}))
    return rule.having(open_ones({"alpha": alpha, "eps": eps})) if rule.length == norm else rule

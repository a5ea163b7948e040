"""The update rules that need no file."""

from lit_attr.updates import UPDATES

RULES = [name for name in UPDATES.names() if name != "advgan"]


def from_within(update, steps):
    """The backward passes of a sample that begin at a layer, which a `Counter` does not see."""
    return steps if update == "naa" else 0

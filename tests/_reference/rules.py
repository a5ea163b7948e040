"""The update rules that need no file."""

from lit_attr.updates import UPDATES

RULES = [name for name in UPDATES.names() if name != "advgan"]

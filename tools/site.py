"""Hooks of the documentation: formulas as MathML, which browsers show without a script or a network.

On pages they stand between `$$`; in docstrings after `.. math::` and in `:math:`, as torchmetrics writes them.
"""

import re
from textwrap import dedent
from typing import Any

import griffe
from latex2mathml.converter import convert

_PAGE = re.compile(r"^\$\$(.+?)\$\$$", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^( *)\.\. math::(.*(?:\n(?:\1 +.*|(?=\n\1 +)))*)", re.MULTILINE)
_INLINE = re.compile(r":math:`([^`]+)`")
_EXAMPLE = re.compile(r"^Example:$", re.MULTILINE)  # of Google's style; griffe knows the plural alone


def _block(latex: str) -> str:
    return convert(" ".join(dedent(latex).split()), display="block")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """MkDocs' hook: the formulas of a page."""
    return _PAGE.sub(lambda found: _block(found[1]), markdown)


class Docstrings(griffe.Extension):
    """Griffe's hook: what it does not know in a docstring, before that is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of a module, a class or a function."""
        if obj.docstring is not None:
            text = _BLOCK.sub(lambda found: f"{found[1]}{_block(found[2])}\n", obj.docstring.value)
            text = _INLINE.sub(lambda found: convert(found[1]), text)
            obj.docstring.value = _EXAMPLE.sub("Examples:", text)

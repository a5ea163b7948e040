"""lit_attr: train image models with Lightning while their explanations and robustness are measured."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lit_attr.benchmark.selection import select

__version__ = "0.1.0"

__all__ = ["__version__", "select"]


def __getattr__(name: str) -> Any:
    """`select`, on first use: it brings metrics, and so torchmetrics."""
    if name == "select":
        from lit_attr.benchmark.selection import select

        return select
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)

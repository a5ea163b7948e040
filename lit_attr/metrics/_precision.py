"""How wide numbers are summed."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchmetrics import Metric

WITHOUT_FLOAT64 = ("mps",)


def wide(values: Tensor) -> Tensor:
    """The values detached, in float64; in float32 on devices that have no wider type.

    Example:
        >>> wide(torch.ones(2, dtype=torch.float16)).dtype
        torch.float64
    """
    return values.detach().to(torch.float32 if values.device.type in WITHOUT_FLOAT64 else torch.float64)


def narrow_states(metric: Metric, move: Callable[[Tensor], Tensor]) -> None:
    """Make a metric's float64 states float32 before it is moved to a device that has no float64."""
    if move(torch.zeros(1)).device.type in WITHOUT_FLOAT64:
        for name, default in metric._defaults.items():
            if isinstance(default, Tensor) and default.dtype == torch.float64:
                metric._defaults[name] = default.float()
                setattr(metric, name, getattr(metric, name).float())

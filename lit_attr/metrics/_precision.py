"""How wide numbers are summed."""

import torch
from torch import Tensor

WITHOUT_FLOAT64 = ("mps",)


def wide(values: Tensor) -> Tensor:
    """The values detached, in float64; in float32 on devices that have no wider type.

    Example:
        >>> wide(torch.ones(2, dtype=torch.float16)).dtype
        torch.float64
    """
    return values.detach().to(torch.float32 if values.device.type in WITHOUT_FLOAT64 else torch.float64)

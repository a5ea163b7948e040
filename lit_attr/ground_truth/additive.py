"""Ground truth by a closed form: a model that is affine, so that the contribution of every value is known."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lit_attr._checks import ArgumentError, positive_int

__all__ = ["Additive"]


class Additive(nn.Module):
    """A linear convolution and a mean over all places, read as two classes (s, -s).

    With s = sum_i w_i x_i, the contribution of a value is w_i (x_i - b_i): at once the Shapley value, what Integrated
    Gradients finds from b, and the effect of its removal. The order by contribution makes s as large as it can be after
    each insertion, and as small after each deletion, and so the probability of class 0: no attribution has better
    insertion and deletion curves for it.

    Args:
        channels: of the images.
        kernel: size of the convolution, odd.
        seed: of its weights.

    Raises:
        ValueError: for an even kernel, or a number below one.

    Example:
        >>> model = Additive(channels=1, kernel=3)
        >>> images = torch.rand(2, 1, 8, 8, dtype=torch.float64)
        >>> found = model.contributions(images, torch.tensor([0, 1]))
        >>> bool(torch.allclose(found.sum((1, 2, 3)), model(images).diagonal()))  # the baseline, black, has (0, 0)
        True
    """

    weight: Tensor

    def __init__(self, channels: int = 3, kernel: int = 5, seed: int = 0) -> None:
        super().__init__()
        positive_int("channels", channels)
        positive_int("kernel", kernel)
        if kernel % 2 == 0:
            raise ArgumentError("kernel", kernel, "odd")
        generator = torch.Generator().manual_seed(seed)
        weight = torch.randn(1, channels, kernel, kernel, generator=generator, dtype=torch.float64)
        self.register_buffer("weight", weight)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[B, 2]` of images `[B, C, H, W]`."""
        weight = self.weight.to(images)
        # The sum over places grows with the side, not with the area, for random weights: so is it scaled.
        size = (images.shape[-1] * images.shape[-2]) ** 0.5
        score = F.conv2d(images, weight, padding=weight.shape[-1] // 2).sum((1, 2, 3)) / size
        return torch.stack([score, -score], dim=1)

    def contributions(self, images: Tensor, index: Tensor, baseline: float | Tensor = 0.0) -> Tensor:
        """The contribution of every value to the logit of class `index`, `[B, C, H, W]`.

        Args:
            images: `[B, C, H, W]`.
            index: the explained class, 0 or 1, `[B]`.
            baseline: what "absent" means; a number, or a tensor that broadcasts to the images.
        """
        weight = self.weight.to(images)
        height, width = images.shape[-2:]
        ones = images.new_ones(1, 1, height, width) / (height * width) ** 0.5
        slope = F.conv_transpose2d(ones, weight, padding=weight.shape[-1] // 2)
        sign = (1 - 2 * index.to(images.device)).to(images).view(-1, 1, 1, 1)
        return sign * slope * (images - baseline)

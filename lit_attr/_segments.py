"""Parts of images, by scikit-image: superpixels, and the connected parts of a mask."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor


def superpixels(image: Tensor, count: int) -> Tensor:
    """SLIC: connected regions of similar colour, at most `count` of them.

    Paper: Achanta et al., "SLIC Superpixels Compared to State-of-the-art Superpixel Methods", 2012. Where more come
    out than were asked for, fewer are asked for.

    Args:
        image: `[C, H, W]`.
        count: the most regions.

    Returns:
        The number of the region of each pixel, from 0 on without a gap, long `[H, W]`, on the device of the image.

    Example:
        >>> image = torch.zeros(3, 8, 8)
        >>> image[:, :, 3:] = 1
        >>> superpixels(image, 4)[:, 2:4].unique(dim=0)
        tensor([[0, 1],
                [2, 3]])
    """
    from skimage.segmentation import slic

    pixels = image.detach().double().cpu().movedim(0, -1).numpy()
    for asked in range(count, 1, -1):
        parts = slic(pixels, n_segments=asked, start_label=0, channel_axis=-1)
        numbers = np.unique(parts, return_inverse=True)[1].reshape(parts.shape)
        if numbers.max() < count:
            return torch.from_numpy(numbers).to(image.device, torch.long)
    return torch.zeros(image.shape[1:], dtype=torch.long, device=image.device)


def largest_part(mask: Tensor) -> Tensor:
    """The largest connected part of a mask, bool `[H, W]`; neighbours share a side, and of equals the upper one counts.

    Example:
        >>> largest_part(torch.tensor([[True, False, True, True]]))
        tensor([[False, False,  True,  True]])
    """
    from skimage.measure import label

    connected: Callable[..., Any] = label
    parts = connected(mask.cpu().numpy(), connectivity=1)  # numbered from the upper left on
    sizes = np.bincount(parts.flatten())
    sizes[0] = 0
    return mask & torch.from_numpy(parts == sizes.argmax()).to(mask.device)

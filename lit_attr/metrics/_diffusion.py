"""Unknown pixels as weighted means of their neighbours, for many images at once."""

import torch
from torch import Tensor

_EVERY = 8  # steps between two looks at who is finished, each of which waits for the device


def diffuse(images: Tensor, known: Tensor, tolerance: float = 1e-6) -> Tensor:
    r"""Fill unknown pixels so that each is the mean of its neighbours, weighted 1/6 by side and 1/12 by corner.

    The linear system of ROAD's imputation, `sum_j w_ij (v_i - v_j) = 0` over the up to eight neighbours of each unknown
    pixel, those outside the image left out. Solved by conjugate gradients with Jacobi's preconditioner for all images
    and channels together; each stops by its own residual, so that it does not depend on its company.

    Args:
        images: `[N, C, H, W]`, float32 or float64.
        known: bool `[N, 1, H, W]`, with a known pixel in each image.
        tolerance: of the residual's norm, relative to that of the right side.

    Returns:
        The images with unknown pixels replaced, `[N, C, H, W]`.

    Example:
        >>> known = torch.tensor([[True, False, True]]).view(1, 1, 1, 3)
        >>> diffuse(torch.tensor([[0.0, 9.0, 1.0]]).view(1, 1, 1, 3), known).flatten()
        tensor([0.0000, 0.5000, 1.0000])
    """
    given, found = known.to(images), images.clone()
    mean = (images * given).sum((2, 3), keepdim=True) / given.sum((2, 3), keepdim=True)
    degree = _neighbours(torch.ones_like(images[:1, :1]))
    unknown = 1 - given
    right = unknown * _neighbours(images * given)
    limit = tolerance**2 * _dot(right, right / degree)
    value = torch.where(known, images, mean)
    residual = unknown * (_neighbours(value) - degree * value)
    way = residual / degree
    left = _dot(residual, way)
    alive = torch.arange(len(images), device=images.device)
    for step in range(10 * sum(images.shape[2:])):
        if step % _EVERY == 0:
            going = (left > limit).flatten(1).any(1)
            if not bool(going.any()):
                break
            if 2 * int(going.sum()) < len(alive):  # the finished are put away
                found[alive] = value
                parts = (alive, value, residual, way, left, limit, unknown)
                alive, value, residual, way, left, limit, unknown = (part[going] for part in parts)
        change = unknown * (degree * way - _neighbours(way))
        going = left > limit
        length = torch.where(going, left / _dot(way, change), 0)
        value = torch.addcmul(value, length, way)
        residual = torch.addcmul(residual, length, change, value=-1)
        scaled = residual / degree
        before, left = left, _dot(residual, scaled)
        way = torch.addcmul(scaled, torch.where(going, left / before, 0), way)
    found[alive] = value
    return found


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """For each image and channel, `[N, C, 1, 1]`."""
    return (a * b).sum((2, 3), keepdim=True)


def _neighbours(values: Tensor) -> Tensor:
    """The weighted sum of the neighbours inside the image.

    Weights 1 2 1, 2 0 2, 1 2 1 over 12, which are those of two passes of 1 2 1 without the middle: a few additions,
    of which a convolution on CPUs takes five times as long.
    """
    across = 2 * values
    across[..., 1:] += values[..., :-1]
    across[..., :-1] += values[..., 1:]
    total = 2 * across
    total[..., 1:, :] += across[..., :-1, :]
    total[..., :-1, :] += across[..., 1:, :]
    return total.sub_(values, alpha=4).div_(12)

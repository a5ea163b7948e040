"""From an attribution to an order of the positions of an input."""

from collections.abc import Callable

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError
from lit_attr.metrics._precision import wide

__all__ = [
    "RANKS",
    "average_ranks",
    "channel_axis",
    "channel_map",
    "position_map",
    "rank_map",
    "ranks_by",
    "reduced",
    "top_count",
]


def channel_axis(inputs: Tensor) -> int | None:
    """Axis 1, except for features `[B, D]`, which have none, and token embeddings `[B, L, E]`, where it is the last."""
    return {2: None, 3: 2}.get(inputs.dim(), 1)


def channel_map(attribution: Tensor, inputs: Tensor) -> Tensor:
    """The attribution with a channel axis, which may be of length one, float32 or wider, on the device of the inputs.

    Args:
        attribution: `[B, C, H, W]`, `[B, 1, H, W]` or `[B, H, W]` for images `[B, C, H, W]`; likewise with or without
            the channel axis for other inputs; `[B, D]` for features.
        inputs: the samples; channels are axis 1, in `[B, L, E]` the last axis, in `[B, D]` there are none.

    Raises:
        ArgumentError: where the sizes do not fit.
    """
    axis, shape = channel_axis(inputs), tuple(inputs.shape)
    found = attribution.detach().to(inputs.device)
    if axis is not None and found.shape == (*shape[:axis], *shape[axis + 1 :]):
        found = found.unsqueeze(axis)
    single = shape if axis is None else (*shape[:axis], 1, *shape[axis + 1 :])
    if found.shape not in (shape, single):
        got = f"{tuple(attribution.shape)} for inputs {shape}"
        raise ArgumentError("attribution", got, "of the size of the inputs, with or without channels")
    return found if found.dtype == torch.float64 else found.float()


def position_map(attribution: Tensor, inputs: Tensor) -> Tensor:
    """One number per position: the attribution summed over channels, sign kept.

    A position is what changes as one: a pixel with all its channels, a token with its embedding, a feature.

    Args:
        attribution: as in `channel_map`.
        inputs: likewise.

    Returns:
        The map, float32 or wider, with a channel axis of length one, so that it broadcasts to `inputs`.

    Raises:
        ArgumentError: where the sizes do not fit.

    Example:
        >>> position_map(torch.ones(1, 3, 2, 2), torch.rand(1, 3, 2, 2)).shape
        torch.Size([1, 1, 2, 2])
    """
    return reduced("sum", attribution, inputs)


_MAPS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "sum": lambda found, axis: found.sum(axis, keepdim=True),
    "abs_sum": lambda found, axis: found.abs().sum(axis, keepdim=True),
    "abs_of_sum": lambda found, axis: found.sum(axis, keepdim=True).abs(),
    "max": lambda found, axis: found.amax(axis, keepdim=True),
}
RANKS = [*_MAPS, "union", "element"]


def reduced(how: str, attribution: Tensor, inputs: Tensor) -> Tensor:
    """One number per position: the "sum", "abs_sum", "abs_of_sum" or "max" over channels; see `position_map`."""
    axis, found = channel_axis(inputs), channel_map(attribution, inputs)
    if axis is None:  # each feature is its own channel
        return found.abs() if how.startswith("abs") else found
    return _MAPS[how](found, axis)


def ranks_by(rank: str, attribution: Tensor, inputs: Tensor) -> Tensor:
    """The rank of what changes as one, 0 for the most important.

    Args:
        rank: "sum", "abs_sum", "abs_of_sum" or "max" of the channels ranks positions; with "union" each channel is
            ranked alone and a position has the best of its ranks, so that of k nominal positions up to C k are ranked
            below k; with "element" all numbers of all channels are ranked together.
        attribution: as in `channel_map`.
        inputs: likewise.

    Returns:
        Ranks, int32, broadcastable to the inputs; of the shape of the inputs for "element".

    Example:
        >>> scores = torch.tensor([[[[3.0, 2.0, 1.0]], [[0.0, 5.0, 4.0]]]])  # two channels
        >>> for rank in ("sum", "union", "element"):
        ...     print(ranks_by(rank, scores, scores).flatten(1).tolist())
        [[2, 0, 1]]
        [[0, 0, 1]]
        [[2, 3, 4, 5, 0, 1]]
    """
    axis = channel_axis(inputs)
    if rank == "element":
        return rank_map(channel_map(attribution, inputs).expand_as(inputs))
    if rank == "union" and axis is not None:
        apart = channel_map(attribution, inputs).movedim(axis, 1)
        alone = rank_map(apart.flatten(0, 1)).view(apart.shape)
        return alone.amin(1, keepdim=True).movedim(1, axis)
    return rank_map(reduced(rank, attribution, inputs))


def rank_map(positions: Tensor) -> Tensor:
    """The rank of each position, 0 for the largest value; of equal values the lower flat index comes first.

    Args:
        positions: a map `[B, ...]`.

    Returns:
        Ranks 0..N-1 of each sample, int32, in the shape of `positions`.

    Example:
        >>> rank_map(torch.tensor([[0.5, 2.0, 0.5]]))
        tensor([[1, 0, 2]], dtype=torch.int32)
    """
    order = positions.flatten(1).argsort(dim=1, descending=True, stable=True)
    ranks = torch.arange(order.shape[1], dtype=torch.int32, device=order.device).expand_as(order)
    return torch.empty_like(order, dtype=torch.int32).scatter_(1, order, ranks).view_as(positions)


def average_ranks(maps: Tensor) -> Tensor:
    """The rank of each value among those of its sample, 1 for the smallest; equal values share the mean of theirs.

    Args:
        maps: `[B, ...]`, finite.

    Returns:
        `[B, N]`, float64.

    Example:
        >>> average_ranks(torch.tensor([[0.5, 2.0, 0.5]])).tolist()
        [[1.5, 3.0, 1.5]]
    """
    values = maps.detach().flatten(1).contiguous()
    ordered = values.sort(dim=1).values
    below, up_to = (torch.searchsorted(ordered, values, right=right) for right in (False, True))
    return (wide(below) + wide(up_to) + 1) / 2


def top_count(k: float, positions: int) -> int:
    """How many positions "the top k" are: a number of them, or below one a share, at least one and at most all.

    Example:
        >>> top_count(0.02, 224 * 224), top_count(1000, 224 * 224), top_count(1000, 36)
        (1004, 1000, 36)
    """
    return min(positions, max(1, round(k * positions) if k < 1 else int(k)))

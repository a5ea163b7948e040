"""What foreign attacks are handed in place of a model: the open view, as a module that takes images in [0, 1]."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lit_attr._checks import classes_below
from lit_attr._guard import as_written
from lit_attr._view import View
from lit_attr.updates.walks import Walks

__all__ = ["Scale", "Victim", "autocast_type"]


class Scale(NamedTuple):
    """Between samples in [low, high] and images `[N, C, H, W]` in [0, 1], float32.

    What is no image becomes one with a single channel: `[N, D]` is `[N, 1, 1, D]`, `[N, L, D]` is `[N, 1, L, D]`.

    Attributes:
        low: of the range of the samples.
        high: of the range of the samples.
        shape: of a sample.
    """

    low: float
    high: float
    shape: torch.Size

    @property
    def length(self) -> float:
        """Of the range."""
        return self.high - self.low

    @property
    def image(self) -> tuple[int, ...]:
        """The shape of a sample as an image."""
        if len(self.shape) == 3:
            return tuple(self.shape)
        return (1, 1, *self.shape) if len(self.shape) == 1 else (1, self.shape[0], self.shape[1:].numel())

    def images(self, points: Tensor) -> Tensor:
        """Samples `[N, ...]` as images.

        Example:
            >>> Scale(-1.0, 3.0, torch.Size([2])).images(torch.tensor([[1.0, 3.0]]))
            tensor([[[[0.5000, 1.0000]]]])
        """
        return ((points - self.low) / self.length).float().clamp(0, 1).reshape(-1, *self.image).contiguous()

    def points(self, images: Tensor) -> Tensor:
        """Images as samples `[N, ...]`."""
        return self.low + images.reshape(-1, *self.shape) * self.length


class Victim(nn.Module):
    """The model of an open view, as torchattacks wants models: logits `[n, K]` of images `[n, C, H, W]` in [0, 1].

    All queries go through the view: logits are the target's evidence, in float32 as are images, and forward passes are
    counted there, as are backward passes out of the logits. There are no parameters, and there is nothing to switch:
    `train()` and `eval()` do nothing, as the view has seen to the model. `parameters()` yields the samples, so that the
    device of an attack is theirs at the time of the call. The autocast under which it was made is entered for the model
    alone, so that an attack itself computes in float32.

    Args:
        view: the open view.
        walks: the N walks whose points are attacked: of which samples they are, and their labels.
        scale: between the samples and images.
        stride: every how many points that are differentiated for one is kept in `seen`; 0 keeps none.
        again: attacks go backward several times through one pass, which compiled models do not allow.
    """

    def __init__(self, view: View, walks: Walks, scale: Scale, stride: int = 0, *, again: bool = False) -> None:
        super().__init__()
        self.training = False
        self.view, self.walks, self.scale, self.stride, self.again = view, walks, scale, stride, again
        self.seen: list[Tensor] = []
        self._last: Tensor | None = None
        self._distinct = 0
        self._autocast = autocast_type(view.inputs.device.type)

    def train(self, mode: bool = True) -> "Victim":  # noqa: ARG002 - as in torch
        """Nothing."""
        return self

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:  # noqa: ARG002 - as in torch
        """The samples, which have the device."""
        yield nn.Parameter(self.view.inputs, requires_grad=False)

    def forward(self, images: Tensor) -> Tensor:
        """The logits, `[n, K]`; n may differ from N (the rows are then those of class targets, which need none)."""
        if self.stride:
            self._note(images)
        if images.requires_grad:  # attacks `view` their gradients, whatever the strides of the model's tensors
            images = images.view_as(images)
            images.register_hook(Tensor.contiguous)  # type: ignore[no-untyped-call]  # of torch's own
        inputs, rows = self.view.inputs, self.walks.rows
        points = self.scale.points(images).to(inputs.dtype)
        rows = rows if len(points) == len(rows) else rows.new_zeros(len(points))
        with ExitStack() as around:
            if self._autocast is not None:
                around.enter_context(torch.autocast(inputs.device.type, dtype=self._autocast))
            if self.again:
                around.enter_context(as_written())
            logits = self.view.evidence(points, rows)
        logits = logits.float()  # as are the images: some attacks mix the two
        classes_below("goal", self.walks.goal, logits.shape[1])
        if logits.requires_grad:
            logits.register_hook(self._count)  # type: ignore[no-untyped-call]  # of torch's own
        return logits

    def _count(self, gradient: Tensor) -> None:
        self.view.backwards += len(gradient)

    def _note(self, images: Tensor) -> None:
        """Keep the point for whose gradient the model is asked, where it is not the one of the query before."""
        leaf = _leaf(images)
        if leaf is None or leaf is self._last or leaf.shape != (len(self.walks.rows), *self.scale.image):
            return
        if self._distinct % self.stride == 0:
            self.seen.append(leaf.detach())
        self._last = leaf
        self._distinct += 1


def autocast_type(device: str) -> torch.dtype | None:
    """Of the autocast that is in force on a kind of device; None where there is none."""
    enabled = torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if enabled else None


def _leaf(images: Tensor) -> Tensor | None:
    """The tensor that images were computed from, where one is to be differentiated for; maybe they themselves."""
    if images.grad_fn is None:
        return images if images.requires_grad else None
    todo = [images.grad_fn]
    while todo:
        node = todo.pop()
        found: Tensor | None = getattr(node, "variable", None)
        if found is not None:
            return found
        todo.extend(following for following, _ in node.next_functions if following is not None)
    return None

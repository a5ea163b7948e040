"""Where a network has places: its outputs that lie on a grid over the image, and the one among them to explain.

Three forms are read: `[B, C, h, w]`, `[B, h, w, C]` (Swin), and tokens `[B, p + h*w, C]` with p tokens in front that
stand for no place (a class token, registers). What decides between them is the image's proportions.

The rule of choice: the last output on a grid of more than one place that the evidence depends on. Three kinds of
output do not count:

- A grid larger than the one before it, if all that is in it came through a smaller one: the 7x7 copy of one value
  behind VGG's adaptive pooling, or a table of attention. A decoder with shortcuts adds to what it enlarges.
- A view of the output before it, such as a permutation.
- Tokens whose places the evidence does not depend on: behind the last attention only the class token is read. Of
  tokens those that a LayerNorm gave are taken, if there are any, so in a vision transformer the input of the last
  attention.
- Where the target reads an output with places of its own (`Target.dense`), an output with fewer channels than one
  before it: the last outputs are the scores of each place and what leads to them, and there a place rests on itself.
  With the most channels an encoder ends.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import takewhile
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from lit_attr._checks import ArgumentError
from lit_attr._guard import as_written
from lit_attr._view import View
from lit_attr.registry import did_you_mean

_TOLERANCE = 0.25  # of the proportions: unpadded convolutions are a little off
_AT_ONCE = 8  # layers whose gradients are asked for together: those of some blocks, not a backward pass to the first
_IN_FRONT = 8  # the most tokens that stand for no place: class, distillation, registers

Score: TypeAlias = Callable[[Tensor], Tensor]


class Grid(NamedTuple):
    """How an output lies over the image: rows, columns, the axis of channels, and of tokens how many are in front."""

    height: int
    width: int
    channels: int = 1
    in_front: int | None = None

    @property
    def area(self) -> int:
        """The number of places."""
        return self.height * self.width

    def places(self, output: Tensor) -> Tensor:
        """The output, or its gradient, as `[B, C, h, w]`."""
        if self.in_front is not None:
            output = output[:, self.in_front :].reshape(len(output), self.height, self.width, -1)
        return output.movedim(self.channels, 1)

    def distortion(self, height: int, width: int) -> float:
        """0 in the proportions of an image, up to 1."""
        sides = self.height * width, self.width * height
        return abs(sides[0] - sides[1]) / max(*sides, 1)

    def measures(self, height: int, width: int) -> bool:
        """Whether a larger grid may be a spread copy of it: these are places of an image, or a single one.

        Windows by channels, say, as a transformer lays them out, are not.
        """
        return self.area == 1 or self.distortion(height, width) <= _TOLERANCE

    def covers(self, height: int, width: int) -> bool:
        """Whether these are places of an image of this size, and more than one."""
        inside = self.height <= height and self.width <= width
        return inside and self.area > 1 and self.distortion(height, width) <= _TOLERANCE


def grid_of(output: Any, inputs: torch.Size) -> Grid | None:
    """The grid of an output for inputs `[B, C, H, W]`; None if it can have none.

    An output with four axes has one in any case: `[B, C, h, w]` if neither form has the proportions of the image.
    """
    batch, _, *size = inputs
    if not isinstance(output, Tensor) or output.dim() not in {3, 4} or len(output) != batch:
        return None
    if output.dim() == 3:
        return _of_tokens(output.shape[1], *size)
    _, a, b, c = output.shape
    first, last = Grid(b, c), Grid(a, b, channels=3)
    return last if last.distortion(*size) < min(first.distortion(*size), _TOLERANCE) else first


@lru_cache
def _of_tokens(count: int, height: int, width: int) -> Grid | None:
    """Patches are square, so the exact proportions come first; those of a padded image are a little off."""
    options = []
    for in_front in range(min(_IN_FRONT + 1, count)):
        places = count - in_front
        grids = (Grid(rows, places // rows, 3, in_front) for rows in range(1, places + 1) if places % rows == 0)
        off, grid = min((grid.distortion(height, width), grid) for grid in grids)
        if off == 0 or (in_front < 2 and off <= _TOLERANCE):
            options.append((off, in_front, grid))
    return min(options)[2] if options else None


@dataclass
class Layer:
    """An output on a grid, of which submodule; with the version of its data, which may be written over later."""

    name: str
    grid: Grid
    output: Tensor | None
    version: int
    node: Node | None
    normalised: bool
    counts: bool = False

    @property
    def tokens(self) -> bool:
        """Whether the grid is a sequence of tokens."""
        return self.grid.in_front is not None

    def replaces(self, before: "Layer") -> bool:
        """Whether it is taken rather than one before it, whatever the gradients are."""
        return not self.tokens or (self.normalised and before.tokens and not before.normalised)

    @property
    def lost(self) -> bool:
        """Whether the output is no longer what the submodule gave."""
        return self.output is None or self.output._version != self.version


@dataclass
class Search:
    """All grids of one forward pass in their order; outputs are held only as long as they may be chosen."""

    inputs: torch.Size
    dense: bool = False
    layers: list[Layer] = field(default_factory=list)
    area: int = sys.maxsize
    """Of the last grid that was not found to be spread."""
    channels: int = 0
    """The most of a layer that counts."""

    def see(self, name: str, module: nn.Module, output: Any) -> None:
        """Take notice of a submodule's output."""
        grid = grid_of(output, self.inputs)
        if grid is None or output.grad_fn is None or self._repeats(output):
            return
        new = Layer(name, grid, output, output._version, output.grad_fn, isinstance(module, nn.LayerNorm))
        spread = self._is_spread(new)
        self.area = grid.area if grid.measures(*self.inputs[2:]) and not spread else self.area
        new.counts = not spread and grid.covers(*self.inputs[2:]) and self._is_fit(new, module)
        channels = output.shape[1] if grid.channels == 1 else output.shape[-1]
        new.counts = new.counts and not (self.dense and channels < self.channels)
        if not new.counts:
            new.output = None
        else:
            self.channels = max(self.channels, channels)
        for layer in self.layers:
            if new.counts and new.replaces(layer):
                layer.output = None
        self.layers.append(new)

    def _repeats(self, output: Tensor) -> bool:
        """Whether it is a view of the grid that would be chosen now. The same tensor, from a container, is not."""
        held = next((layer.output for layer in reversed(self.layers) if layer.output is not None), None)
        if held is None or output is held:
            return False
        return output.untyped_storage().data_ptr() == held.untyped_storage().data_ptr()

    def _is_fit(self, new: Layer, module: nn.Module) -> bool:
        """Tokens are not taken from matrix products (queries, hidden units), nor beside those of a LayerNorm."""
        if not new.tokens or new.normalised:
            return True
        projects = any(parameter.dim() > 1 for parameter in module.parameters(recurse=False))
        return not projects and not any(layer.counts and layer.tokens and layer.normalised for layer in self.layers)

    def _is_spread(self, new: Layer) -> bool:
        """Whether the grid grew and holds no more than smaller ones before it."""
        if new.grid.area <= self.area:
            return False
        grids = [layer for layer in self.layers if layer.grid.measures(*self.inputs[2:])]
        smaller = {layer.node for layer in grids if layer.grid.area < new.grid.area}
        return all(node.next_functions for node in _ancestors(new.node, smaller))  # none is the input

    def options(self, evidence: Tensor) -> list[Layer]:
        """The layers among which the gradient decides, the last one first; a single one if it need not."""
        used = set(_ancestors(evidence.grad_fn))
        layers = [layer for layer in reversed(self.layers) if layer.counts]
        layers = [layer for layer in layers if layer.node in used] or layers
        if any(layer.tokens and layer.normalised for layer in layers):
            layers = [layer for layer in layers if layer.normalised or not layer.tokens]
        tokens = list(takewhile(lambda layer: layer.tokens, layers)) or layers[:1]
        return [layer for layer in tokens if layer.output is not None] or tokens[:1]


def _ancestors(node: Node | None, barred: set[Node | None] | None = None) -> Iterator[Node]:
    """What a result was computed from, itself included, without going through `barred`."""
    seen, waiting = set(barred or ()), [node]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            waiting += [before for before, _ in node.next_functions]


@contextmanager
def searching(model: nn.Module, inputs: torch.Size, *, dense: bool = False) -> Iterator[Search]:
    """Watch all submodules during the forward pass inside."""
    search = Search(inputs, dense)
    inner = uncompiled(model)

    def see(module: nn.Module, _: Any, output: Any, *, name: str) -> None:
        search.see(name, module, output)

    with _hooked({module: partial(see, name=name) for name, module in inner.named_modules() if name}):
        yield search


@dataclass
class Named:
    """The output of a submodule that was asked for: of several uses the last one with places."""

    output: Any = None
    grid: Grid | None = None
    rank: int = -1


@contextmanager
def watching(model: nn.Module, inputs: torch.Size, name: str) -> Iterator[Named]:
    """Keep the output of the submodule `name` during the forward pass inside."""
    named = Named()

    def keep(_: nn.Module, __: Any, output: Any) -> Tensor | None:
        grid = grid_of(output, inputs)
        rank = 0 if grid is None else 1 + grid.covers(*inputs[2:])
        if rank < named.rank:
            return None
        named.output, named.grid, named.rank = output, grid, rank
        return output.clone() if grid else None  # what follows may write into the output, so it goes on with a copy

    with _hooked({_submodule(uncompiled(model), name): keep}):
        yield named


def uncompiled(model: nn.Module) -> nn.Module:
    """What torch.compile wrapped."""
    inner: nn.Module = getattr(model, "_orig_mod", model)
    return inner


@contextmanager
def _hooked(hooks: dict[nn.Module, Any]) -> Iterator[None]:
    """Add forward hooks."""
    handles = [module.register_forward_hook(hook) for module, hook in hooks.items()]
    try:
        with as_written():
            yield
    finally:
        for handle in handles:
            handle.remove()


def _submodule(model: nn.Module, name: str) -> nn.Module:
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if name not in modules or not name:
        msg = f"`layer` is '{name}', no submodule of {type(model).__name__}; {did_you_mean(name, list(modules)[1:])}"
        raise ValueError(msg)
    return modules[name]


@lru_cache
def announce(method: str, model: str, layer: str, height: int, width: int) -> None:
    """Tell once which layer was chosen: as Lightning does where it runs, else in the log "lit_attr"."""
    msg = f"{method} explains {model} by the layer '{layer}' ({height}x{width} places); `layer` names another."
    if "lightning.pytorch" in sys.modules:
        from lightning.pytorch.utilities import rank_zero_info

        rank_zero_info(msg)
    else:
        logging.getLogger("lit_attr").info(msg)


class Found(NamedTuple):
    """A layer, its output at some points and the gradient with respect to it."""

    name: str
    grid: Grid
    output: Tensor
    gradient: Tensor


def at_layer(view: View, points: Tensor, rows: Tensor, score: Score, layer: str | None, method: str) -> Found:
    """The output of a layer with places and the gradient of a score with respect to it: one forward, one backward.

    Args:
        view: the model.
        points: variants of images, `[N, C, H, W]`.
        rows: of which samples, `[N]`.
        score: from evidence `[N, K]` to values `[N]`.
        layer: its dotted name; None takes the last one that the evidence depends on.
        method: who asks, for messages.

    Raises:
        ValueError: if the layer does not exist or is not spatial, or none is.
    """
    points = points.detach().requires_grad_()
    return (
        _search(view, points, rows, score, method)
        if layer is None
        else _named(view, points, rows, score, layer, method)
    )


def _named(view: View, points: Tensor, rows: Tensor, score: Score, layer: str, method: str) -> Found:
    """The layer by this name, refused with a reason where it has no places."""
    with watching(view.model, points.shape, layer) as named:
        evidence = view.evidence(points, rows)
    if named.rank < 0:
        msg = f"{method}: layer {layer} was not called in {_type(view.model)}; name another `layer`"
        raise ValueError(msg)
    if named.grid is None:
        got = tuple(named.output.shape) if isinstance(named.output, Tensor) else type(named.output).__name__
        accepted = "a layer with output [B, C, h, w], [B, h, w, C] or tokens [B, h*w, C] of the image"
        raise ArgumentError("layer", f"'{layer}', whose output is {got}", accepted)
    (gradient,) = view.derive(score(evidence), named.output)
    if named.grid.in_front and gradient.any() and not named.grid.places(gradient).any():
        reads = f"of which {_type(view.model)} reads the class token alone"
        msg = f"`layer` is '{layer}', {reads}; name one before the last attention"
        raise ValueError(msg)
    return Found(layer, named.grid, named.output.detach(), gradient)


def _search(view: View, points: Tensor, rows: Tensor, score: Score, method: str) -> Found:
    """The last layer with places that the evidence depends on."""
    with searching(view.model, points.shape, dense=view.target.dense) as search:
        evidence = view.evidence(points, rows)
    options = search.options(evidence)
    if not options:
        msg = f"{method} found no submodule with a spatial output in {_type(view.model)}; name a `layer`"
        raise ValueError(msg)
    best, gradient = options[0], None
    values = score(evidence)
    if len(options) > 1:
        best, gradient = _decide(view, evidence, values, options)
    elif best.output is not None and not best.lost:
        (gradient,) = view.derive(values, best.output)
    announce(method, _type(view.model), best.name, best.grid.height, best.grid.width)
    if best.output is None or best.lost or gradient is None:
        return _named(view, points, rows, score, best.name, method)
    return Found(best.name, best.grid, best.output.detach(), gradient)


def _decide(view: View, evidence: Tensor, values: Tensor, options: list[Layer]) -> tuple[Layer, Tensor | None]:
    """The first of the layers whose places have a gradient, and its gradient.

    Where the gradient is zero altogether, as behind a head that starts from zeros, NaN is sent backward: it marks what
    the evidence is computed from, whatever the weights are.
    """
    for start in range(0, len(options), _AT_ONCE):
        some = options[start : start + _AT_ONCE]
        outputs = [option.output for option in some if option.output is not None]
        gradients = marks = view.derive(values, *outputs, again=True)
        if not any(gradient.any() for gradient in gradients):
            with torch.autograd.set_detect_anomaly(False):
                marks = view.derive(evidence.sum(1) * torch.nan, *outputs, again=True)
        for option, gradient, mark in zip(some, gradients, marks, strict=True):
            if option.grid.places(mark).any():
                return option, gradient
    return options[0], None


def _type(model: nn.Module) -> str:
    return type(uncompiled(model)).__name__

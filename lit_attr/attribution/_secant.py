"""Secants in the place of derivatives: the rescale rule of DeepLIFT for any network, as it is.

A network is run twice, under `recording` at the baseline x' and under `rescaling` at the input x. Both watch the
operations below autograd, so it makes no difference how they are called: modules that are used several times,
functions, in place, inside of `torch.nn.MultiheadAttention`. What is compared is the n-th step of the one run with the
n-th of the other. No module is wrapped or hooked.

Each step has a node in autograd's graph. There its multiplier is hung up as a hook of the backward pass; a and a' are
what goes in, h(a) and h(a') what comes out:

- element by element (whatever PyTorch tags as such): (h(a) - h(a')) / (a - a'), and h'(a) where a and a' are so close
  that rounding would decide. The paper's code and Captum draw that line at 1e-10, here it depends on a and its dtype;
- max pooling, and the largest along axes: the change of a window goes to the place of its larger end (Captum's cross
  maximum). Of a place that won several windows the changes are summed; Captum keeps one, and what it gives does not
  add up where windows overlap;
- softmax and log-softmax: logits count by their distance from their mean, as the paper advises on the choice of the
  target layer. So the rule is applied to those distances, and multipliers have a mean of zero. Captum centres the
  multipliers only, which adds up where the change of the logits has a mean of zero already;
- all else: the derivative. That is exact where a step is linear in what depends on x: convolution, batch norm in eval
  mode, mean, permutation. It is not for products of two such factors (gates, attention), norms whose statistics are
  the sample's own (LayerNorm), and what a model does out of autograd's sight.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch._C._autograd import _get_sequence_nr
from torch._ops import OpOverload
from torch.autograd.graph import Node
from torch.utils._python_dispatch import TorchDispatchMode

from lit_attr._guard import as_written

Gradients: TypeAlias = tuple[Tensor | None, ...]
Multiplier: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # of the gradient behind a step, and the usual one before
Rule: TypeAlias = Callable[["Step", "Step"], Multiplier]


class Step(NamedTuple):
    """An operation with a multiplier of its own: what goes in and comes out, all arguments, the number of its node."""

    operation: OpOverload
    before: Tensor
    after: tuple[Tensor, ...]
    arguments: tuple[Any, ...]
    node: int

    @property
    def in_place(self) -> bool:
        """Whether it overwrites what went in."""
        return bool(self.operation._schema.is_mutable)

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.operation} of {list(self.before.shape)}"


class _Watch(TorchDispatchMode):
    """Shows `see` each step of a forward pass, just after it is done."""

    def __init__(self) -> None:
        TorchDispatchMode.__init__(self)
        self.last = -1  # number of autograd's newest node

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        earlier, self.last = self.last, _get_sequence_nr() - 1
        place = _place(func, args)
        if place is None:
            return func(*args, **(kwargs or {}))
        before = args[place].clone() if func._schema.is_mutable else args[place]
        found = func(*args, **(kwargs or {}))
        step = Step(func, before, found if isinstance(found, tuple) else (found,), args, self.last)
        if step.in_place and self.last == earlier:  # autograd has made itself a copy first, with the newest node
            step = step._replace(node=self.last - 1)
        if step.after[0].is_floating_point():  # a comparison has no node
            self.see(step)
        return found

    def see(self, step: Step) -> None:
        raise NotImplementedError


class Recording(_Watch):
    """Keeps the steps of a forward pass, safe from what is written in place later."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.eps = 0.0  # of the coarsest numbers on the way

    def see(self, step: Step) -> None:
        """Copy both ends."""
        self.eps = max(self.eps, torch.finfo(step.before.dtype).eps)
        before = step.before if step.in_place else step.before.detach().clone()
        after = tuple(out.detach().clone() for out in step.after)
        self.steps.append(step._replace(before=before, after=after, arguments=()))


class Rescaling(_Watch):
    """Compares the steps of a forward pass with recorded ones, which it uses up."""

    def __init__(self, recorded: Recording) -> None:
        super().__init__()
        self.steps = recorded.steps[::-1]
        recorded.steps.clear()
        self.multipliers: dict[int, Multiplier] = {}

    def see(self, step: Step) -> None:
        """Make the step's multiplier, for its node."""
        other = self.steps.pop() if self.steps else None
        if other is None or (other.operation, other.before.shape) != (step.operation, step.before.shape):
            raise _parted(step.name, other.name if other else "nothing")
        rule = _rule(step)
        if rule is None:
            return
        node, multiplier = step.node, rule(step, other)
        whole = step.arguments[0]._base if step.in_place else None
        if whole is not None:  # a view was written into: autograd puts a node for all it is a part of in front
            node, multiplier = self.last + 1, _in_part(multiplier, step.arguments[0], whole)
        self.multipliers[node] = multiplier

    def attach(self, values: Tensor) -> None:
        """From here on the gradient of `values` is the multiplier.

        Raises:
            ValueError: if the recorded pass had steps that this one had not.
        """
        if self.steps:
            raise _parted("nothing", self.steps[-1].name)
        seen, waiting = set[Node](), [values.grad_fn]
        while waiting:
            node = waiting.pop()
            if node is not None and node not in seen:
                seen.add(node)
                waiting += [earlier for earlier, _ in node.next_functions]
                multiplier = self.multipliers.get(node._sequence_nr())
                if multiplier is not None:
                    node.register_hook(_hook(multiplier))


def _hook(multiplier: Multiplier) -> Callable[[Gradients, tuple[Tensor, ...]], Gradients]:
    def hook(before: Gradients, after: tuple[Tensor, ...]) -> Gradients:
        return tuple(None if ordinary is None else multiplier(after[0], ordinary) for ordinary in before)

    return hook


def _parted(here: str, there: str) -> ValueError:
    return ValueError(
        "DeepLIFT compares each step at the input with the same step at the baseline, but this model chooses its "
        f"steps by what it is given: {here} at the input, {there} at the baseline"
    )


@contextmanager
def recording() -> Iterator[Recording]:
    """Record the forward pass inside. Its input has to require gradients: without, models take other ways."""
    with as_written(), Recording() as seen:
        yield seen


@contextmanager
def rescaling(recorded: Recording) -> Iterator[Rescaling]:
    """Compare the forward pass inside with the recorded one; `attach` then makes its gradient the multiplier."""
    with as_written(), Rescaling(recorded) as seen:
        yield seen


def _place(func: OpOverload, args: tuple[Any, ...]) -> int | None:
    """Where among its arguments the one stands that depends on the explained input; None for what is no step."""
    packet = func.overloadpacket
    known = packet in _RULES or func in _RULES or (torch.Tag.pointwise in func.tags and packet not in _LINEAR)
    if not known or not torch.is_grad_enabled():
        return None
    places = [i for i, arg in enumerate(args) if isinstance(arg, Tensor) and arg.requires_grad]
    if len(places) != 1 or (places[0] == 0 and packet in _DIVISION) or (places[0] > 0 and func._schema.is_mutable):
        return None
    return places[0]


def _rule(step: Step) -> Rule | None:
    rule = _RULES.get(step.operation) or _RULES.get(step.operation.overloadpacket) or _elementwise
    return None if rule is _elementwise and step.before.shape != step.after[0].shape else rule


def _elementwise(step: Step, other: Step) -> Multiplier:
    slope = _secant(_change(step.after[0], other.after[0]), _change(step.before, other.before), step.before)
    return lambda gradient, ordinary: _or_ordinary(gradient * slope, ordinary)


def _softmax(step: Step, other: Step) -> Multiplier:
    axis = step.arguments[1]
    span = _change(step.before, other.before)
    span -= span.mean(axis, keepdim=True)
    slope = _secant(_change(step.after[0], other.after[0]), span, step.before)

    def multiplier(gradient: Tensor, ordinary: Tensor) -> Tensor:
        found = _or_ordinary(gradient * slope, ordinary)
        return found - found.mean(axis, keepdim=True)

    return multiplier


def _pooling(axes: int) -> Rule:
    """Windows over the last `axes` axes; the second output has the places in them, counted through."""

    def rule(step: Step, other: Step) -> Multiplier:
        change = _change(step.after[0], other.after[0])
        winner = torch.where(change >= 0, step.after[1], other.after[1]).flatten(-axes)
        inverse = _inverse(step, other)

        def multiplier(gradient: Tensor, ordinary: Tensor) -> Tensor:
            moved = (gradient * change).flatten(-axes)
            placed = torch.zeros_like(inverse).flatten(-axes).scatter_add_(-1, winner, moved)
            return _or_ordinary(placed.view_as(inverse) * inverse, ordinary)

        return multiplier

    return rule


def _largest(step: Step, other: Step) -> Multiplier:
    """One window over the named axes. Equals share, as in the derivative."""
    here, there = step.before.detach(), other.before
    axes = step.arguments[1] if len(step.arguments) > 1 and step.arguments[1] != [] else tuple(range(here.dim()))
    top, other_top = here.amax(axes, keepdim=True), there.amax(axes, keepdim=True)
    change, inverse = _change(top, other_top), _inverse(step, other)
    winners = torch.where(change >= 0, here == top, there == other_top).to(change.dtype)
    share = winners / winners.sum(axes, keepdim=True) * change * inverse
    return lambda gradient, ordinary: _or_ordinary(gradient.reshape_as(top) * share, ordinary)


def _in_part(inner: Multiplier, view: Tensor, whole: Tensor) -> Multiplier:
    """The multiplier of a step that wrote into a view, for gradients of the whole."""
    shape, strides = whole.size(), whole.stride()
    size, stride, offset = view.size(), view.stride(), view.storage_offset() - whole.storage_offset()

    def laid_out(gradient: Tensor) -> tuple[Tensor, Tensor]:
        copy = gradient.new_empty_strided(shape, strides).copy_(gradient)
        return copy, copy.as_strided(size, stride, offset)

    def multiplier(gradient: Tensor, ordinary: Tensor) -> Tensor:
        copy, part = laid_out(ordinary)
        part.copy_(inner(laid_out(gradient)[1], part.clone()))
        return copy

    return multiplier


def _change(here: Tensor, there: Tensor) -> Tensor:
    """Their difference, in float32 or wider."""
    wide = torch.promote_types(here.dtype, torch.float32)
    return here.detach().to(wide) - there.to(wide)


def _secant(change: Tensor, span: Tensor, scale: Tensor) -> Tensor:
    """The slope, NaN where the ends are too close: there the derivative errs no more than the secant's rounding."""
    limit = scale.detach().abs().to(span.dtype).mul_(torch.finfo(scale.dtype).eps ** 0.5)
    return change.div_(span).masked_fill_(span.abs() <= limit, torch.nan)


def _inverse(step: Step, other: Step) -> Tensor:
    span = _change(step.before, other.before)
    return _secant(torch.ones_like(span), span, step.before)


def _or_ordinary(found: Tensor, ordinary: Tensor) -> Tensor:
    return torch.where(found.isnan(), ordinary, found.to(ordinary.dtype))


_aten = torch.ops.aten
_DIVISION = {_aten.div, _aten.div_, _aten.true_divide, _aten.true_divide_}  # linear in what is divided
_LINEAR = {
    *(_aten.add, _aten.add_, _aten.sub, _aten.sub_, _aten.rsub, _aten.neg, _aten.neg_, _aten.positive),
    *(_aten.mul, _aten.mul_, _aten.clone),
}
_RULES: dict[Any, Rule] = {
    _aten.max_pool2d_with_indices: _pooling(2),
    _aten.max_pool3d_with_indices: _pooling(3),
    _aten.adaptive_max_pool2d: _pooling(2),
    _aten.adaptive_max_pool3d: _pooling(3),
    _aten.amax.default: _largest,
    _aten.max.dim: _largest,
    _aten._softmax: _softmax,
    _aten._log_softmax: _softmax,
    # element by element, though PyTorch does not tag them so
    **dict.fromkeys((_aten.hardswish, _aten.hardswish_, _aten.log_sigmoid_forward, _aten._prelu_kernel), _elementwise),
    **dict.fromkeys((_aten.rrelu_with_noise, _aten.rrelu_with_noise_, _aten.special_ndtr), _elementwise),
    **dict.fromkeys((_aten.abs_, _aten.gelu_, _aten.mish_, _aten.threshold_), _elementwise),
}

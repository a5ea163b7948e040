"""A model whose parameters are replaced, layer by layer, by random ones, and are back afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from lit_attr._guard import private_rng

Reinit: TypeAlias = Literal["reset", "normal", "shuffle"]


class Randomised:
    """The layers of a model while `randomising` is open; a layer is a module that owns parameters itself.

    Attributes:
        layers: in the order in which they were registered.
    """

    def __init__(self, layers: list[nn.Module], originals: dict[nn.Parameter, Tensor]) -> None:
        self.layers = layers
        self._originals = originals

    def restore(self) -> None:
        """Give all layers their own values again."""
        with torch.no_grad():
            for parameter, original in self._originals.items():
                parameter.copy_(original)

    def randomise(self, number: int, how: Reinit, seed: int) -> None:
        """Draw the parameters of layer `number` anew; those of its inner modules and all buffers stay.

        Args:
            number: of the layer.
            how: "reset" as the layer begins, "normal" with mean and deviation of each parameter, or "shuffle" its
                values. What "reset" cannot do or leaves as it was is drawn as by "normal".
            seed: of the draws, the same for each layer.
        """
        layer = self.layers[number]
        own = list(layer._parameters.values())
        parameters = [p for p in own if p is not None]
        before = [p.detach().clone() for p in parameters]
        # One seed for each layer, so that it gets the same values in whatever order layers come.
        generator = torch.Generator().manual_seed(1_000_003 * seed + number)
        with torch.no_grad():
            if how == "reset":
                self._reset(layer, 1_000_003 * seed + number)
            for parameter, old in zip(parameters, before, strict=True):
                if how == "shuffle":
                    order = torch.randperm(old.numel(), generator=generator).to(old.device)
                    parameter.copy_(old.flatten()[order].view_as(old))
                elif how == "normal" or torch.equal(parameter, old):
                    draw = torch.randn(old.shape, generator=generator).to(old)
                    parameter.copy_(old.mean() + old.std(correction=0) * draw)

    @staticmethod
    def _reset(layer: nn.Module, seed: int) -> None:
        reset = getattr(layer, "reset_parameters", None) or getattr(layer, "_reset_parameters", None)
        if not callable(reset):
            return
        inner = [p for child in layer.children() for p in child.parameters()]
        kept = [(tensor, tensor.detach().clone()) for tensor in [*inner, *layer.buffers()]]
        with private_rng(*{p.device for p in layer.parameters()}):
            torch.manual_seed(seed)
            reset()
        for tensor, old in kept:
            tensor.copy_(old)


@contextmanager
def randomising(model: nn.Module) -> Iterator[Randomised]:
    """Put copies in the place of all parameters of the model, for as long as the context is open.

    The parameters themselves are never written to, and are in their places again on leaving, also after an exception.
    """
    places = [(m, name, p) for m in model.modules() for name, p in m._parameters.items() if p is not None]
    copies: dict[nn.Parameter, nn.Parameter] = {}
    layers: dict[nn.Module, None] = {}
    for module, _, parameter in places:
        if parameter not in copies:  # one that several layers share belongs to the first
            copies[parameter] = nn.Parameter(parameter.detach().clone(), requires_grad=False)
            layers[module] = None
    try:
        for module, name, parameter in places:
            setattr(module, name, copies[parameter])  # not into `_parameters`: recurrent layers keep a list of theirs
        yield Randomised(list(layers), {copy: parameter.detach() for parameter, copy in copies.items()})
    finally:
        for module, name, parameter in places:
            setattr(module, name, parameter)

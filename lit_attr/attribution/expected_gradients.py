"""Expected Gradients: Integrated Gradients averaged over many baselines, one random point on each line.

Paper: Erion, Janizek, Sturmfels, Lundberg, Lee, "Improving performance of deep learning models with axiomatic
attribution priors and expected gradients", 2021, section "Expected gradients"; there the baselines are samples of the
training data. Without any, the uniform noise of Sturmfels, Lundberg, Lee, "Visualizing the Impact of Feature
Attribution Baselines", 2020, stands in for them. Deviations: points are stratified along the lines, which lowers the
variance; a reference that equals the sample is left out. The same draws serve every sample, so that a result does not
depend on the batch it sat in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, batch_of_floats, positive_int, unit_range
from lit_attr._view import Passes, View
from lit_attr.attribution._method import METHODS, About, Explanation, Method
from lit_attr.attribution.path.points import gather_gradients
from lit_attr.objectives import get_objective

__all__ = ["ExpectedGradients"]

References: TypeAlias = str | Path | Tensor | Callable[[Sequence[int]], Tensor]


@METHODS.register("expected_gradients")
@dataclass(frozen=True, eq=False)
class ExpectedGradients(Method):
    """A = (1/k) sum_s (x - x'_s) * grad f(x'_s + a_s (x - x'_s)), x'_s ~ references, a_s ~ U(0, 1).

    The expectation of the sum of A is f(x) minus the mean of f over the references; the error falls with 1 / sqrt(k).

    Args:
        samples: number of points k. The paper advises 100 to 200 for an explanation that is stable.
        references: the background that stands for "without the feature": a tensor `[R, ...]` of samples (of the
            training data, as in the paper), a safetensors file with one such tensor, or a function from the shape of
            one sample to such a tensor. "uniform" is k images of uniform noise, for images in [0, 1]: a stand-in
            that asks for no data. The result depends on this choice.
        seed: of the private generator, which draws references without replacement, anew when all are used, and each
            a_s from one of k equal parts of (0, 1).

    Raises:
        ValueError: for references of another shape than the samples, or noise for inputs outside [0, 1].

    Example:
        >>> model, x, data = torch.nn.Linear(3, 2), torch.rand(1, 3), torch.rand(10, 3)
        >>> a = ExpectedGradients(samples=10, references=data)(model, x, 1)
        >>> torch.allclose(a, (x - data.mean(0)) * model.weight[1].detach(), atol=1e-6)
        True
    """

    ABOUT: ClassVar[About] = About("gradient along the lines from many references", "DIL", "gradients, references")

    samples: int = 50
    references: References = "uniform"
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        positive_int("samples", self.samples)
        if isinstance(self.references, Tensor):
            batch_of_floats("references", self.references)
        elif not callable(self.references) and self.references != "uniform" and not Path(self.references).is_file():
            raise ArgumentError("references", self.references, "'uniform', a tensor, a function, or an existing file")

    def attribute(self, view: View) -> Explanation:
        """All points of all samples in one stream."""
        generator = torch.Generator().manual_seed(self.seed)
        places = torch.arange(self.samples) + torch.rand(self.samples, generator=generator, dtype=torch.float64)
        shares = (places / self.samples).to(view.inputs).view(-1, *[1] * (view.inputs.dim() - 1))
        references = self._draw(view, generator)
        differs = torch.ones(len(view.inputs), self.samples, device=view.inputs.device, dtype=view.dtype)

        def on_its_line(rows: Tensor, numbers: Tensor) -> Tensor:
            return torch.lerp(references[numbers], view.inputs[rows], shares[numbers])

        def times_the_way(gradient: Tensor, rows: Tensor, numbers: Tensor) -> Tensor:
            way = view.inputs[rows] - references[numbers]
            differs[rows, numbers] = way.flatten(1).any(1).to(view.dtype)
            return way * gradient

        weights = torch.ones(self.samples, dtype=torch.float64)
        objective = get_objective(self.objective)
        total = gather_gradients(view, on_its_line, weights, objective, self.max_batch, times_the_way).total
        count = differs.sum(1).clamp_min(1).view(-1, *[1] * (total.dim() - 1))
        return Explanation(total / count)

    def cost(self, shape: Sequence[int], classes: int) -> Passes:
        """One forward and one backward pass a point."""
        return Passes(self.samples, self.samples)

    def _draw(self, view: View, generator: torch.Generator) -> Tensor:
        """The reference of each point, `[k, ...]`, like the inputs."""
        shape = view.inputs.shape[1:]
        if isinstance(self.references, str) and self.references == "uniform":
            unit_range("inputs", view.inputs, "noise is no background for them; give `references` as a tensor")
            return torch.rand((self.samples, *shape), generator=generator, dtype=torch.float32).to(view.inputs)
        if isinstance(self.references, str | Path):
            found = _load(Path(self.references))
        else:
            found = torch.as_tensor(self.references(shape) if callable(self.references) else self.references)
        if found.shape[1:] != shape or len(found) == 0:
            accepted = f"samples [R, {', '.join(map(str, shape))}]"
            raise ArgumentError("references", f"shape {tuple(found.shape)}", accepted)
        rounds = -(-self.samples // len(found))  # in each, a reference meets another part of its line
        order = torch.cat([torch.randperm(len(found), generator=generator) for _ in range(rounds)])[: self.samples]
        drawn = found.detach()[order.to(found.device)]
        batch_of_floats("references", drawn)
        return drawn.to(view.inputs)


def _load(path: Path) -> Tensor:
    """The one tensor in a file."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        (found,) = load_file(path).values()
    except (SafetensorError, ValueError) as error:
        raise ArgumentError("references", path, "a safetensors file with one tensor [R, ...]") from error
    return found

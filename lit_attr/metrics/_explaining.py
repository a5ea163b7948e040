"""Running an explanation method, for metrics that explain again."""

from torch import Tensor, nn

from lit_attr._checks import ArgumentError
from lit_attr._view import View
from lit_attr.attribution import Explanation, Method
from lit_attr.metrics._evaluation import Evaluation, Explain, Explained
from lit_attr.targets import Target


def explain(evaluation: Evaluation, method: Explain, *, whole: bool = False) -> Tensor | Explanation:
    """What the method gives of a batch; with `whole`, all that it knows, where it is one of ours."""
    with evaluation.view() as view:
        if whole and isinstance(method, Method):
            return method.explain(view.model, view.inputs, view.target)
        return method(view.model, view.inputs, view.target).detach()


def explained_by(method: Explain, model: nn.Module, inputs: Tensor, target: int | Tensor | Target | None) -> Explained:
    """A batch with the attribution that the method gives of it."""
    evaluation = Evaluation(model, inputs, target)
    return evaluation.of(explain(evaluation, method), method)


def explain_again(
    explained: Explained, view: View, inputs: Tensor | None = None, target: Target | None = None
) -> Tensor:
    """The attribution of other inputs or another target than those explained, or by a model that was changed since.

    Args:
        explained: whose method runs.
        view: of its evaluation, open, so that gradients are possible and no trace is left.
        inputs: to explain; None for those of the view.
        target: to explain; None for that of the view.

    Raises:
        ArgumentError: where the method gives an attribution of another size than the one it is compared with.
    """
    inputs, target = view.inputs if inputs is None else inputs, target or view.target
    found = explained.method(view.model, inputs, target).detach()
    if found.numel() != explained.attribution.numel():
        got = f"of shape {tuple(explained.attribution.shape)}; `method` gives {tuple(found.shape)}"
        raise ArgumentError("attribution", got, "what `method` gives of the inputs")
    return found.to(explained.evaluation.inputs.device)

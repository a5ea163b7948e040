"""The scalar that is differentiated, one per sample, as a function of class evidence.

An objective f takes evidence `[N, K]` and the explained class `[N]` and returns `[N]`. It never
couples samples.
"""

from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_attr._checks import one_of

__all__ = ["OBJECTIVES", "Objective", "get_objective"]

Objective: TypeAlias = Callable[[Tensor, Tensor], Tensor]


def logit(evidence: Tensor, index: Tensor) -> Tensor:
    """z_y, in (-inf, inf)."""
    return evidence.gather(1, index[:, None])[:, 0]


def log_odds(evidence: Tensor, index: Tensor) -> Tensor:
    """Log p_y / (1 - p_y), in (-inf, inf): grows with p_y; its gradient does not vanish where p_y is near 0 or 1."""
    if evidence.shape[1] == 1:  # nothing else can be
        return logit(evidence, index) * 0 + torch.inf
    numbers = torch.arange(evidence.shape[1] - 1, device=evidence.device)
    others = evidence.gather(1, numbers + (numbers >= index[:, None]))
    # Log sum exp by `log_softmax`, which DeepLIFT has a rule for.
    return logit(evidence, index) - (others[:, 0] - others.log_softmax(1)[:, 0])


def logprob(evidence: Tensor, index: Tensor) -> Tensor:
    """Log softmax(z)_y, in (-inf, 0]: minus the cross entropy."""
    # Not of `log_softmax`: its gradient has 1 - p_y, which is rounded away where the model is sure.
    return F.logsigmoid(log_odds(evidence, index))


def prob(evidence: Tensor, index: Tensor) -> Tensor:
    """softmax(z)_y, in [0, 1]."""
    return logprob(evidence, index).exp()


def margin(evidence: Tensor, index: Tensor) -> Tensor:
    """z_y minus the largest other logit."""
    others = evidence.scatter(1, index[:, None], -torch.inf)
    return logit(evidence, index) - others.amax(1)


def sum_logprob(evidence: Tensor, index: Tensor) -> Tensor:  # noqa: ARG001 - asks no class: LAAI's label-agnostic objective
    """The sum over all classes of log softmax(z), in (-inf, -K log K]."""
    return evidence.log_softmax(1).sum(1)


def certainty(evidence: Tensor, index: Tensor) -> Tensor:
    """Minus `sum_logprob`, in (K log K, inf): least where all classes are equally likely."""
    return -sum_logprob(evidence, index)


_FUNCTIONS = (logit, logprob, prob, log_odds, margin, sum_logprob, certainty)
OBJECTIVES: dict[str, Objective] = {f.__name__: f for f in _FUNCTIONS}


def get_objective(objective: str | Objective, name: str = "objective") -> Objective:
    """The function behind a name; a function is returned as it is. `name` is the argument's, for the error message.

    Example:
        >>> get_objective("prob")(torch.zeros(2, 4), torch.tensor([0, 3]))
        tensor([0.2500, 0.2500])
    """
    if not isinstance(objective, str):
        return objective
    one_of(name, objective, OBJECTIVES)
    return OBJECTIVES[objective]

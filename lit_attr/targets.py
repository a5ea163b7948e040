"""What is explained: a target turns the output of any model into class evidence `[N, K]`.

Methods and metrics see only evidence and the explained class, so none of them has a branch per task. An evaluation
holds many variants of each sample; `rows` says which sample a variant belongs to, and a target gathers by it whatever
it keeps per sample (the class, labels of pixels, masks; later boxes).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, ClassVar, Literal, TypeAlias, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from lit_attr._checks import ArgumentError, one_of

__all__ = ["ClassTarget", "DistributionTarget", "PixelTarget", "RegionTarget", "Target", "logits_of"]

Score: TypeAlias = Literal["logit", "prob", "margin"]

_NEVER = -1e30  # log of what does not count; finite, as DeepLIFT takes differences of what comes in and out


def logits_of(output: Any) -> Tensor:
    """The logits in a model's output, as `[N, K]` (or dense `[N, K, ...]`), float32 or wider.

    Accepted: a tensor; a mapping with `logits` or `out`; an object with `.logits`; a tuple whose first item is the
    tensor. A single output unit `z` is read as the two-class logits `(0, z)`: a softmax over one unit would be
    constantly one.
    """
    logits = _given(output)
    return torch.cat([torch.zeros_like(logits), logits], dim=1) if logits.shape[1] == 1 else logits


def _given(output: Any) -> Tensor:
    """The logits in a model's output, one unit as `[N, 1]`."""
    if isinstance(output, Mapping):
        found = next((output[key] for key in ("logits", "out") if key in output), None)
    elif isinstance(output, Tensor):
        found = output
    else:
        found = getattr(output, "logits", None)
        if found is None and isinstance(output, tuple | list) and output:
            found = output[0]
    if not isinstance(found, Tensor) or found.dim() < 1:
        accepted = "a tensor of logits, a mapping or object with `logits`, a mapping with `out`, or a tuple"
        raise ArgumentError("model output", type(output).__name__, accepted)
    logits = found if found.dtype == torch.float64 else found.float()
    return logits[:, None] if logits.dim() == 1 else logits


class Target(ABC):
    """Base of all targets. A subclass sets `index` and writes `evidence`."""

    compares_classes: ClassVar[bool] = True
    """Whether the columns of the evidence are classes, so that the largest is the predicted one. Where false, nothing
    can stop or be counted as a success by what is predicted."""

    dense: ClassVar[bool] = False
    """Whether it reads an output with places of its own, which is then no layer that explains it."""

    index: Tensor
    """The explained class of each sample, long, `[B]`."""

    @abstractmethod
    def evidence(self, output: Any, rows: Tensor) -> Tensor:
        """Class evidence (logits).

        Args:
            output: what the model returned for `N` variants.
            rows: the sample each variant belongs to, long, `[N]`.

        Returns:
            Logits `[N, K]`, float32 or float64, differentiable.
        """

    @abstractmethod
    def to(self, device: torch.device) -> "Target":
        """The same target with its tensors on `device`."""

    def take(self, rows: Tensor) -> "Target":
        """The target of some of its samples, long `[b]`, on its device."""
        return _Part(self, rows)


class _Part(Target):
    """Any target, of some of its samples."""

    def __init__(self, whole: Target, rows: Tensor) -> None:
        self._whole, self._rows = whole, rows
        self.index = whole.index[rows] if whole.index.dim() else whole.index
        self.compares_classes = whole.compares_classes  # type: ignore[misc]  # of the class, elsewhere
        self.dense = whole.dense  # type: ignore[misc]

    def evidence(self, output: Any, rows: Tensor) -> Tensor:
        return self._whole.evidence(output, self._rows[rows])

    def to(self, device: torch.device) -> "_Part":
        return _Part(self._whole.to(device), self._rows.to(device))


class ClassTarget(Target):
    """A class of a classifier.

    Of a model with one unit z the logits are (0, z) where the second class is explained and (-z, 0) where the first is:
    the same probabilities, and each class has a logit that depends on the input.

    Args:
        index: the class of each sample, long `[B]`, or one class for all samples.

    Example:
        >>> target = ClassTarget(torch.tensor([2, 0]))
        >>> target.evidence(torch.zeros(4, 3), rows=torch.tensor([0, 0, 1, 1])).shape
        torch.Size([4, 3])
    """

    def __init__(self, index: int | Tensor) -> None:
        try:
            tensor = torch.as_tensor(index)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ArgumentError("target", index, "a class index or a long tensor [B]") from error
        if tensor.dtype.is_floating_point or tensor.dtype == torch.bool or tensor.dim() > 1:
            raise ArgumentError("target", _told(tensor), "a class index or a long tensor [B]")
        self.index = tensor.long().clone()  # a copy: the given one may be an inference tensor

    def evidence(self, output: Any, rows: Tensor) -> Tensor:
        """The logits as they are, `[N, K]`; of one unit see above."""
        given, logits = _given(output), logits_of(output)
        if logits.dim() != 2 or logits.shape[0] != rows.shape[0]:
            raise ArgumentError("model output", tuple(logits.shape), f"logits [{rows.shape[0]}, K]")
        if given.shape[1] > 1:
            return logits
        index = self.index[rows] if self.index.dim() else self.index
        return torch.where(index[..., None] == 0, torch.cat([-given, torch.zeros_like(given)], dim=1), logits)

    def to(self, device: torch.device) -> "ClassTarget":
        """The same classes on `device`."""
        return ClassTarget(self.index.to(device))


class PixelTarget(Target):
    """How well a segmenter fits its labels: the mean log probability of the label over the pixels that count.

    The evidence is `(v, 0)`, v = mean over pixels of log softmax(z)_label, in (-inf, 0]: the objective "logit" of its
    class 0 is minus the mean cross entropy of the sample, "logprob" grows with it. There is no predicted class.

    Logits `[N, K, h, w]` of another size than the labels are resized to it bilinearly (`align_corners=False`).

    Args:
        labels: the class of each pixel, an integer tensor `[B, H, W]`.
        ignore_index: the label of pixels that do not count.

    Raises:
        ArgumentError: for labels that are no classes of the model, and a sample in which no pixel counts.

    Example:
        >>> target = PixelTarget(torch.tensor([[[0, 1], [1, 255]]]))
        >>> output = {"out": torch.tensor([[1.0, 0.0], [0.0, 0.0]]).expand(1, 2, 2, 2)}
        >>> v = target.evidence(output, rows=torch.tensor([0]))[:, 0]
        >>> torch.allclose(-v, F.cross_entropy(output["out"], target.labels, ignore_index=255))
        True
    """

    compares_classes: ClassVar[bool] = False
    dense: ClassVar[bool] = True

    def __init__(self, labels: Tensor, ignore_index: int = 255) -> None:
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, int):
            raise ArgumentError("ignore_index", ignore_index, "an integer")
        whole = isinstance(labels, Tensor) and not (
            labels.dtype.is_floating_point or labels.dtype.is_complex or labels.dtype == torch.bool
        )
        if not whole or labels.dim() != 3:
            raise ArgumentError("labels", _told(labels), "an integer tensor [B, H, W]")
        self.ignore_index = ignore_index
        self.labels = labels.to(torch.long, copy=True)  # a copy: the given one may be an inference tensor
        counted = self.labels != ignore_index
        self._counts = counted.sum((1, 2))
        empty = (self._counts == 0).nonzero()
        if len(empty):
            accepted = f"classes, with a pixel in each sample that is not {ignore_index}"
            raise ArgumentError("labels", f"none in sample {int(empty[0])}", accepted)
        lowest, highest = (int(v) for v in torch.aminmax(self.labels[counted])) if len(labels) else (0, 0)
        if lowest < 0:
            raise ArgumentError("labels", lowest, f"classes from 0 on, or {ignore_index} where a pixel does not count")
        self._highest = highest  # known once, so that no evaluation waits for the device
        self.index = torch.zeros_like(self._counts)

    def evidence(self, output: Any, rows: Tensor) -> Tensor:
        """`(v, 0)` of each variant, `[N, 2]`."""
        logits, labels = _dense(logits_of(output), rows, self.labels.shape[1:]), self.labels[rows]
        if self._highest >= logits.shape[1]:
            accepted = f"classes in 0..{logits.shape[1] - 1}, or {self.ignore_index} where a pixel does not count"
            raise ArgumentError("labels", self._highest, accepted)
        # In one call: all that it keeps for the backward pass is one tensor of the size of the logits.
        losses = F.cross_entropy(logits, labels, ignore_index=self.ignore_index, reduction="none")
        return _beside_zero(-losses.sum((1, 2)) / self._counts[rows])

    def to(self, device: torch.device) -> "PixelTarget":
        """The same labels on `device`."""
        found = copy(self)
        found.labels, found._counts, found.index = (t.to(device) for t in (self.labels, self._counts, self.index))
        return found


class RegionTarget(Target):
    r"""A class of a segmenter over a region of the image, which stays where it is whatever happens to the image.

    With the mean probability of a class over the region M, :math:`\bar p_k = |M|^{-1} \sum_{p \in M} p_k(p)`, and the
    score s of the explained class c, the evidence is

    .. math:: e_k = \log \bar p_k - \log \bar p_c + s

    so that its softmax is the mean probability: the objective "prob", and all that metrics read, is
    :math:`\bar p_c`, in [0, 1], while the objective "logit" is s. The class that is predicted of the region is that of
    the largest mean probability. Means, not sums: a large region counts as much as a small one.

    Logits `[N, K, h, w]` of another size than the mask are resized to it bilinearly (`align_corners=False`). Where a
    segmenter has one unit, its two classes are those of `ClassTarget`.

    Args:
        index: the class of each sample, long `[B]`, or one class for all samples.
        mask: the region M, bool `[B, H, W]`, with a pixel in each sample; `lit_attr.regions` finds some.
        others: the off-target pixels, on which metrics look for what leaks, bool `[B, H, W]` and outside of `mask`;
            None where nobody asks.
        score: s: the mean over M of the "logit" :math:`z_c`, of the probability ("prob"), or of the "margin",
            :math:`z_c - \log \sum_{k \ne c} \exp z_k`.

    Raises:
        ArgumentError: for a class that the model does not have, an empty region, and masks that do not fit.

    Example:
        >>> mask = torch.tensor([[[True, True, False]]])
        >>> target = RegionTarget(1, mask)
        >>> output = {"out": torch.tensor([[[[0.0, 0.0, 9.0]], [[2.0, 4.0, 9.0]]]])}
        >>> evidence = target.evidence(output, rows=torch.tensor([0]))
        >>> evidence[0, 1], torch.allclose(evidence.softmax(1), output["out"].softmax(1)[..., :2].mean((2, 3)))
        (tensor(3.), True)
    """

    dense: ClassVar[bool] = True

    def __init__(self, index: int | Tensor, mask: Tensor, others: Tensor | None = None, score: Score = "logit") -> None:
        one_of("score", score, get_args(Score))
        self.score: Score = score
        self.mask = _masks("mask", mask)
        empty = (~self.mask.flatten(1).any(1)).nonzero()
        if len(empty):
            raise ArgumentError("mask", f"none in sample {int(empty[0])}", "a region with a pixel in each sample")
        self.others = None if others is None else _masks("others", others).to(self.mask.device)
        if self.others is not None and self.others.shape != mask.shape:
            raise ArgumentError("others", _told(others), f"of the shape of `mask`, {tuple(mask.shape)}")
        if self.others is not None and bool((self.others & self.mask).any()):
            raise ArgumentError("others", "pixels of both", "outside of `mask`")
        given = ClassTarget(index).index.to(self.mask.device)
        if given.dim() and given.shape != mask.shape[:1]:
            raise ArgumentError("index", f"{len(given)} classes", f"one class, or one for each of {len(mask)} masks")
        with torch.inference_mode(False):
            self.index = given.expand(len(mask)).clone()
        lowest, self._highest = (int(v) for v in torch.aminmax(self.index)) if len(mask) else (0, 0)
        if lowest < 0:
            raise ArgumentError("index", lowest, "a class from 0 on")
        lines = [self.mask.any(0).any(axis).nonzero()[:, 0].tolist() or [0] for axis in (1, 0)]
        self._box = [slice(found[0], found[-1] + 1) for found in lines]  # beyond it no pixel is in any region

    def logits(self, output: Any, rows: Tensor) -> Tensor:
        """The logits of each pixel of the masks, `[N, K, H, W]`."""
        given = _given(output)
        logits = _dense(logits_of(output), rows, self.mask.shape[1:])
        if self._highest >= logits.shape[1]:
            raise ArgumentError("target", self._highest, f"a class index in 0..{logits.shape[1] - 1}")
        # Of one unit the first class has a logit that depends on the input, too: (-z, 0).
        first = (self.index[rows] == 0).view(-1, 1, 1, 1)
        return logits if given.shape[1] > 1 else torch.where(first, logits - logits[:, 1:], logits)

    def evidence(self, output: Any, rows: Tensor) -> Tensor:
        """The evidence above, `[N, K]`."""
        y, x = self._box  # a softmax over all of the image is as dear as a light network
        logits = self.logits(output, rows)[..., y, x]
        mask, index = self.mask[:, y, x][rows].flatten(1), self.index[rows]
        log_p = logits.log_softmax(1).flatten(2)
        counts = mask.sum(1).to(log_p)
        mean = (log_p + (~mask[:, None]).to(log_p) * _NEVER).logsumexp(2) - counts.log()[:, None]
        own = mean.gather(1, index[:, None])
        score = (self._values(logits.flatten(2), log_p, index) * mask).sum(1, keepdim=True) / counts[:, None]
        one = torch.arange(logits.shape[1], device=index.device) == index[:, None]
        possible = own.isfinite()
        shifted = mean + (score - own).where(possible, 0)
        return torch.where(one & possible, score, shifted)  # exactly the score, and nothing else in its gradient

    def _values(self, logits: Tensor, log_p: Tensor, index: Tensor) -> Tensor:
        """What the score is the mean of, `[N, H W]`, from logits and log probabilities `[N, K, H W]`."""
        own = index.view(-1, 1, 1).expand(-1, 1, logits.shape[2])
        if self.score == "prob":
            return log_p.gather(1, own)[:, 0].exp()
        found = logits.gather(1, own)[:, 0]
        return found if self.score == "logit" else found - logits.scatter(1, own, _NEVER).logsumexp(1)

    def take(self, rows: Tensor) -> "RegionTarget":
        """The target of some of its samples, long `[b]`; still a region, which its metrics ask for."""
        others = None if self.others is None else self.others[rows]
        return RegionTarget(self.index[rows], self.mask[rows], others, self.score)

    def moved(self, move: Callable[[Tensor], Tensor]) -> "RegionTarget":
        """The target of images whose pixels were moved: `move` does to masks `[B, H, W]` what was done to them."""
        others = None if self.others is None else move(self.others)
        return RegionTarget(self.index, move(self.mask), others, self.score)

    def to(self, device: torch.device) -> "RegionTarget":
        """The same region on `device`."""
        found = copy(self)
        found.mask, found.index = self.mask.to(device), self.index.to(device)
        found.others = None if self.others is None else self.others.to(device)
        return found


class DistributionTarget(Target):
    """How near a classifier is to given probabilities p: minus the Kullback-Leibler divergence KL(p || softmax(z)).

    The evidence is `(v, 0)`, v = sum_k p_k (log softmax(z)_k - log p_k), in (-inf, 0]; classes with p_k = 0 add
    nothing. The objective "logit" of its class 0 is v, "logprob" grows with it. There is no predicted class. At
    softmax(z) = p the gradient is zero: what climbs the divergence must begin beside that.

    Paper: Zhang et al., "Theoretically Principled Trade-off between Robustness and Accuracy", 2019 (TRADES), section 4:
        the divergence that its inner maximisation climbs, p being the prediction for the clean sample.

    Args:
        probabilities: p of each sample, floating, `[B, K]`, not negative, with sum one (within 0.01: it may come from a
            model in low precision).

    Raises:
        ArgumentError: for what is no distribution, or one over another number of classes than the model has.

    Example:
        >>> target = DistributionTarget(torch.tensor([[0.5, 0.5], [1.0, 0.0]]))
        >>> target.evidence(torch.zeros(2, 2), rows=torch.tensor([0, 1]))
        tensor([[ 0.0000,  0.0000],
                [-0.6931,  0.0000]])
    """

    compares_classes: ClassVar[bool] = False

    def __init__(self, probabilities: Tensor) -> None:
        accepted = "a floating tensor [B, K]"
        if not isinstance(probabilities, Tensor) or not probabilities.is_floating_point() or probabilities.dim() != 2:
            raise ArgumentError("probabilities", _told(probabilities), accepted)
        given = probabilities.detach()
        self.probabilities = given.to(torch.promote_types(given.dtype, torch.float32), copy=True)
        sums = self.probabilities.sum(1)
        bad = ~((self.probabilities >= 0).all(1) & ((sums - 1).abs() <= 0.01))  # true for NaN, too
        if bool(bad.any()):
            got = f"sample {int(bad.nonzero()[0])} with sum {float(sums[bad][0]):.4g}"
            raise ArgumentError("probabilities", got, "not negative, with sum one")
        self.index = torch.zeros(len(given), dtype=torch.long, device=given.device)

    def evidence(self, output: Any, rows: Tensor) -> Tensor:
        """`(v, 0)` of each variant, `[N, 2]`."""
        logits = logits_of(output)
        if logits.shape != (len(rows), self.probabilities.shape[1]):
            accepted = f"logits [{len(rows)}, {self.probabilities.shape[1]}], as `probabilities` has it"
            raise ArgumentError("model output", tuple(logits.shape), accepted)
        given = self.probabilities[rows].to(logits.dtype)
        # Not `F.kl_div`: that is NaN where a class is impossible to both.
        terms = torch.where(given > 0, given * (logits.log_softmax(1) - given.log()), 0)
        return _beside_zero(terms.sum(1))

    def to(self, device: torch.device) -> "DistributionTarget":
        """The same probabilities on `device`."""
        found = copy(self)
        found.probabilities, found.index = self.probabilities.to(device), self.index.to(device)
        return found


def _dense(logits: Tensor, rows: Tensor, size: torch.Size) -> Tensor:
    """Logits `[N, K, h, w]` at each pixel of what they are asked for, `[N, K, H, W]`."""
    if logits.dim() != 4 or logits.shape[0] != rows.shape[0]:
        raise ArgumentError("model output", tuple(logits.shape), f"logits [{rows.shape[0]}, K, h, w]")
    if logits.shape[2:] == size:
        return logits
    return F.interpolate(logits, size, mode="bilinear", align_corners=False)


def _masks(name: str, masks: object) -> Tensor:
    """A copy of masks, which may be inference tensors, as those of a region may that is made in a validation step."""
    if not isinstance(masks, Tensor) or masks.dtype != torch.bool or masks.dim() != 3:
        raise ArgumentError(name, _told(masks), "a bool tensor [B, H, W]")
    with torch.inference_mode(False):
        return masks.clone()


def _beside_zero(values: Tensor) -> Tensor:
    """Values `[N]` as evidence `[N, 2]`."""
    return torch.stack([values, torch.zeros_like(values)], dim=1)


def _told(value: object) -> object:
    """What was given, in an error message."""
    return f"a {value.dtype} tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else value

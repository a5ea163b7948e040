"""What metrics of segmentation share: the order of the pixels, and what their deletion does to region and rest."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeAlias

import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, batch_limit, not_negative_int, numbers
from lit_attr._view import Passes
from lit_attr.baselines import Baseline, check_baseline, get_baseline
from lit_attr.metrics._elements import named
from lit_attr.metrics._evaluation import Explained
from lit_attr.metrics._precision import wide
from lit_attr.metrics._work import Work
from lit_attr.metrics.ranking import rank_map
from lit_attr.targets import RegionTarget, Target

FRACTIONS = (0.05, 0.1, 0.2)
Read: TypeAlias = Callable[[RegionTarget, Tensor, Tensor], Tensor]


def shuffled_ranks(explained: Explained, seed: int, draw: int = 0) -> Tensor:
    """The rank of each position, 0 for the most important, equal values in a random order, the same for all samples.

    Broadcastable to the inputs. In the order of the raster a map in steps would be read from its upper left on.
    """

    def ranks() -> Tensor:
        flat = explained.positions.flatten(1)
        generator = torch.Generator().manual_seed(seed)
        order = [torch.randperm(flat.shape[1], generator=generator) for _ in range(draw + 1)][-1].to(flat.device)
        found = torch.empty_like(flat, dtype=torch.int32)
        found[:, order] = rank_map(flat[:, order])
        return found.view_as(explained.positions)

    return explained.once(("shuffled ranks", seed, draw), ranks)


def others_of(region: RegionTarget) -> Tensor:
    """The off-target pixels of a region; refused where it has none."""
    if region.others is None:
        raise ArgumentError("target", "a RegionTarget without `others`", "one with its off-target pixels, `others`")
    return region.others


class Readout(Target):
    """Whatever is read off the logits of a region's images; the evidence is no classes.

    Args:
        region: which, and which size they have.
        read: from the region, logits `[N, K, H, W]` and rows `[N]` to numbers `[N, Q]`.
    """

    compares_classes: ClassVar[bool] = False

    def __init__(self, region: RegionTarget, read: Read) -> None:
        self.region, self.read = region, read
        self.index = torch.zeros_like(region.index)

    def evidence(self, output: Any, rows: Tensor) -> Tensor:
        """What is read, `[N, Q]`."""
        return self.read(self.region, self.region.logits(output, rows), rows)

    def to(self, device: torch.device) -> "Readout":
        """The same of the region on `device`."""
        return Readout(self.region.to(device), self.read)


def _clean(region: RegionTarget, logits: Tensor, rows: Tensor) -> Tensor:
    """Of the clean image: probability of the region, called class, its probability, and that of the class.

    `[N, 1 + 3 H W]`; classes are whole numbers in it.
    """
    p = logits.softmax(1)
    best, called = p.max(1)
    own = _of_class(p, region.index[rows].view(-1, 1, 1).expand_as(called))
    score = _mean(own, region.mask[rows])
    return torch.cat([score[:, None], best.flatten(1), called.to(p).flatten(1), own.flatten(1)], dim=1)


@dataclass(frozen=True, eq=False)
class _Changed:
    """What became of it: probability of the region, and how far the off-target pixels moved, in two ways, `[N, 3]`.

    Attributes:
        best: of the clean image the probability of the called class, `[B, H, W]`.
        called: likewise that class.
        own: likewise the probability of the region's class.
        deleted: the pixels that are deleted, bool.
    """

    best: Tensor
    called: Tensor
    own: Tensor
    deleted: Tensor

    def __call__(self, region: RegionTarget, logits: Tensor, rows: Tensor) -> Tensor:
        p, others, called = logits.softmax(1), others_of(region)[rows], self.called[rows]
        own = _of_class(p, region.index[rows].view(-1, 1, 1).expand_as(called))
        moved = (_of_class(p, called) - self.best[rows]).abs()
        label_abs = _mean(moved, others & ~self.deleted[rows])
        class_mean = _mean(own - self.own[rows], others).abs()
        return torch.stack([_mean(own, region.mask[rows]), label_abs, class_mean], dim=1)


def _of_class(p: Tensor, classes: Tensor) -> Tensor:
    """The probability of one class for each pixel, `[N, H, W]`."""
    return p.gather(1, classes[:, None])[:, 0]


def _mean(values: Tensor, where: Tensor) -> Tensor:
    """The mean of `[N, H, W]` over some pixels, `[N]`; NaN over none."""
    return (values * where).sum((1, 2)) / where.sum((1, 2))


class Deleted(NamedTuple):
    """What deleting the first pixels does.

    Attributes:
        score: mean probability of the class over the region of the clean image, `[B]`.
        drop: how much less it is for each share that is deleted, `[B, Q]`.
        moved: how far the off-target pixels moved, by the kind of measurement, `[B, Q]` each.
        counted: likewise the samples of which it exists, bool `[B]` each: with an off-target pixel that is left at each
            share ("label_abs"), or with any ("class_mean").
    """

    score: Tensor
    drop: Tensor
    moved: dict[str, Tensor]
    counted: dict[str, Tensor]


@dataclass(frozen=True)
class Deleting:
    """How the first pixels are deleted.

    Attributes:
        fill: what stands where they were (see `lit_attr.baselines`).
        fractions: the shares of all pixels.
        seed: of the order of equal values.
        max_batch: the most images per forward pass; changes no result.
    """

    fill: Baseline
    fractions: Sequence[float]
    seed: int
    max_batch: int | None

    def __post_init__(self) -> None:
        check_baseline("fill", self.fill)
        shares = numbers("fractions", self.fractions, "shares in (0, 1)", lambda share: 0 < share < 1)
        object.__setattr__(self, "fractions", shares)
        not_negative_int("seed", self.seed)
        batch_limit("max_batch", self.max_batch)

    @property
    def protocol(self) -> dict[str, Any]:
        """What is computed, as plain data."""
        ties = f"at random, seed {self.seed}"
        return {"fill": named(self.fill), "fractions": list(self.fractions), "rank": "sum over channels", "ties": ties}

    def __call__(self, explained: Explained) -> Deleted:
        """The deletions of a batch; a clean forward pass and one for each share, made once for all metrics."""
        return explained.once(self._key, lambda: self._deleted(explained))

    @property
    def work(self) -> list[Work]:
        """What it costs."""
        return [Work("clean pixels", Passes(1, 0), per="sample"), Work(self._key, Passes(len(self.fractions), 0))]

    @property
    def _key(self) -> tuple[Any, ...]:
        return ("deleted", self.fill, tuple(self.fractions), self.seed)

    def _deleted(self, explained: Explained) -> Deleted:
        evaluation, region = explained.evaluation, explained.evaluation.region
        others, ranks = others_of(region), shuffled_ranks(explained, self.seed)
        drops, counted = list[Tensor](), list[Tensor]()
        kinds = {"label_abs": list[Tensor](), "class_mean": list[Tensor]()}
        size = others.shape[1:].numel()
        with evaluation.view(Readout(region, _clean)) as view:
            clean = evaluation.once("clean pixels", lambda: view.evidence_at(view.inputs, view.rows, self.max_batch))
            score, maps = clean[:, 0], clean[:, 1:].view(-1, 3, *others.shape[1:])
            best, called, own = maps[:, 0], maps[:, 1].long(), maps[:, 2]
            background = get_baseline("fill", self.fill, view.inputs)
            for share in self.fractions:
                deleted = ranks < max(1, round(share * size))
                view.target = Readout(region, _Changed(best, called, own, deleted[:, 0]))
                points = torch.where(deleted, background, view.inputs)
                after, label_abs, class_mean = view.evidence_at(points, view.rows, self.max_batch).unbind(1)
                drops.append(score - after)
                kinds["label_abs"].append(label_abs)
                kinds["class_mean"].append(class_mean)
                counted.append((others & ~deleted[:, 0]).flatten(1).any(1))
        moved = {kind: wide(torch.stack(values, dim=1)) for kind, values in kinds.items()}
        exists = {"label_abs": torch.stack(counted).all(0), "class_mean": others.flatten(1).any(1)}
        return Deleted(wide(score), wide(torch.stack(drops, dim=1)), moved, exists)

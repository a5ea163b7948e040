"""Settings and shared work of the metrics that replace positions in the order of an attribution."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypedDict

import torch
from torch import Tensor
from torchmetrics.utilities.prints import rank_zero_warn

from lit_attr._checks import ArgumentError, batch_limit, one_of, positive_int
from lit_attr._view import Passes
from lit_attr.attribution import ConfusionFeature
from lit_attr.baselines import Baseline, check_baseline, get_baseline
from lit_attr.metrics._base import Reading
from lit_attr.metrics._elements import named
from lit_attr.metrics._evaluation import Evaluation, Explained
from lit_attr.metrics._readouts import Anchors, read
from lit_attr.metrics._work import CLEAN, Work, total
from lit_attr.metrics.curves import AREAS, End, cut_points, perturbation_curve, resampled
from lit_attr.metrics.ranking import RANKS, ranks_by

Fill: TypeAlias = Baseline | ConfusionFeature
Path: TypeAlias = Literal["insertion", "deletion"]
Which: TypeAlias = Literal["insertion", "deletion", "gap"]

_LARGE = 3 * 224 * 224  # numbers in an image of ImageNet, for which passes are declared where they depend on the size
_CERTAIN = 0.9
_AT_ONCE = 2**22  # numbers of evidence

PRESETS: dict[str, dict[str, Any]] = {
    "toolkit": {},
    "rise": {"fill": ("imagenet_blur", "imagenet_mean"), "pixels_per_step": 224, "area": "even"},
    "agi": {"rank": "union", "pixels_per_step": 224, "area": "mean"},
    "abe": {"rank": "union", "pixels_per_step": 224, "area": "even"},
    "la": {"rank": "element", "pixels_per_step": 672, "area": "even"},
    "laai": {"rank": "union", "pixels_per_step": 224, "area": "even"},
    "quantus": {"fill": "min", "rank": "element", "pixels_per_step": 224, "area": "unit_steps"},
}


class How(TypedDict, total=False):
    """Settings of a curve that few change; see `Perturbation`."""

    pixels_per_step: int | None
    rank: str
    area: str
    preset: str


@dataclass(frozen=True)
class Perturbation:
    """How positions are replaced, and what is told of it.

    Presets are published protocols; settings that are left at their defaults take the preset's values.

    - "rise": positions ranked by the sum of channels, 224 per step; inserted into RISE's blur and deleted to zero, both
      as a model sees them that normalises by ImageNet's mean and deviation, inside, so that images are given in
      [0, 1]; area with even steps. For another normalisation with mean `m` `[C, 1, 1]` give
      `fill=(lambda x: get_baseline("fill", "blur", x - m) + m, m)`, and for images that were normalised outside the
      model `fill=("blur", 0.0)`. RISE's batches of 5000 images step by 1792.
    - "agi": union of the channels' ranks, black, 224 positions per step, mean of all points.
    - "abe": as "agi", area with even steps. The code of ABE reads what the model gives: with a model that gives logits,
      `readout="logit"`. AttEXplore's and ISA's reads probabilities, as here.
    - "la": single numbers ranked and replaced, black, 672 per step, area with even steps.
    - "laai": as "abe", which the paper's text does not contradict; F-INS and F-DEL with `fill="confusion"`.
    - "quantus": single numbers, 224 per step (its own default is one), each image's smallest value, area with steps of
      length one from the first perturbed point on. It deletes only, and for a class that is given.

    None of them tells in which order equal values come, which here is by index; NumPy's, which they use, is arbitrary.

    Attributes:
        fill: what stands in for a removed position: a baseline (see `get_baseline`); "confusion" or a
            `ConfusionFeature` for the colour about which the model is least certain; or two of these, the first for
            insertion and the second for deletion.
        steps: number of intervals T of a curve.
        pixels_per_step: positions per step instead; the curve is still told at T + 1 even shares, the value is not
            taken from these.
        rank: what is ranked; see `ranks_by`.
        area: what is told of a curve: "trapezoid", "even", "mean" or "unit_steps"; see `AREAS`.
        preset: one of the above, or "toolkit".
        max_batch: the most images per forward pass; changes no result.
    """

    fill: Fill | tuple[Fill, Fill] = "black"
    steps: int = 64
    max_batch: int | None = None
    pixels_per_step: int | None = None
    rank: str = "sum"
    area: str = "trapezoid"
    preset: str = "toolkit"

    def __post_init__(self) -> None:
        one_of("preset", self.preset, PRESETS)
        for name, value in PRESETS[self.preset].items():
            given, default = getattr(self, name), self.__dataclass_fields__[name].default
            if type(given) is type(default) and given == default:
                object.__setattr__(self, name, value)
        fill: Any = self.fill
        if isinstance(fill, list):  # as configs have it; a tuple can be hashed
            object.__setattr__(self, "fill", tuple(fill))
        if isinstance(self.fill, tuple) and len(self.fill) != 2:
            raise ArgumentError("fill", self.fill, "one fill, or two: for insertion and for deletion")
        for each in self.fills.values():
            if not _is_confusion(each):
                check_baseline("fill", each)
        positive_int("steps", self.steps)
        batch_limit("pixels_per_step", self.pixels_per_step)
        batch_limit("max_batch", self.max_batch)
        one_of("rank", self.rank, RANKS)
        one_of("area", self.area, AREAS)

    @property
    def fills(self) -> Mapping[str, Fill]:
        """The fill of each path."""
        insertion, deletion = self.fill if isinstance(self.fill, tuple) else (self.fill, self.fill)
        return {"insertion": insertion, "deletion": deletion}

    @property
    def protocol(self) -> dict[str, Any]:
        """What is computed, in words and numbers that fit into a log."""
        fills = [named(fill) for fill in self.fills.values()]
        per = self.pixels_per_step
        return {
            "preset": self.preset,
            "rank": f"{self.rank} over channels, descending, equal values by index",
            "fill": fills if isinstance(self.fill, tuple) else fills[0],
            "steps": self.steps,
            "cut_points": "floor(j * positions / steps)" if per is None else f"{per} per step",
            "class": "the target; None: the class predicted on the clean input",
            "area": self.area,
        }

    def passes(self, which: Which) -> Passes:
        """Forward passes per sample for these curves; with `pixels_per_step`, for images of 3 x 224 x 224."""
        return total(piece for piece in self._work(which) if piece.per != "model").passes

    @property
    def _inner(self) -> int:
        """Forward passes between the ends of a path."""
        positions = _LARGE if self.rank == "element" else _LARGE // 3
        return (self.steps if self.pixels_per_step is None else -(-positions // self.pixels_per_step)) - 1

    def told(self, which: Which, score: Mapping[str, Any]) -> dict[str, Any]:
        """What `AttributionMetric` is told of a metric of these curves, of which `score` says what is read."""
        return {
            "protocol": self.protocol | dict(score),
            "passes": self.passes(which),
            "points": self.steps + 1,
            "identity": self.fill,
            "shared": list(self._work(which)),
        }

    def _work(self, which: Which) -> Iterator[Work]:
        yield CLEAN
        for path in self.fills if which == "gap" else [which]:
            fill = self.fills[path]
            yield Work(("fill", fill), Passes(1, 0), per="sample")
            key = (path, fill, self.rank, self.steps, self.pixels_per_step)
            yield Work(key, Passes(self._inner, 0))
            if _is_confusion(fill):
                feature = fill if isinstance(fill, ConfusionFeature) else ConfusionFeature()
                yield Work(feature, feature.passes(), per="model")

    def reading(self, explained: Explained, which: Which, row: str, unit: float = 1.0) -> Reading:
        """One quantity along a path, or the difference of both: the areas `[B]`, and the curves `[B, T+1]`.

        Forward passes are made once for all quantities of a path, a fill, a rank and a number of steps.
        """
        value, curve = self._one(explained, "insertion" if which == "gap" else which, row)
        if which == "gap":
            other, against = self._one(explained, "deletion", row)
            value, curve = value - other, curve - against
        return Reading(value / unit, curve / unit)

    def _one(self, explained: Explained, path: Path, row: str) -> tuple[Tensor, Tensor]:
        ranks = explained.once(("ranks", self.rank), lambda: self._ranks(explained))
        positions = ranks.shape[1:].numel()
        cuts = cut_points(positions, self.steps, self.pixels_per_step)
        key = (path, self.fills[path], self.rank, tuple(cuts))
        evidence = explained.once(key, lambda: self._walk(explained, path, ranks, cuts))
        index = explained.evaluation.target.index
        found: Tensor = explained.once((*key, row), lambda: read_along(row, evidence, index, path))
        at = [cut / positions for cut in cuts]
        value = AREAS[self.area](found, at)
        if self.pixels_per_step is not None:
            found = resampled(found, at, self.steps + 1)
        elif self.steps > positions:  # cut points that coincide
            found = found[:, [j * positions // self.steps for j in range(self.steps + 1)]]
        return value, found

    def _ranks(self, explained: Explained) -> Tensor:
        if self.rank == "sum":
            return explained.ranks
        return ranks_by(self.rank, explained.attribution, explained.evaluation.inputs)

    def _walk(self, explained: Explained, path: Path, ranks: Tensor, cuts: list[int]) -> Tensor:
        evaluation, fill = explained.evaluation, self.fills[path]
        filled = filled_end(evaluation, fill, self.max_batch)
        with evaluation.view() as view:
            clean = End(view.inputs, evaluation.evidence)
            start, finish = (filled, clean) if path == "insertion" else (clean, filled)
            return perturbation_curve(view, start, finish, ranks, cuts, self.max_batch)


def filled_end(evaluation: Evaluation, fill: Fill, max_batch: int | None) -> End:
    """The end of a curve where all is filled, made once for each fill."""

    def made() -> End:
        with evaluation.view() as view:
            given = _confusion(evaluation, fill) if _is_confusion(fill) else fill
            images = get_baseline("fill", given, view.inputs)  # type: ignore[arg-type]  # a Baseline by now
            return End(images, view.evidence_at(images, view.rows, max_batch))

    return evaluation.once(("fill", fill), made)


def read_along(row: str, evidence: Tensor, index: Tensor, path: Path) -> Tensor:
    """One quantity `[B, P]` of evidence `[B, P, K]`, a part of the samples at a time, as readouts make copies."""
    points, classes = evidence.shape[1:]
    start, finish = evidence[:, 0], evidence[:, -1]
    ends = (start, finish) if path == "insertion" else (finish, start)
    compared = row.startswith(("kl_baseline", "kl_original"))
    found = []
    samples = torch.arange(len(evidence), device=evidence.device)
    for rows in torch.split(samples, max(1, _AT_ONCE // (points * classes))):
        many = rows.repeat_interleave(points)
        anchors = Anchors(*(end[many] for end in ends)) if compared else None
        found.append(read(row, evidence[rows].flatten(0, 1), index[many], anchors).view(-1, points))
    return torch.cat(found)


def _is_confusion(fill: Fill | tuple[Fill, Fill]) -> bool:
    return isinstance(fill, ConfusionFeature) or (isinstance(fill, str) and fill == "confusion")


def _confusion(evaluation: Evaluation, fill: Fill) -> Tensor:
    """The colour about which the model is least certain; searched for once per model and size of image."""
    feature = fill if isinstance(fill, ConfusionFeature) else ConfusionFeature()
    with torch.inference_mode(False):  # of use outside, too
        found = feature.find(evaluation.model, evaluation.inputs.shape[1:])
        share = found.entropy / torch.tensor(float(evaluation.evidence.shape[1])).log().item()
        if not share >= _CERTAIN:
            message = "the model is certain about every colour that was tried, so that no fill is fair to it"
            rank_zero_warn(f"fill 'confusion': entropy of {share:.2f} of the largest possible; {message}")
        return found.colour.clone()

"""Samples without confidence for a whole training set: SIGMA's walks, shard by shard.

A shard is the same whoever makes it: which sources it has does not depend on the number of processes, and each walk has
random numbers of its own, by the key of its source. So processes share the shards among them, and a run that was killed
is taken up with the next one that is missing.

Of a segmenter's samples it is the confidence in a region that is lost: the mean probability of its class over the true
pixels of the class that has the most of them.
"""

import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn
from torch.utils.data import Dataset
from torchmetrics.functional.image import structural_similarity_index_measure

from lit_attr._checks import ArgumentError, batch_limit, one_of, positive_int
from lit_attr._chunks import default_chunk
from lit_attr._files import readable, require_space
from lit_attr._ranks import on_each_rank, on_rank_zero, rank_and_size
from lit_attr._view import looking_at
from lit_attr.attribution import SIGMA
from lit_attr.bank._progress import Advance, progress_bar, rate
from lit_attr.bank._region import class_of, target_of
from lit_attr.bank.store import Bank, Store, digest_of, in_words
from lit_attr.objectives import prob
from lit_attr.targets import ClassTarget, Target

__all__ = ["Precision", "Stored", "build_bank", "model_hash"]

Stored: TypeAlias = Literal["uint8", "float16"]
Precision: TypeAlias = Literal["32", "bf16"]
Labelled: TypeAlias = tuple[Tensor, int | Tensor]
Samples: TypeAlias = Dataset[tuple[Tensor, int]]
Sources: TypeAlias = Samples | Dataset[Labelled]  # with class indices, or masks

_WALKS, _ELEMENTS = 512, 2**24  # of a shard at most: what is lost when a run is killed, and what is under way at once
_FEW, _ENOUGH = 64, 256  # walks end one after the other, and few that are left make small batches
_PATH = 2**40  # key = path * this + index: more paths leave the walks of the first ones as they are
_SSIM_SIDE = 11  # pixels of its window


def build_bank(  # noqa: PLR0913 - settings of a config
    folder: str | Path,
    model: nn.Module,
    samples: Sources,
    *,
    indices: Sequence[int] | None = None,
    sigma: SIGMA = SIGMA(paths=1),  # noqa: B008 - it is frozen
    stored: Stored = "uint8",
    precision: Precision = "32",
    shard_size: int | None = None,
    background: int | None = 0,
    ignore_index: int = 255,
    advance: Advance | None = None,
) -> Bank:
    """Make the variants without confidence of a data set, or go on with a bank that was begun.

    Size and time are told before it starts. Where there is a process group, every process must call this, with its copy
    of the model; each makes its share of the shards, and the bank is the same for any number of them.

    Args:
        folder: where to write; one that holds another bank is refused.
        model: any module that gives logits; evaluated in eval mode where its parameters are, nothing in it is changed.
        samples: of a length, with items (float `[C, H, W]` in [0, 1], class index), all of one size, and without
            augmentation: an item must be the same whenever it is read. For a segmenter the class of each pixel, an
            integer tensor `[H, W]`, stands in the place of the class index.
        indices: of which samples variants are made; None is all.
        sigma: the walks: number of paths per sample, step sizes, epsilon, seed, and `max_batch` in one forward pass.
        stored: in how many bits; "uint8" is for samples in [0, 1]. The walks see samples that are rounded so.
        precision: "bf16" runs the model in bfloat16 while it walks; the confidence of what is stored is always that in
            full precision.
        shard_size: walks per shard, which are under way at once; None is 512, fewer of large samples or for a small
            bank, which several processes share too. Another number makes the same walks, up to the rounding of sums.
        background: of masks: a class whose region is taken only where there is no other; None for none.
        ignore_index: of masks: the label of pixels that do not count.
        advance: is told of finished variants, in place of a progress bar.

    Raises:
        ValueError: for a setting out of range, samples outside [0, 1] or of several sizes, a mask in which no pixel
            counts, or a class that the model does not have; `BankError` for a folder with another bank or with a shard
            that is not as it was written.
        OSError: where the disk has not enough free space; nothing of another bank is touched.

    Example:
        >>> import tempfile
        >>> samples = [(torch.rand(1, 4, 4), i % 2) for i in range(3)]
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     bank = build_bank(folder, model, samples, sigma=SIGMA(paths=2, steps=4))
        ...     len(bank), bank.image(0).shape
        (6, torch.Size([1, 4, 4]))
    """
    one_of("stored", stored, ["uint8", "float16"])
    one_of("precision", precision, ["32", "bf16"])
    batch_limit("shard_size", shard_size)
    sources = list(range(len(samples)) if indices is None else indices)  # type: ignore[arg-type]
    positive_int("the number of samples", len(sources))
    plan = _Plan(model, samples, sigma, stored, precision, background, ignore_index)
    first = plan.read(sources[:1])[0]
    if stored == "uint8" and (first[0].dim() != 3 or sigma.bounds not in ("auto", (0, 1))):
        raise ArgumentError("stored", stored, "'float16' for what are no images in [0, 1]")
    walks = shard_size or _shard_size(len(sources) * sigma.paths, first[0].numel())
    size = max(1, walks // sigma.paths)
    shards = {
        f"shard_{n:05d}.safetensors": sources[at : at + size] for n, at in enumerate(range(0, len(sources), size))
    }
    store = Store(folder)
    started = time.monotonic()

    def begin() -> tuple[list[str], str]:
        missing = store.begin(_origin(plan, sources, walks, first), list(shards))
        variants = sigma.paths * sum(len(shards[name]) for name in missing)
        if not missing:
            return missing, ""
        needed = variants * (first[0].numel() * (1 if stored == "uint8" else 2) + 64) + 2000 * len(missing)
        require_space(store.folder, needed)
        return missing, f"{readable(needed)}, {plan.duration(sources[:64], variants, rank_and_size()[1])}"

    missing, told = on_rank_zero(begin)
    rank, ranks = rank_and_size()
    mine = missing[rank::ranks]
    total = sigma.paths * sum(len(shards[name]) for name in missing)
    if missing:
        done = f", {len(shards) - len(missing)} of {len(shards)} shards are there" if len(missing) < len(shards) else ""
        rank_zero_info(f"Bank {store.folder}: {total} variants to make{done}; {told}")

    def work() -> None:
        with _shown(advance, sigma.paths * sum(len(shards[name]) for name in mine), rank) as tell:
            for name in mine:
                store.put(name, plan.shard(shards[name], tell), rank)

    on_each_rank(work)
    if missing:
        on_rank_zero(lambda: store.finish(list(shards)))
    opened = list[Bank]()
    on_each_rank(lambda: opened.append(Bank(folder)))  # its columns are read, not sent
    (bank,) = opened
    if missing:
        seconds = time.monotonic() - started
        reached = float(bank.columns["reached"].float().mean())
        rank_zero_info(
            f"Bank {store.folder}: made in {timedelta(seconds=round(seconds))} ({rate(total / max(seconds, 1e-9))}); "
            f"{reached:.1%} of {len(bank)} variants reached a confidence of {sigma.epsilon:g}"
        )
    return bank


def model_hash(state: Mapping[str, Any]) -> str:
    """SHA-256 of a state dict's tensors with their names, by which a bank knows the model it was made with."""
    total = hashlib.sha256()
    for name in sorted(state):
        value = state[name]
        if isinstance(value, Tensor):
            plain = value.detach().cpu().contiguous()
            total.update(f"{name} {plain.dtype} {tuple(plain.shape)}".encode())
            total.update(plain.view(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


@dataclass(frozen=True)
class _Plan:
    """How the variants of some samples are made."""

    model: nn.Module
    samples: Sources
    sigma: SIGMA
    stored: Stored
    precision: Precision
    background: int | None
    ignore_index: int

    @property
    def device(self) -> torch.device:
        return next((parameter.device for parameter in self.model.parameters()), torch.device("cpu"))

    def read(self, indices: Sequence[int]) -> list[Labelled]:
        read = [self.samples[i] for i in indices]
        return [(image, label if isinstance(label, Tensor) and label.dim() else int(label)) for image, label in read]

    def class_of(self, label: int | Tensor) -> int:
        return class_of(label, self.background, self.ignore_index)

    def shard(self, indices: Sequence[int], finished: Advance) -> dict[str, Tensor]:
        """The variants of some samples and what is known of each, on the CPU."""
        images, target, digests = self._batch(indices)
        paths = torch.arange(self.sigma.paths, device=self.device)
        index = torch.tensor(indices, device=self.device)
        keys = paths * _PATH + index[:, None]
        rounded = _levels if self.stored == "uint8" else _half
        with self._precision():
            found = self.sigma.variants(self.model, images, target, keys=keys, stored=rounded, finished=finished)
        each = torch.arange(len(images), device=self.device).repeat_interleave(self.sigma.paths)
        variants, sources = found.samples.flatten(0, 1), images[each]
        confidence = found.confidence
        if self.precision != "32":
            with looking_at(self.model, variants, target.take(each)) as view:
                confidence = view.value(variants, view.rows, prob, self.sigma.max_batch)
        columns = {
            "images": (variants * 255).round().to(torch.uint8) if self.stored == "uint8" else variants.half(),
            "index": index[each],
            "label": target.index[each],
            "path": paths.repeat(len(indices)),
            "key": keys.flatten(),
            "confidence": confidence.flatten().float(),
            "steps": found.steps.flatten().to(torch.int32),
            "reached": confidence.flatten() <= self.sigma.epsilon,
            "l2": (variants - sources).flatten(1).norm(dim=1),
            "ssim": _likeness(variants, sources),
            "digest": torch.tensor(digests)[each.cpu()],
        }
        return {name: values.cpu() for name, values in columns.items()}

    def duration(self, indices: Sequence[int], variants: int, ranks: int) -> str:
        """In words, how long so many take; a step is timed on some samples, their number only known afterwards."""
        images, target, _ = self._batch(indices)
        count = min(default_chunk(images), self.sigma.max_batch or 64)
        rows = torch.arange(count, device=self.device) % len(images)
        images = images[rows]
        with self._precision(), looking_at(self.model, images, target.take(rows)) as view:
            for _ in range(2):  # the first pass makes things ready
                began = time.perf_counter()
                view.value(images, view.rows, prob).sum().item()
        step = 3 * (time.perf_counter() - began) / len(images)
        steps = [min(50, self.sigma.steps), self.sigma.steps]
        some, most = (timedelta(seconds=round(n * step * variants / ranks)) for n in steps)
        return f"{some} if {steps[0]} steps each suffice, at most {most}"

    def _batch(self, indices: Sequence[int]) -> tuple[Tensor, Target, list[int]]:
        """Images and what of them loses its confidence, on the device of the model, and the digests."""
        read = self.read(indices)
        shapes = {tuple(image.shape) for image, _ in read}
        if len(shapes) > 1:
            raise ArgumentError("samples", f"shapes {', '.join(map(str, sorted(shapes)))}", "of one shape")
        images = torch.stack([image for image, _ in read]).to(self.device)
        masks = [label for _, label in read if isinstance(label, Tensor)]
        target: Target
        if masks:
            target = target_of(torch.stack(masks).to(self.device), self.background, self.ignore_index)
        else:
            target = ClassTarget(torch.tensor([int(label) for _, label in read], device=self.device))
        return images, target, [digest_of(*one) for one in read]

    def _precision(self) -> AbstractContextManager[object]:
        return nullcontext() if self.precision == "32" else torch.autocast(self.device.type, torch.bfloat16)


def _origin(plan: _Plan, sources: Sequence[int], shard_size: int, first: Labelled) -> dict[str, Any]:
    """What the variants come from, in plain values; the samples by their number and by some of them."""
    told = hashlib.sha256(repr(sources).encode())
    some = sources[:: max(1, len(sources) // 16)]
    told.update(repr([(digest_of(image, label), plan.class_of(label)) for image, label in plan.read(some)]).encode())
    settings = {k: in_words(v) for k, v in dataclasses.asdict(plan.sigma).items() if k not in {"absolute", "max_batch"}}
    masked = {"background": plan.background, "ignore_index": plan.ignore_index}
    return {
        **(masked if isinstance(first[1], Tensor) else {}),
        "model": model_hash(plan.model.state_dict()),
        "samples": told.hexdigest(),
        "sources": len(sources),
        "shape": list(first[0].shape),
        "sigma": settings,
        "stored": plan.stored,
        "precision": plan.precision,
        "shard_size": shard_size,
    }


def _shard_size(walks: int, elements: int) -> int:
    """A sixteenth of all, of few up to a half, but neither few nor too many to be under way at once."""
    wanted = max(_FEW, min(_ENOUGH, -(-walks // 2)), -(-walks // 16))
    return max(1, min(_WALKS, _ELEMENTS // elements, wanted))


def _shown(advance: Advance | None, total: int, rank: int) -> AbstractContextManager[Advance]:
    if advance is not None:
        return nullcontext(advance)
    ignore: Callable[[int], object] = lambda count: None  # noqa: ARG005, E731
    return nullcontext(ignore) if rank else progress_bar("Variants", total)


def _levels(points: Tensor) -> Tensor:
    return (points * 255).round() / 255


def _half(points: Tensor) -> Tensor:
    return points.half().to(points.dtype)


def _likeness(variants: Tensor, sources: Tensor) -> Tensor:
    """SSIM of each variant and its source, `[N]`."""
    if variants.dim() != 4 or min(variants.shape[2:]) < _SSIM_SIDE:
        return variants.new_full((len(variants),), torch.nan)
    found = [
        structural_similarity_index_measure(a, b, data_range=1.0, reduction="none")
        for a, b in zip(torch.split(variants, 64), torch.split(sources, 64), strict=True)
    ]
    return torch.cat([value.view(-1) for value in found])  # type: ignore[union-attr]

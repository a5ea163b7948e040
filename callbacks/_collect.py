"""What callbacks share: the fixed samples of a validation set, and the records of all ranks."""

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.strategies import DeepSpeedStrategy, FSDPStrategy, ModelParallelStrategy
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
)

from lit_attr._checks import ArgumentError
from lit_attr.datamodules._items import INPUTS, LABELS

T = TypeVar("T")

_MASKS = ("mask", "masks")
_BOXES = ("box", "boxes", "bbox")


class Samples(NamedTuple):
    """A few chosen samples on the module's device."""

    order: list[int]
    """Their places among all chosen ones, 0 for the first."""
    numbers: list[int]
    """Their places in the data set."""
    images: Tensor
    labels: Tensor
    """Class indices, `[B]`; of a segmenter those of each pixel, `[B, H, W]`."""
    masks: Tensor | None = None
    """Where the labelled object is, bool `[B, H, W]`, where the batch knows."""


def require_whole_model(trainer: L.Trainer) -> None:
    """Refuse strategies that spread one model over devices: each rank explains samples of its own, in its own passes.

    A pass of such a model waits for the other ranks, which make another number of passes.
    """
    if isinstance(trainer.strategy, FSDPStrategy | ModelParallelStrategy | DeepSpeedStrategy):
        accepted = "a strategy that keeps the whole model on each device (ddp) where explanations are computed"
        raise ArgumentError("trainer.strategy", type(trainer.strategy).__name__, accepted)


def choose(size: int, count: int, seed: int) -> list[int]:
    """`count` different indices of a data set of `size`, the same for every call with this seed; all where it is small.

    Example:
        >>> choose(5, 3, seed=0) == choose(5, 3, seed=0), len(set(choose(5, 3, seed=0))), len(choose(5, 9, seed=0))
        (True, 3, 5)
    """
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))[:count].tolist()


def choose_samples(trainer: L.Trainer, count: int, seed: int) -> list[int]:
    """`count` of the samples that are validated, or tested, by their places in the data set."""
    batches = trainer.num_test_batches if trainer.testing else trainer.num_val_batches
    numbers = sample_numbers(validation_loader(trainer), trainer.world_size, batches[0])
    return [numbers[place] for place in choose(len(numbers), count, seed)]


def validation_loader(trainer: L.Trainer) -> DataLoader[Any]:
    """The first validation loader, in a test the first one of it; refused where samples have no number."""
    loaders = trainer.test_dataloaders if trainer.testing else trainer.val_dataloaders
    loader = next(iter(CombinedLoader(loaders).flattened), None)
    dataset = getattr(loader, "dataset", None)
    countable = dataset is not None and not isinstance(dataset, IterableDataset) and hasattr(dataset, "__len__")
    if not isinstance(loader, DataLoader) or not countable or loader.collate_fn is None:
        msg = (
            "explanations and attacks need a DataLoader over a map-style data set (with __len__ and __getitem__), "
            f"got {type(loader).__name__} over {type(dataset).__name__}"
        )
        raise TypeError(msg)
    return loader


def sample_numbers(loader: DataLoader[Any], world_size: int = 1, batches: float = math.inf) -> Sequence[int]:
    """The samples of the data set that the loader gives, refused where its sampler does not say which.

    A loader over a part of a data set (`SubsetRandomSampler`) gives that part only; one that does not shuffle gives,
    in `batches` batches on each of `world_size` processes (`limit_val_batches`), the first samples only.
    """
    sampler: Any = loader.sampler if loader.batch_size is not None else getattr(loader.batch_sampler, "sampler", None)
    if isinstance(sampler, DistributedSampler):  # of Lightning: it wraps the loader's own
        sampler = getattr(sampler.dataset, "_sampler", sampler)
    if isinstance(sampler, SubsetRandomSampler):
        return list(sampler.indices)
    if isinstance(sampler, SequentialSampler | RandomSampler | DistributedSampler):
        size = len(loader.dataset)  # type: ignore[arg-type]  # `validation_loader` has asked for a length
        in_order = isinstance(sampler, SequentialSampler) or not getattr(sampler, "shuffle", True)
        batch_size: float = getattr(loader.batch_sampler, "batch_size", loader.batch_size or math.inf)
        given = batches * batch_size * world_size
        return range(int(min(size, given)) if in_order else size)
    msg = (
        f"explanations cannot tell which samples a validation loader with {type(sampler).__name__} gives; accepted: "
        "SequentialSampler, RandomSampler, SubsetRandomSampler, DistributedSampler (or torch.utils.data.Subset)"
    )
    raise TypeError(msg)


def own_samples(
    trainer: L.Trainer, module: L.LightningModule, chosen: Sequence[int], size: int, *, dense: bool = False
) -> Iterator[Samples]:
    """This rank's share of the chosen samples in batches of `size`; see `samples_of`."""
    mine = range(trainer.global_rank, len(chosen), trainer.world_size)
    yield from samples_of(trainer, module, chosen, mine, size, dense=dense)


def _moved(trainer: L.Trainer, module: L.LightningModule, items: list[Any]) -> Any:
    """The batch of some items."""
    batch = validation_loader(trainer).collate_fn(items)
    batch = trainer.precision_plugin.convert_input(batch)
    batch = module._on_before_batch_transfer(batch, dataloader_idx=0)  # as Lightning's own evaluation loop does
    return trainer.strategy.batch_to_device(batch, module.device, dataloader_idx=0)


def samples_of(
    trainer: L.Trainer,
    module: L.LightningModule,
    chosen: Sequence[int],
    mine: Sequence[int],
    size: int,
    *,
    dense: bool = False,
) -> Iterator[Samples]:
    """The chosen samples at the places `mine` in batches of at most `size`, moved as Lightning moves a batch.

    A batch has inputs of one size: what small ones are filled up with would be explained, too. Samples with NaN or
    infinity are left out, with a warning that names them. With `dense`, labels may be those of each pixel.
    """
    dataset = validation_loader(trainer).dataset
    for start in range(0, len(mine), size):
        items = ((place, dataset[chosen[place]]) for place in mine[start : start + size])
        for _, alike in groupby(items, key=lambda item: _size(item[1])):
            order, loaded = map(list, zip(*alike, strict=True))
            found = _samples(order, [chosen[place] for place in order], _moved(trainer, module, loaded), dense=dense)
            if found.order:
                yield found


def _size(item: Any) -> tuple[int, ...] | None:
    """Of the inputs in an item; None where they are not to be seen."""
    if isinstance(item, Mapping):
        inputs = next((item[key] for key in INPUTS if key in item), None)
    else:
        inputs = item[0] if isinstance(item, tuple | list) and item else item
    return tuple(inputs.shape) if isinstance(inputs, Tensor) else None


def _samples(order: list[int], index: list[int], batch: Any, *, dense: bool) -> Samples:
    images, labels = _inputs_and_labels(batch, dense=dense)
    masks = _masks(batch, images)
    finite = images.flatten(1).isfinite().all(1)
    kept = finite.nonzero().flatten().tolist()
    if len(kept) < len(index):
        lost = sorted(set(index) - {index[i] for i in kept})
        warnings.warn(f"not explained: samples {lost} of the validation set have NaN or infinity", stacklevel=2)
    masks = masks if masks is None else masks[finite]
    return Samples([order[i] for i in kept], [index[i] for i in kept], images[finite], labels[finite], masks)


def _inputs_and_labels(batch: Any, *, dense: bool) -> tuple[Tensor, Tensor]:
    """Inputs `[B, ...]` and class indices `[B]`; with `dense` also those of each pixel `[B, H, W]`."""
    if isinstance(batch, Mapping):
        found = [next((batch[key] for key in keys if key in batch), None) for keys in (INPUTS, LABELS)]
        got = f"a mapping with {', '.join(map(str, batch))}"
    else:
        found = list(batch[:2]) if isinstance(batch, tuple | list) else []
        got = f"{type(batch).__name__} of {', '.join(type(item).__name__ for item in found) or 'nothing'}"
    inputs, labels = [*found, None, None][:2]
    if not (isinstance(inputs, Tensor) and isinstance(labels, Tensor)):
        msg = (
            "a validation batch must be a tuple (inputs, labels) of tensors, or a mapping with inputs under one of "
            f"{', '.join(INPUTS)} and labels under one of {', '.join(LABELS)}; got {got}"
        )
        raise TypeError(msg)
    of_pixels = dense and inputs.dim() == 4 and labels.dim() == 3 and not labels.is_floating_point()
    if not of_pixels:
        return inputs, _class_indices(labels)
    if labels.shape != (len(inputs), *inputs.shape[2:]):
        got = f"images {tuple(inputs.shape)} with masks {tuple(labels.shape)}"
        msg = f"what is explained of a segmenter needs masks of the images' size [B, H, W]; got {got}"
        raise TypeError(msg)
    return inputs, labels.long()


def _masks(batch: Any, images: Tensor) -> Tensor | None:
    """Bool `[B, H, W]` of a mask or a box per sample; None where the batch has neither."""
    if isinstance(batch, Mapping):
        found = next((batch[key] for key in _MASKS if key in batch), None)
        boxes = next((batch[key] for key in _BOXES if key in batch), None)
    else:
        found, boxes = (batch[2] if len(batch) > 2 else None), None
    if isinstance(boxes, Tensor) and boxes.shape == (len(images), 4):
        y, x = (torch.arange(size, device=images.device) for size in images.shape[-2:])
        left, top, right, bottom = boxes.to(images.device)[:, :, None, None].unbind(1)
        return (x >= left) & (x < right) & (y[:, None] >= top) & (y[:, None] < bottom)
    single = (len(images), *images.shape[2:])
    if isinstance(found, Tensor) and found.shape in {single, (len(images), 1, *images.shape[2:])}:
        return found.view(single) != 0
    return None


def _class_indices(labels: Tensor) -> Tensor:
    """Labels `[B]`, `[B, 1]` or one-hot `[B, K]` as class indices `[B]`."""
    if labels.dim() == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dim() == 2 and bool(((labels == 0) | (labels == 1)).all() and (labels.sum(1) == 1).all()):
        labels = labels.argmax(1)
    if labels.dim() != 1 or labels.is_floating_point():
        got = f"{labels.dtype} {tuple(labels.shape)}"
        msg = f"the labels of a validation batch must be class indices [B], or one-hot [B, K]; got {got}"
        raise TypeError(msg)
    return labels


def gather(items: list[T]) -> list[T]:
    """The items of all ranks, in the order of the ranks; every rank must call it."""
    if not (dist.is_available() and dist.is_initialized()):
        return items
    every: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(every, items)
    return [item for part in every for item in part]


def class_name(trainer: L.Trainer) -> Callable[[int], str]:
    """From a class index to its name where the data module knows names, else to the number."""
    try:
        names = getattr(getattr(trainer, "datamodule", None), "class_names", None)
    except (OSError, ValueError):  # names that are read from a folder that is not there, as in predict
        names = None
    return lambda index: str(names[index]) if names is not None and index < len(names) else str(index)

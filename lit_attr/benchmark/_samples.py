"""A few samples of whatever holds data."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from lit_attr._checks import ArgumentError
from lit_attr._guard import private_rng

_INPUTS = ("image", "images", "pixel_values", "input", "inputs", "x")
_LABELS = ("label", "labels", "target", "targets", "y")
_ACCEPTED = "a tensor [B, ...], batches, a DataLoader or a LightningDataModule with a validation set"


class Sampled(NamedTuple):
    """Inputs `[N, ...]` and labels `[N]`, None where the data has none."""

    inputs: Tensor
    labels: Tensor | None


def take(data: Any, count: int, seed: int) -> Sampled:
    """At most `count` samples.

    Args:
        data: a tensor of inputs; a batch (inputs, labels); batches, each a tensor, a tuple that begins with inputs and
            labels, or a mapping; a DataLoader; a LightningDataModule, of which the first validation loader is used.
        count: how many.
        seed: draws them from a data set that can be asked for a sample by number; of anything else they are the first.

    Raises:
        ArgumentError: for data of another kind, or without a sample.
    """
    with private_rng():  # loaders draw from the global state
        found: list[Sampled] = []
        for batch in _batches(data, count, seed):
            found.append(_read(batch))
            if sum(len(part.inputs) for part in found) >= count:
                break
    if not found or not any(len(part.inputs) for part in found):
        raise ArgumentError("data", "no sample", _ACCEPTED)
    inputs = torch.cat([part.inputs for part in found])[:count]
    labels = [part.labels for part in found if part.labels is not None]
    return Sampled(inputs, torch.cat(labels)[:count] if len(labels) == len(found) else None)


def _batches(data: Any, count: int, seed: int) -> Iterable[Any]:
    if hasattr(data, "val_dataloader"):
        data.prepare_data()
        data.setup("validate")
        data = data.val_dataloader()
        data = data[0] if isinstance(data, list | tuple) else data
    if isinstance(data, Tensor) or (isinstance(data, tuple) and data and isinstance(data[0], Tensor)):
        return [data]
    if isinstance(data, DataLoader) and not isinstance(data.dataset, IterableDataset) and data.batch_size:
        size = len(data.dataset)  # type: ignore[arg-type]  # what has no `__iter__` of its own has a length
        order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))[:count].tolist()
        return [data.collate_fn([data.dataset[index] for index in order])]
    if not isinstance(data, Iterable):
        raise ArgumentError("data", type(data).__name__, _ACCEPTED)
    return data


def _read(batch: Any) -> Sampled:
    if isinstance(batch, Mapping):
        parts = [next((batch[key] for key in keys if key in batch), None) for keys in (_INPUTS, _LABELS)]
    else:
        parts = list(batch[:2]) if isinstance(batch, tuple | list) else [batch]
    inputs, labels = [*parts, None][:2]
    if not isinstance(inputs, Tensor):
        raise ArgumentError("data", f"a batch with {type(inputs).__name__} for inputs", _ACCEPTED)
    whole = isinstance(labels, Tensor) and labels.shape == inputs.shape[:1] and not labels.is_floating_point()
    return Sampled(inputs, labels if whole else None)

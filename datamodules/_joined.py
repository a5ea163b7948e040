"""A training loader with more samples."""

from typing import Any

from torch.utils.data import ConcatDataset, DataLoader, Dataset, RandomSampler, SequentialSampler

from lit_attr._checks import ArgumentError

_KEPT = (
    "batch_size num_workers collate_fn pin_memory drop_last timeout worker_init_fn multiprocessing_context generator "
    "prefetch_factor persistent_workers"
)


def the_loader(loader: Any) -> DataLoader[Any]:
    """The training loader of a data module, refused where it is none that can be made again with more samples."""
    sampler = getattr(loader, "sampler", None)
    chance = isinstance(sampler, RandomSampler) and not sampler.replacement and sampler._num_samples is None
    if not (type(loader) is DataLoader and loader.batch_size and (chance or isinstance(sampler, SequentialSampler))):
        accepted = "a data module with one training DataLoader that has a batch size and goes through its data set once"
        sampled = f" with {type(sampler).__name__}" if sampler is not None else ""
        raise ArgumentError("base", f"{type(loader).__name__}{sampled}", accepted)
    return loader


def with_more(loader: DataLoader[Any], more: Dataset[Any]) -> DataLoader[Any]:
    """The loader over its data set and another; what was shuffled is shuffled together."""
    settings = {name: getattr(loader, name) for name in _KEPT.split()}
    shuffle = isinstance(loader.sampler, RandomSampler)
    return DataLoader(ConcatDataset([loader.dataset, more]), shuffle=shuffle, **settings)

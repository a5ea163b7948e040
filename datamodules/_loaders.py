"""What the data modules share: their loaders, and what they say where there are no data sets yet."""

from typing import Any, TypeVar

import lightning as L
import torch
from torch.utils.data import DataLoader, Dataset

from lit_attr._checks import ArgumentError
from lit_attr.datamodules._distributed import ExactSampler, equal_batches, size_of
from lit_attr.datamodules._sources import Part
from lit_attr.datamodules.predict import AtLeast, PredictFolder

D = TypeVar("D")


class Loaders(L.LightningDataModule):
    """Base of the data modules. A subclass sets the fields in its constructor, and makes data sets by `_dataset`."""

    batch_size: int
    num_workers: int
    channels: int
    predict_path: str | None
    _evaluation_transform: Any
    train_dataset: Any = None
    val_dataset: Any = None
    test_dataset: Any = None
    predict_dataset: PredictFolder | None = None

    @property
    def evaluation_batch(self) -> int:
        """Images per batch and process in evaluation."""
        return self.batch_size

    @property
    def prediction_batch(self) -> int:
        """Images per batch and process in prediction."""
        return self.batch_size

    def setup(self, stage: str | None = None) -> None:
        """Make the data sets of a stage that are not there yet.

        Args:
            stage: `fit`, `validate`, `test` or `predict`; None for all that have labels or masks.
        """
        if stage in {"fit", None} and self.train_dataset is None:
            self.train_dataset = self._dataset("train")
        if stage in {"fit", "validate", None} and self.val_dataset is None:
            self.val_dataset = self._dataset("val")
        if stage in {"test", None} and self.test_dataset is None:
            self.test_dataset = self._dataset("test")
        if stage == "predict" and self.predict_dataset is None:
            if self.predict_path is None:
                raise ArgumentError("predict_path", None, "given to predict: --data.predict_path=<file or folder>")
            self.predict_dataset = PredictFolder(self.predict_path, self.channels, self._evaluation_transform)

    def teardown(self, stage: str) -> None:
        """Forget the files to predict on: the next run looks again which there are."""
        if stage == "predict":
            self.predict_dataset = None

    def train_dataloader(self) -> DataLoader[Any]:
        """Augmented images in random order."""
        dataset = _ready(self.train_dataset, "fit")
        # a last batch of one image would break batch normalisation; a process's only batch is kept
        return self._loader(dataset, shuffle=True, drop_last=size_of(dataset) // self._world_size > self.batch_size)

    def val_dataloader(self) -> DataLoader[Any]:
        """Validation images in order."""
        return self._exact_loader(_ready(self.val_dataset, "validate"))

    def test_dataloader(self) -> DataLoader[Any]:
        """Test images in order."""
        return self._exact_loader(_ready(self.test_dataset, "test"))

    def predict_dataloader(self) -> DataLoader[Any]:
        """What is left of `predict_dataset`, in order; of fewer files than processes, some get an empty batch."""
        dataset = _ready(self.predict_dataset, "predict")
        few = 0 < len(dataset) < self._world_size
        files = AtLeast(dataset, self._world_size) if few else dataset
        return self._loader(files, self.prediction_batch, collate_fn=dataset.collate)

    def _dataset(self, part: Part) -> Any:
        """The images of a part with what is known of them."""
        raise NotImplementedError

    @property
    def _world_size(self) -> int:
        return 1 if self.trainer is None else self.trainer.world_size

    def _exact_loader(self, dataset: Dataset[Any]) -> DataLoader[Any]:
        """For evaluation: over several processes every sample is still used once."""
        if self.trainer is None or self._world_size == 1:
            return self._loader(dataset, self.evaluation_batch)
        size = equal_batches(size_of(dataset), self._world_size, self.evaluation_batch)
        sampler = ExactSampler(dataset, self._world_size, self.trainer.global_rank)
        return self._loader(dataset, size, sampler=sampler)

    def _loader(self, dataset: Dataset[Any], batch_size: int | None = None, **settings: Any) -> DataLoader[Any]:
        settings.setdefault("collate_fn", getattr(dataset, "collate", None))  # where a data set has its own
        return DataLoader(
            dataset,
            batch_size=batch_size or self.batch_size,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            **settings,
        )


def _ready(dataset: D | None, stage: str) -> D:
    if dataset is None:
        msg = f"the data of stage '{stage}' is not there yet: call setup('{stage}') first"
        raise RuntimeError(msg)
    return dataset

"""Images without labels: a file, or all files below a folder."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from lit_attr._checks import ArgumentError
from lit_attr.datamodules.augmentation import Transform
from lit_attr.datamodules.reading import EXTENSIONS, ImageReadError, is_image_name, read_image


class PredictBatch(NamedTuple):
    """A batch to predict on.

    Attributes:
        image: the readable images, float32 [B, C, H, W] in [0, 1]; B can be 0.
        names: the name of each row of `image`.
        errors: name and cause of each file that could not be read.
        sizes: height and width that each image has in its file; none where nobody says.
    """

    image: Tensor
    names: list[str]
    errors: list[tuple[str, str]]
    sizes: Sequence[tuple[int, int]] = ()


Item = tuple[str, Tensor | str, tuple[int, int]]


class PredictFolder(Dataset[Item]):
    """A file, or all images below a folder in the order of their names.

    An item is (name, image, height and width in the file), or (name, cause, (0, 0)) for a file that cannot be read, so
    that one broken file among thousands does not end a run; `collate` makes batches of them.

    Args:
        path: an image file, or a folder searched with all folders below it. Hidden files are left out.
        channels: 1 or 3; the images are converted to it.
        transform: from uint8 [channels, H, W] to float32 [channels, size, size].

    Attributes:
        paths: the files.
        names: their paths relative to the folder, with forward slashes; of a single file its name.

    Raises:
        ArgumentError: where `path` is missing or holds no image.
    """

    def __init__(self, path: str | Path, channels: int, transform: Transform) -> None:
        path = Path(path).expanduser()
        if not path.exists():
            raise ArgumentError("predict_path", path, "an image file or a folder with images")
        root = path if path.is_dir() else path.parent
        found = [p for p in path.rglob("*") if p.is_file() and is_image_name(p)] if path.is_dir() else [path]
        if not found:
            raise ArgumentError("predict_path", path, f"a folder with images ({', '.join(EXTENSIONS)})")
        named = sorted((p.relative_to(root).as_posix(), p) for p in found)
        self.names = [name for name, _ in named]
        self.paths = [p for _, p in named]
        self.channels = channels
        self.transform = transform

    def skip(self, names: Collection[str]) -> None:
        """Drop files that are finished, by name; unknown names are ignored."""
        done = set(names)
        left = [(name, path) for name, path in zip(self.names, self.paths, strict=True) if name not in done]
        self.names = [name for name, _ in left]
        self.paths = [path for _, path in left]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Item:
        try:
            image = read_image(self.paths[index], self.channels)
        except ImageReadError as error:
            return self.names[index], error.cause, (0, 0)
        return self.names[index], self.transform(image), (image.shape[1], image.shape[2])

    def collate(self, found: Sequence[Item | None]) -> PredictBatch:
        """The batch of some items: the images stacked, the unreadable files apart, None left out."""
        items = [item for item in found if item is not None]
        images = [image for _, image, _ in items if isinstance(image, Tensor)]
        names = [name for name, image, _ in items if isinstance(image, Tensor)]
        sizes = [size for _, image, size in items if isinstance(image, Tensor)]
        errors = [(name, cause) for name, cause, _ in items if isinstance(cause, str)]
        if not images:
            blank = self.transform(torch.zeros(self.channels, 1, 1, dtype=torch.uint8))
            return PredictBatch(blank.new_empty(0, *blank.shape), names, errors)
        return PredictBatch(torch.stack(images), names, errors, sizes)


class AtLeast(Dataset[Item | None]):
    """A folder with None behind its last file, up to `size` items.

    Lightning stops a run in which some process has nothing to predict on: the few files that a killed run left, or the
    broken ones that are tried again, may be fewer than the processes.
    """

    def __init__(self, folder: PredictFolder, size: int) -> None:
        self.folder = folder
        self.size = size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, index: int) -> Item | None:
        return self.folder[index] if index < len(self.folder) else None

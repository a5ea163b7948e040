"""Images without labels, broken ones among them."""

import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from lit_attr.datamodules import ImageDataModule, PredictBatch, PredictFolder
from lit_attr.datamodules.augmentation import evaluation_transform

TRANSFORM = evaluation_transform(8, margin=False)


@pytest.fixture
def folder(tmp_path):
    """Three readable images, a cut-off one, an empty one, and files that are no images."""
    (tmp_path / "sub").mkdir()
    for i, name in enumerate(["b.png", "a.JPG", "sub/c.bmp"]):
        Image.fromarray(np.full((10, 12, 3), 50 * i, dtype=np.uint8)).save(tmp_path / name)
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:900])
    (tmp_path / "sub" / "empty.png").touch()
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / ".hidden.png").write_text("")
    return tmp_path


def test_files_are_found_below_and_sorted(folder):
    dataset = PredictFolder(folder, 3, TRANSFORM)
    assert dataset.names == ["a.JPG", "b.png", "cut.png", "sub/c.bmp", "sub/empty.png"]
    assert dataset.paths == [folder / name for name in dataset.names]


def test_broken_files_are_reported_and_the_rest_goes_on(folder):
    dataset = PredictFolder(folder, 3, TRANSFORM)
    batch = dataset.collate([dataset[i] for i in range(len(dataset))])
    assert isinstance(batch, PredictBatch)
    assert batch.names == ["a.JPG", "b.png", "sub/c.bmp"]
    assert batch.sizes == [(10, 12)] * 3
    assert batch.image.shape == (3, 3, 8, 8)
    np.testing.assert_allclose(batch.image.mean((1, 2, 3)), [50 / 255, 0, 100 / 255], atol=1e-2)
    assert [name for name, _ in batch.errors] == ["cut.png", "sub/empty.png"]
    assert "truncated" in batch.errors[0][1]
    assert batch.errors[1][1] == "the file is empty"


@pytest.mark.parametrize("channels", [1, 3])
def test_batch_without_a_readable_image(folder, channels):
    dataset = PredictFolder(folder / "sub" / "empty.png", channels, TRANSFORM)
    batch = dataset.collate([dataset[0]])
    assert batch.image.shape == (0, channels, 8, 8)
    assert batch.image.dtype == torch.float32
    assert (batch.names, batch.errors) == ([], [("empty.png", "the file is empty")])


def test_single_file(folder):
    dataset = PredictFolder(str(folder / "sub" / "c.bmp"), 1, TRANSFORM)
    assert (dataset.names, dataset.paths) == (["c.bmp"], [folder / "sub" / "c.bmp"])
    name, image, size = dataset[0]
    assert (name, size) == ("c.bmp", (10, 12))
    torch.testing.assert_close(image, torch.full((1, 8, 8), 100 / 255))


def test_skip(folder):
    dataset = PredictFolder(folder, 3, TRANSFORM)
    dataset.skip({"a.JPG", "sub/empty.png", "never seen"})
    assert dataset.names == ["b.png", "cut.png", "sub/c.bmp"]
    assert dataset.paths == [folder / name for name in dataset.names]
    dataset.skip(dataset.names)
    assert len(dataset) == 0


def test_missing_path_and_folder_without_images(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=rf"`predict_path` must be a folder with images \(.bmp, .*got .*{tmp_path}"):
        PredictFolder(tmp_path, 3, TRANSFORM)
    with pytest.raises(ValueError, match=r"`predict_path` must be an image file or a folder with images, got .*none"):
        PredictFolder(tmp_path / "none", 3, TRANSFORM)


def test_pickles_for_workers(folder):
    dataset = pickle.loads(pickle.dumps(PredictFolder(folder, 3, TRANSFORM)))
    assert torch.equal(dataset[1][1], PredictFolder(folder, 3, TRANSFORM)[1][1])


@pytest.mark.parametrize(("world_size", "rows"), [(1, [1]), (3, [1, 0, 0])])
def test_fewer_files_than_processes(tmp_path, world_size, rows):
    """Every process needs a batch, or Lightning stops the run: an empty one where no file is left."""
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    data = ImageDataModule(size=8, batch_size=1, predict_path=str(tmp_path))
    data.trainer = SimpleNamespace(world_size=world_size)
    data.setup("predict")
    batches = list(data.predict_dataloader())
    assert [len(batch.names) for batch in batches] == rows
    assert [tuple(batch.image.shape) for batch in batches] == [(count, 1, 8, 8) for count in rows]
    assert not any(batch.errors for batch in batches)

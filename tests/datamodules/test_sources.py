"""The data sets that fit into memory, from real files of a few images."""

import pytest
import torch

from lit_attr.datamodules._catalog import SOURCES


def test_digits_against_scikit_learn():
    from sklearn.datasets import load_digits

    source = SOURCES["digits"]
    train, test = (source.load(None, part) for part in ("train", "test"))
    assert (len(train.labels), len(test.labels)) == (1527, 270)
    assert train.images.shape == (1527, 1, 8, 8)
    assert (train.images.min(), train.images.max()) == (0, 255)
    together = torch.cat([train.images, test.images])
    expected = torch.from_numpy(load_digits().images)[:, None] / 16
    assert (together.double() / 255 - expected[order(train, test, expected)]).abs().max() <= 0.5 / 255
    assert (test.labels.bincount() >= 26).all()


def order(train, test, expected):
    """Indices of train and test in the whole set, found by their pixels."""
    key = {tuple(row): i for i, row in enumerate((expected * 255).round().byte().flatten(1).tolist())}
    assert len(key) == len(expected)  # no picture twice, so disjoint parts are disjoint in content
    found = [key[tuple(row)] for row in torch.cat([train.images, test.images]).flatten(1).tolist()]
    assert sorted(found) == list(range(len(expected)))
    return found


def test_digits_constants_are_the_measured_ones():
    from lit_attr.datamodules.augmentation import evaluation_transform

    source = SOURCES["digits"]
    images = evaluation_transform(source.size, margin=False)(source.load(None, "train").images)
    assert images.mean().item() == pytest.approx(source.mean[0], abs=1e-3)
    assert images.std().item() == pytest.approx(source.std[0], abs=1e-3)


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_mnist(tmp_path, write_mnist, name, folder):
    write_mnist(tmp_path, folder)
    train, test = (SOURCES[name].load(tmp_path, part) for part in ("train", "test"))
    assert train.images.shape == (40, 1, 28, 28)
    assert test.images.shape == (10, 1, 28, 28)
    assert train.labels.tolist() == [i % 10 for i in range(40)]
    raw = (tmp_path / folder / "raw" / "train-images-idx3-ubyte").read_bytes()[16:]
    assert train.images.flatten().tolist() == list(raw)


@pytest.mark.parametrize(("name", "classes", "count"), [("cifar10", 10, 100), ("cifar100", 100, 20)])
def test_cifar(tmp_path, write_cifar, name, classes, count):
    write_cifar(tmp_path, classes)
    train, test = (SOURCES[name].load(tmp_path, part) for part in ("train", "test"))
    assert train.images.shape == (count, 3, 32, 32)
    assert test.images.shape == (20, 3, 32, 32)
    assert train.labels[:20].tolist() == [k % classes for k in range(20)]


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar100"])
class TestDownload:
    def test_exactly_when_files_are_missing(self, tmp_path, monkeypatch, write_mnist, write_cifar, name):
        source, calls = SOURCES[name], []

        def download(self):
            calls.append(name)
            if "cifar" in name:
                write_cifar(tmp_path, 10 if name == "cifar10" else 100)
            else:
                write_mnist(tmp_path, source.cls.__name__)

        monkeypatch.setattr(source.cls, "download", download)
        source.prepare(tmp_path)
        assert calls == [name]
        source.prepare(tmp_path)
        assert calls == [name]

    def test_failure_is_explained(self, tmp_path, monkeypatch, name):
        def download(self):
            raise RuntimeError("no network")

        monkeypatch.setattr(SOURCES[name].cls, "download", download)
        with pytest.raises(OSError, match=f"is not in '{tmp_path}' and cannot be downloaded: no network"):
            SOURCES[name].prepare(tmp_path)

    def test_loading_never_downloads(self, tmp_path, monkeypatch, name):
        monkeypatch.setattr(SOURCES[name].cls, "download", lambda self: pytest.fail("download"))
        with pytest.raises(FileNotFoundError, match=f"{SOURCES[name].cls.__name__} is missing or damaged in"):
            SOURCES[name].load(tmp_path, "train")

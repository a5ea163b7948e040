"""Tiny data sets in the real formats, written on the spot."""

import pickle
import struct
from pathlib import Path

import numpy as np
from PIL import Image


def _bytes(seed, *shape):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_mnist(root, name="MNIST", train=40, test=10):
    """MNIST's or Fashion-MNIST's four IDX files."""
    folder = Path(root) / name / "raw"
    folder.mkdir(parents=True)
    for prefix, n in {"train": train, "t10k": test}.items():
        images, labels = _bytes(n, n, 28, 28), np.arange(n, dtype=np.uint8) % 10
        (folder / f"{prefix}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 2051, n, 28, 28) + images.tobytes())
        (folder / f"{prefix}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 2049, n) + labels.tobytes())


def write_cifar(root, classes=10, per_batch=20):
    """CIFAR's pickled batches; their MD5 sums are not those of the real ones (see `accept_any_cifar`)."""
    cifar10 = classes == 10
    folder = Path(root) / ("cifar-10-batches-py" if cifar10 else "cifar-100-python")
    folder.mkdir(parents=True)
    batches = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"] if cifar10 else ["train", "test"]
    for i, batch in enumerate(batches):
        key = "labels" if cifar10 else "fine_labels"
        content = {"data": _bytes(i, per_batch, 3072), key: [k % classes for k in range(per_batch)]}
        (folder / batch).write_bytes(pickle.dumps(content))
    names = [f"class {k}" for k in range(classes)]
    meta = ("batches.meta", "label_names") if cifar10 else ("meta", "fine_label_names")
    (folder / meta[0]).write_bytes(pickle.dumps({meta[1]: names}))


def accept_any_cifar(monkeypatch):
    """Leave out torchvision's check of MD5 sums, and nothing else."""
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda path, md5=None: Path(path).is_file())


def write_tree(root, parts):
    """Write `{"train": {"cat": 3}}` as three images in train/cat/, each of a random colour and of 20x30 pixels."""
    seed = 0
    for part, classes in parts.items():
        for name, count in classes.items():
            folder = Path(root) / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                seed += 1
                colour = tuple(_bytes(seed, 3).tolist())
                Image.new("RGB", (30, 20), colour).save(folder / f"{i}.png")


def write_images(folder, count, size=(16, 16)):
    """Grey noise as 0.png, 1.png, ...: images to predict on."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Image.fromarray(_bytes(i, *size)).save(folder / f"{i}.png")


def palette_png(path, indices):
    """A mask as VOC writes it: indices into a palette of colours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(np.asarray(indices, dtype=np.uint8), mode="P")
    image.putpalette([(37 * i + 11 * k) % 256 for i in range(256) for k in range(3)])
    image.save(path)


def _photograph(path, seed, height=12, width=16):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(_bytes(seed, height, width, 3)).save(path)


def _indices(seed, classes, height=12, width=16):
    return np.random.default_rng(seed).integers(0, classes, (height, width)).astype(np.uint8)


def write_voc(root, train=("v1", "v2", "v3"), val=("v4", "v5")):
    """Pascal VOC 2012 as its archive unpacks; masks have a rim of 255."""
    base = Path(root) / "VOCdevkit" / "VOC2012"
    for part, ids in {"train": train, "val": val}.items():
        lists = base / "ImageSets" / "Segmentation"
        lists.mkdir(parents=True, exist_ok=True)
        (lists / f"{part}.txt").write_text("".join(f"{name}\n" for name in ids))
        for i, name in enumerate(ids):
            _photograph(base / "JPEGImages" / f"{name}.jpg", i, width=16 + 4 * i)
            mask = _indices(i, 21, width=16 + 4 * i)
            mask[0] = 255
            palette_png(base / "SegmentationClass" / f"{name}.png", mask)


def write_sbd(root, train=("s1", "v4", "v1"), val=("s2", "v5", "s3")):
    """The Semantic Boundaries Dataset as torchvision moves it into root/sbd; some of its images are VOC's."""
    from scipy.io import savemat

    base = Path(root) / "sbd"
    (base / "cls").mkdir(parents=True)
    for part, ids in {"train": train, "val": val}.items():
        (base / f"{part}.txt").write_text("".join(f"{name}\n" for name in ids))
        for i, name in enumerate(ids):
            _photograph(base / "img" / f"{name}.jpg", i)
            savemat(base / "cls" / f"{name}.mat", {"GTcls": {"Segmentation": _indices(i, 21)}})


def write_masked(root, parts, classes=2, images="{part}/images", masks="{part}/masks"):
    """Write `{"train": 3}` as three images with masks in folders named by patterns."""
    for part, count in parts.items():
        for i in range(count):
            _photograph(Path(root) / images.format(part=part) / f"{i}.png", i)
            palette_png(Path(root) / masks.format(part=part) / f"{i}.png", _indices(i, classes))

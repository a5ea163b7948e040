"""The data module: arguments, splits, loaders, checkpoints, and runs of a Trainer."""

import dataclasses

import lightning as L
import pytest
import torch
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.demos.boring_classes import BoringModel
from PIL import Image

from lit_attr.datamodules import Augmentation, ImageDataModule, ImageReadError, PredictBatch


class Flat(BoringModel):
    """Takes batches of `channels` x 8 x 8 pixels to two numbers."""

    def __init__(self, channels=1):
        super().__init__()
        self.layer = torch.nn.Linear(channels * 64, 2)

    def forward(self, batch):
        return self.layer(batch[0].flatten(1))


def trainer(path, **settings):
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return L.Trainer(default_root_dir=path, **{**quiet, "enable_checkpointing": False, **settings})


def pixels(dataset):
    return {image.numpy().tobytes() for image, _ in dataset}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "cifar"}, "`dataset` is 'cifar'; accepted: cifar10, .*; did you mean 'cifar10'"),
        ({"channels": 2}, "`channels` must be 1 or 3, got 2"),
        ({"size": 0}, "`size` must be a positive integer, got 0"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer, got 0"),
        ({"num_workers": -1}, "`num_workers` must be a number of at least 0, got -1"),
        ({"val_fraction": 0.0}, r"`val_fraction` must be in \(0, 1\), got 0.0"),
        ({"val_fraction": 1.0}, r"`val_fraction` must be in \(0, 1\), got 1.0"),
        ({"augment": {"crop": "x"}}, "`crop` is 'x'; accepted: none, pad, resized"),
    ],
)
def test_wrong_arguments(settings, message):
    with pytest.raises(ValueError, match=message):
        ImageDataModule(**settings)


@pytest.mark.parametrize(
    ("dataset", "size", "channels", "classes"),
    [
        ("digits", 32, 1, 10),
        ("mnist", 28, 1, 10),
        ("fashion_mnist", 28, 1, 10),
        ("cifar10", 32, 3, 10),
        ("cifar100", 32, 3, 100),
        ("imagenet", 224, 3, 1000),
    ],
)
def test_attributes_need_no_files(dataset, size, channels, classes):
    data = ImageDataModule(dataset)
    assert (data.size, data.channels, data.num_classes, len(data.class_names)) == (size, channels, classes, classes)
    assert len(data.mean) == len(data.std) == channels


def test_digits(rng_untouched):
    data = ImageDataModule()
    data.prepare_data()
    data.setup()
    parts = [data.train_dataset, data.val_dataset, data.test_dataset]
    assert [len(part) for part in parts] == [1298, 229, 270]
    train, val, test = (pixels(part) for part in parts)
    assert len(train | val | test) == 1797
    for part in parts:
        image, label = part[0]
        assert (image.shape, image.dtype, type(label)) == ((1, 32, 32), torch.float32, int)
        assert part.labels.unique().tolist() == list(range(10))


def test_ranges(tmp_path, write_mnist):
    write_mnist(tmp_path)
    data = ImageDataModule("mnist", str(tmp_path), augment=Augmentation(0.5, "pad", "randaugment", 0.5), batch_size=20)
    data.setup()
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        for image, label in loader:
            assert 0 <= image.min() <= image.max() <= 1
            assert image.max() > 0.9
            assert label.dtype == torch.int64


def test_splits_follow_the_seed_and_not_the_global_generator():
    def indices(seed, global_seed):
        torch.manual_seed(global_seed)
        data = ImageDataModule(seed=seed)
        data.setup()
        return data.train_dataset.indices, data.val_dataset.indices, data.test_dataset.images

    first = indices(0, 0)
    assert all(torch.equal(a, b) for a, b in zip(first, indices(0, 1), strict=True))
    other = indices(1, 0)
    assert not torch.equal(first[1], other[1])
    assert torch.equal(first[2], other[2])  # the test images are always the same


def test_val_fraction():
    data = ImageDataModule(val_fraction=0.5)
    data.setup("fit")
    assert abs(len(data.train_dataset) - len(data.val_dataset)) <= 1


def test_setup_is_idempotent_and_makes_only_what_is_asked():
    data = ImageDataModule()
    data.setup("validate")
    assert data.train_dataset is None
    val = data.val_dataset
    data.setup("fit")
    data.setup("fit")
    assert data.val_dataset is val
    assert data.test_dataset is None


def test_loaders_before_setup():
    with pytest.raises(RuntimeError, match=r"call setup\('fit'\) first"):
        ImageDataModule().train_dataloader()


def test_only_training_images_are_augmented(tmp_path, write_mnist):
    write_mnist(tmp_path)
    plain = ImageDataModule("mnist", str(tmp_path))
    augmented = ImageDataModule("mnist", str(tmp_path), augment=Augmentation(flip=1.0))
    for data in (plain, augmented):
        data.setup()
    assert torch.equal(augmented.train_dataset[0][0], plain.train_dataset[0][0].flip(-1))
    assert torch.equal(augmented.val_dataset[0][0], plain.val_dataset[0][0])
    assert torch.equal(augmented.test_dataset[0][0], plain.test_dataset[0][0])


def test_order_of_the_loaders():
    data = ImageDataModule(batch_size=100)
    data.setup()
    torch.manual_seed(0)
    train = data.train_dataloader()
    assert len(train) == 12  # of 1298, the last 98 dropped
    first, second = (torch.cat([label for _, label in train]) for _ in range(2))
    assert not torch.equal(first, second)
    for loader, dataset in [
        (data.val_dataloader(), data.val_dataset),
        (data.test_dataloader(), data.test_dataset),
    ]:
        assert torch.equal(torch.cat([label for _, label in loader]), dataset.labels)


def test_a_single_training_batch_is_kept(tmp_path, write_mnist):
    write_mnist(tmp_path)
    data = ImageDataModule("mnist", str(tmp_path), batch_size=64)
    data.setup()
    assert [len(label) for _, label in data.train_dataloader()] == [34]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
def test_size_and_channels(tmp_path, write_mnist, write_cifar, dataset, channels):
    write_mnist(tmp_path)
    write_cifar(tmp_path)
    data = ImageDataModule(dataset, str(tmp_path), size=16, channels=channels)
    data.prepare_data()
    data.setup("fit")
    image, _ = data.train_dataset[0]
    assert image.shape == (channels, 16, 16)
    assert len(data.mean) == channels
    assert len(data.train_dataset) + len(data.val_dataset) == (40 if dataset == "mnist" else 100)


class TestFolder:
    def parts(self, tmp_path, **settings):
        data = ImageDataModule("folder", str(tmp_path), size=8, **settings)
        data.prepare_data()
        data.setup()
        return data, [pixels(part) for part in (data.train_dataset, data.val_dataset, data.test_dataset)]

    def test_all_parts(self, tmp_path, write_tree):
        write_tree(tmp_path, {"train": {"a": 4, "b": 4}, "val": {"a": 2, "b": 1}, "test": {"b": 2}})
        data, (train, val, test) = self.parts(tmp_path)
        assert (len(train), len(val), len(test)) == (8, 3, 2)
        assert data.class_names == ("a", "b")
        assert data.test_dataset.labels.tolist() == [1, 1]

    def test_without_test_the_validation_images_serve(self, tmp_path, write_tree):
        write_tree(tmp_path, {"train": {"a": 4}, "val": {"a": 2}})
        _, (train, val, test) = self.parts(tmp_path)
        assert val == test
        assert not train & val

    def test_without_validation_a_share_is_held_out(self, tmp_path, write_tree):
        write_tree(tmp_path, {"train": {"a": 10, "b": 10}})
        data, (train, val, test) = self.parts(tmp_path, val_fraction=0.2)
        assert (len(train), len(val)) == (16, 4)
        assert val == test
        assert not train & val
        assert data.val_dataset.labels.tolist() == [0, 0, 1, 1]

    def test_too_few_images_to_hold_any_out(self, tmp_path, write_tree):
        write_tree(tmp_path, {"train": {"a": 1, "b": 1}})
        with pytest.raises(ValueError, match="`val_fraction` must be such that some image is left for val"):
            self.parts(tmp_path)

    def test_missing_root(self, tmp_path):
        data = ImageDataModule("folder", str(tmp_path / "none"))
        with pytest.raises(ValueError, match="`root` must be a folder with train/<class>/<image>"):
            data.prepare_data()
        with pytest.raises(ValueError, match="`root` must be a folder with train/<class>/<image>"):
            data.setup("fit")

    def test_broken_training_image_is_named(self, tmp_path, write_tree):
        write_tree(tmp_path, {"train": {"a": 10}})
        (tmp_path / "train" / "a" / "broken.png").write_bytes(b"x")
        data = ImageDataModule("folder", str(tmp_path), size=8)
        data.setup("fit")
        with pytest.raises(ImageReadError, match=r"broken\.png': not an image of a known format"):
            list(data.train_dataloader()) + list(data.val_dataloader())


def test_two_workers(tmp_path, write_tree):
    write_tree(tmp_path, {"train": {"a": 10}, "val": {"a": 5}})
    data = ImageDataModule("folder", str(tmp_path), size=8, batch_size=2, num_workers=2)
    data.setup("fit")
    loader = data.val_dataloader()
    assert loader.persistent_workers
    images = torch.cat([image for image, _ in loader])
    loader._iterator._shutdown_workers()  # as Lightning does; left to the garbage collector it takes ten seconds
    assert torch.equal(images, torch.stack([image for image, _ in data.val_dataset]))


def test_predict_needs_a_path():
    with pytest.raises(ValueError, match=r"`predict_path` must be given to predict: --data.predict_path="):
        ImageDataModule().setup("predict")


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # lightning 2.6 under torch 2.14
class TestTrainer:
    def test_fit_and_rebuild_from_the_checkpoint(self, tmp_path):
        augment = Augmentation(flip=0.5, crop="pad")
        data = ImageDataModule(size=8, batch_size=500, augment=augment, seed=3)
        run = trainer(tmp_path, max_epochs=1)
        run.fit(Flat(), datamodule=data)
        run.test(run.lightning_module, datamodule=data, verbose=False)
        run.save_checkpoint(tmp_path / "x.ckpt")
        stored = torch.load(tmp_path / "x.ckpt", weights_only=True)["datamodule_hyper_parameters"]
        assert stored["augment"] == dataclasses.asdict(augment)
        rebuilt = ImageDataModule.load_from_checkpoint(tmp_path / "x.ckpt", weights_only=True)
        assert (rebuilt.augment, rebuilt.seed, rebuilt.size) == (augment, 3, 8)
        assert rebuilt.hparams == data.hparams == data.hparams_initial

    @pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Lightning 2.6 calls jsonargparse by an old name
    def test_from_the_command_line(self, monkeypatch):
        arguments = ["train.py", "--data.dataset", "mnist", "--data.augment.flip", "0.5", "--data.augment.crop", "pad"]
        settings = {"run": False, "save_config_callback": None, "seed_everything_default": False}
        monkeypatch.setattr("sys.argv", arguments)
        data = LightningCLI(Flat, ImageDataModule, **settings).datamodule
        assert data.augment == Augmentation(flip=0.5, crop="pad")
        assert data.hparams["augment"] == dataclasses.asdict(data.augment)
        assert data.hparams["dataset"] == "mnist"

    def test_predict_touches_no_training_data_and_can_skip(self, tmp_path):
        for name in ("a.png", "b.png", "c.png"):
            Image.new("L", (9, 9), 255).save(tmp_path / name)
        (tmp_path / "d.png").write_bytes(b"")

        class Skip(L.Callback):
            def setup(self, trainer, pl_module, stage):
                trainer.datamodule.predict_dataset.skip(["b.png"])

        class Keep(Flat):
            def predict_step(self, batch, batch_idx):
                assert isinstance(batch, PredictBatch)
                return batch.names, batch.errors, self(batch).shape

        data = ImageDataModule("mnist", str(tmp_path / "none"), size=8, batch_size=2, predict_path=str(tmp_path))
        for _ in range(2):  # a second run looks again
            found = trainer(tmp_path, callbacks=[Skip()]).predict(Keep(), datamodule=data)
            assert found[0] == (["a.png", "c.png"], [], (2, 2))
            assert found[1] == ([], [("d.png", "the file is empty")], (0, 2))

    def test_the_only_batch_of_a_process_is_kept(self, monkeypatch):
        data = ImageDataModule(batch_size=700)
        data.setup("fit")
        assert data.train_dataloader().drop_last
        data.trainer = trainer(None)
        monkeypatch.setattr(L.Trainer, "world_size", 2)  # 649 images for each
        assert not data.train_dataloader().drop_last

"""A training set with variants: which they are, where they come from, and what stays as it is."""

from functools import lru_cache

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from _reference.foreign import trainer
from lit_attr.attribution import SIGMA
from lit_attr.bank import Bank, BankError, build_bank
from lit_attr.bank.store import digest_of
from lit_attr.datamodules import (
    Augmentation,
    ImageDataModule,
    JointAugmentation,
    SegmentationDataModule,
    SIGMADataModule,
)
from lit_attr.datamodules._training import PlainSamples

SETTINGS = {"fraction": 0.02, "sigma": {"steps": 12, "epsilon": 0.3}}


@lru_cache
def means():
    """Of each digit the mean image, `[10, 64]`."""
    images, labels = load_digits(return_X_y=True)
    return torch.stack([torch.from_numpy(images[labels == k]).float().mean(0) / 16 for k in range(10)])


class Net(L.LightningModule):
    """The nearest mean decides; keeps the batches that it is trained on."""

    def __init__(self, seed=0):
        super().__init__()
        self.layer = nn.Linear(64, 10)
        with torch.no_grad():
            self.layer.weight.copy_(2 * (1 + seed) * means())
            self.layer.bias.copy_(-(1 + seed) * means().square().sum(1))
        self.seen = []

    def forward(self, images):
        return self.layer(images.flatten(1))

    def training_step(self, batch, batch_idx):
        self.seen.append(batch)
        return F.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self.log("val/loss", F.cross_entropy(self(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.0)


def digits(**settings):
    return ImageDataModule("digits", **{"size": 8, "batch_size": 512} | settings)


def fit(folder, data, net=None, **settings):
    net = net or Net()
    fitter = trainer(folder, max_epochs=1, **settings)
    fitter.fit(net, datamodule=data)
    return net


def saved(path, seed=0):
    fitter = trainer(path.parent)
    fitter.strategy.connect(Net(seed))
    fitter.save_checkpoint(path)
    return str(path)


def plain(data):
    return PlainSamples(data.train_dataset, data.val_dataset)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of the bank of some digits, that is not written to; the checkpoint lies beside it."""
    root = tmp_path_factory.mktemp("sigma")
    data = SIGMADataModule(digits(), str(root / "bank"), saved(root / "net.ckpt"), **SETTINGS)
    fit(root, data, limit_train_batches=0, limit_val_batches=0)
    assert len(data.variants) > 5
    return root / "bank"


@pytest.fixture
def data(folder):
    """Set up with that bank."""
    found = SIGMADataModule(digits(), str(folder))
    found.setup("fit")
    return found


def test_variants_join_with_the_labels_of_their_sources(folder, data, tmp_path):
    net = fit(tmp_path, SIGMADataModule(digits(), str(folder)), limit_val_batches=0)
    images, labels = (torch.cat(parts) for parts in zip(*net.seen, strict=True))
    training, variants = len(plain(data)), len(data.variants)
    assert len(images) == 512 * ((training + variants) // 512)  # the last batch is dropped, as in the base
    levels = {
        tuple((image * 255).round().int().flatten().tolist()): int(y) for image, y in zip(images, labels, strict=True)
    }
    bank, found = Bank(folder), 0
    for number, source in zip(data.variants.numbers, data.variants.sources, strict=True):
        label = levels.get(tuple(bank.image(number).int().flatten().tolist()))
        found += label is not None
        assert label in {None, plain(data)[source][1]}
    assert found > 0.5 * variants


def test_the_conditions_hold(folder):
    bank = Bank(folder)
    assert not bank.columns["reached"].all()
    close = float(bank.columns["l2"][bank.columns["reached"] & (bank.columns["steps"] > 0)].median())
    for rule, good in [
        ({}, bank.columns["reached"]),
        ({"reached_only": False}, bank.columns["steps"] >= 0),
        ({"max_l2": close}, bank.columns["reached"] & (bank.columns["l2"] <= close)),
    ]:
        data = SIGMADataModule(digits(), str(folder), **rule)
        data.setup("fit")
        expected = (good & (bank.columns["steps"] > 0)).nonzero()[:, 0]
        assert data.variants.numbers == expected.tolist()
        assert len(expected) > 0
    few = SIGMADataModule(digits(), str(folder), ratio=4 / 1298)
    few.setup("fit")
    assert len(few.variants) == 4
    balanced = SIGMADataModule(digits(), str(folder), balance=True, reached_only=False)
    balanced.setup("fit")
    labels = bank.columns["label"][balanced.variants.numbers]
    assert len(set(torch.bincount(labels)[torch.bincount(labels) > 0].tolist())) == 1


def test_no_variants_is_the_base_alone(folder):
    data = SIGMADataModule(digits(), str(folder), ratio=0.0)
    data.setup("fit")
    assert len(data.train_dataloader().dataset) == 1298


def test_they_are_augmented_as_the_others_are(folder, data):
    flipped = SIGMADataModule(digits(augment=Augmentation(flip=1.0)), str(folder))
    flipped.setup("fit")
    for number in range(3):
        image, label = data.variants[number]
        assert torch.equal(flipped.variants[number][0], image.flip(-1))
        assert flipped.variants[number][1] == label


def test_validation_and_test_are_untouched(data):
    base = digits()
    base.setup()
    data.setup("test")
    for loader in ("val_dataloader", "test_dataloader"):
        for ours, known in zip(getattr(data, loader)(), getattr(base, loader)(), strict=True):
            assert torch.equal(ours[0], known[0])
            assert torch.equal(ours[1], known[1])
    assert (data.num_classes, data.class_names, data.mean) == (10, base.class_names, base.mean)
    assert data.hparams == base.hparams
    with pytest.raises(AttributeError, match="no attribute '_nothing'"):
        _ = data._nothing


def test_no_variant_of_a_validation_image(folder, data):
    bank = Bank(folder)
    validation = {digest_of(image) for image, _ in data.val_dataset}
    training = {digest_of(image) for image, _ in plain(data)}
    sources = set(bank.columns["digest"].tolist())
    assert sources <= training
    assert not sources & (validation - training)


@pytest.mark.parametrize("other", [{"seed": 1}, {"val_fraction": 0.3}, {"size": 9}])
def test_a_bank_of_another_split_is_refused(folder, other):
    """Some of its sources validate now."""
    data = SIGMADataModule(digits(**other), str(folder))
    with pytest.raises(BankError, match=r"has variants of other images .* some may be images that validate"):
        data.setup("fit")
    assert data.variants is None


def test_one_exchanged_image_is_enough(folder, data):
    """The first source becomes an image that validates; length and labels are as before."""
    base = digits()
    base.setup("fit")
    source = data.variants.sources[0]
    label = int(base.train_dataset.labels[source])
    place = (base.val_dataset.labels == label).nonzero()[0, 0]
    base.train_dataset.indices = base.train_dataset.indices.clone()
    base.train_dataset.indices[source] = base.val_dataset.indices[place]
    changed = SIGMADataModule(base, str(folder))
    with pytest.raises(BankError, match=rf"training sample {source} is not the one that it was made of"):
        changed.setup("fit")


def test_a_bank_is_taken_up_again(folder, tmp_path):
    """With its checkpoint it is compared, not made again; another one's is refused."""
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")}
    checkpoint = str(folder.parent / "net.ckpt")
    quick = {"limit_train_batches": 0, "limit_val_batches": 0}
    fit(tmp_path, SIGMADataModule(digits(), str(folder), checkpoint, **SETTINGS), **quick)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*.safetensors")} == before
    other = saved(tmp_path / "other.ckpt", seed=1)
    with pytest.raises(BankError, match="holds variants of another `model`"):
        fit(tmp_path, SIGMADataModule(digits(), str(folder), other, **SETTINGS), **quick)


def test_the_bank_is_that_of_the_checkpoint(folder):
    base = digits()
    base.setup("fit")
    bank = Bank(folder)
    net = Net()
    for number in (0, 7):
        confidence = net(bank.image(number)[None].float() / 255).softmax(1)[0, bank.columns["label"][number]]
        assert float(bank.columns["confidence"][number]) == pytest.approx(float(confidence.detach()), abs=1e-6)


def test_a_full_disk_leaves_the_old_bank_whole(folder, data, tmp_path, monkeypatch):
    def full(path, content):
        if path.suffix == ".safetensors":
            raise OSError(28, "No space left on device", str(path))
        path.write_bytes(content)

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    numbers = data.variants.numbers
    monkeypatch.setattr("lit_attr.bank.store.write_whole", full)
    with pytest.raises(OSError, match="No space left on device"):
        data.refresh(Net(1), tmp_path / "next")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert data.folder == folder
    assert data.variants.numbers == numbers
    assert torch.equal(data.variants[0][0], data.variants[0][0])


def test_a_refreshed_bank_is_used_and_found_again(folder, tmp_path):
    data = SIGMADataModule(digits(), str(folder), reached_only=False, **SETTINGS)
    data.setup("fit")
    old = data.variants[0][0]
    data.refresh(Net(1), tmp_path / "next")
    assert data.folder == tmp_path / "next"
    assert not torch.equal(data.variants[0][0], old)
    state = data.state_dict()
    resumed = SIGMADataModule(digits(), str(folder), reached_only=False)
    resumed.setup("fit")
    resumed.load_state_dict(state)
    assert torch.equal(resumed.variants[0][0], data.variants[0][0])


def test_a_state_whose_bank_is_gone_leaves_the_bank_at_hand(folder, tmp_path):
    data = SIGMADataModule(digits(), str(folder))
    data.setup("fit")
    before = data.variants.numbers
    with pytest.warns(UserWarning, match=r"the bank in use at the checkpoint, .*gone, is not there"):
        data.load_state_dict({"bank": str(tmp_path / "gone"), "base": {}})
    assert data.folder == folder
    assert data.variants.numbers == before


def test_nothing_left_is_an_error(folder):
    data = SIGMADataModule(digits(), str(folder), max_l2=0.0)
    with pytest.raises(BankError, match=r"0 of .* variants .*reached epsilon.*; loosen the conditions"):
        data.setup("fit")


class Foreign(L.LightningDataModule):
    """Somebody's, with a hook of its own and no validation."""

    def __init__(self):
        super().__init__()
        self.hooked = 0

    def train_dataloader(self):
        images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        return DataLoader(TensorDataset(images, torch.arange(6)), batch_size=3, shuffle=True)

    def on_after_batch_transfer(self, batch, dataloader_idx):
        self.hooked += 1
        return batch


@pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")
def test_any_data_module(tmp_path):
    samples = PlainSamples(Foreign().train_dataloader().dataset, None)
    build_bank(tmp_path / "bank", Net(), samples)
    base = Foreign()
    net = fit(tmp_path, SIGMADataModule(base, str(tmp_path / "bank"), reached_only=False))
    count = 6 + int((Bank(tmp_path / "bank").columns["steps"] > 0).sum())
    assert count > 6
    assert sum(len(images) for images, _ in net.seen) == count
    assert base.hooked == len(net.seen)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bank": None}, "`bank` must be the folder of a bank, where no `checkpoint` is given"),
        ({"fraction": 0.0}, r"`fraction` must be in \(0, 1\], got 0.0"),
        ({"fraction": 2.0}, r"`fraction` must be in \[0, 1\], got 2.0"),
        ({"ratio": -1.0}, "`ratio` must be a number of at least 0"),
        ({"sigma": {"epsilon": 2.0}}, "`epsilon` must be in"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ValueError, match=message):
        SIGMADataModule(digits(), **{"bank": "bank"} | settings)


def test_checkpoints_that_do_not_fit(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"`checkpoint`: there is no file"):
        fit(tmp_path, SIGMADataModule(digits(), checkpoint=str(tmp_path / "none.ckpt")))
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"`checkpoint` must be a Lightning checkpoint of a Net like the one to be"):
        fit(tmp_path, SIGMADataModule(digits(), checkpoint=str(tmp_path / "other.ckpt")))
    with pytest.raises(RuntimeError, match=r"call Trainer.fit, or give a finished bank alone"):
        SIGMADataModule(digits(), checkpoint="other.ckpt").setup("fit")
    with pytest.raises(RuntimeError, match=r"call setup\('fit'\) first"):
        SIGMADataModule(digits(), checkpoint="other.ckpt").train_dataloader()


def test_where_a_bank_is_made():
    assert str(SIGMADataModule(digits(), checkpoint="a/checkpoints/b.ckpt").folder) == "a/sigma_bank"
    assert str(SIGMADataModule(digits(), checkpoint="a/b.ckpt").folder) == "a/b_sigma_bank"
    assert str(SIGMADataModule(digits(), "c", "a/b.ckpt").folder) == "c"


class Inked(L.LightningModule):
    """A segmenter of scenes: what is bright belongs to class 1."""

    num_classes, ignore_index = 3, 255

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(10.0))

    def forward(self, images):
        score = self.gain * (images.amin(1) - 0.6)
        return torch.stack([-score, score, score - 9], dim=1)

    def validation_step(self, batch, batch_idx):
        """Nothing to measure."""

    def training_step(self, batch, batch_idx):
        return F.cross_entropy(self(batch[0]), batch[1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.0)


def test_a_segmenters_variants_have_its_masks(tmp_path):
    net = Inked()
    torch.save({"state_dict": net.state_dict()}, tmp_path / "net.ckpt")
    base = SegmentationDataModule("scenes", joint_augment=JointAugmentation(flip=1.0))
    few = {"fraction": 0.004, "sigma": {"steps": 5, "epsilon": 0.3}, "reached_only": False}
    data = SIGMADataModule(base, str(tmp_path / "bank"), str(tmp_path / "net.ckpt"), **few)
    fit(tmp_path, data, net, limit_train_batches=1, limit_val_batches=0)
    bank, samples = Bank(tmp_path / "bank"), PlainSamples(base.train_dataset, base.val_dataset)
    assert len(bank) == 4
    assert len(data.variants) > 0
    for place, (number, source) in enumerate(zip(data.variants.numbers, data.variants.sources, strict=True)):
        image, mask = data.variants[place]
        known, true = samples[source]
        torch.testing.assert_close(image, bank.image(number).float().flip(-1) / 255)
        assert torch.equal(mask, true.flip(-1))
        label = int(bank.columns["label"][number])
        assert label in {1, 2}
        assert int((true == label).sum()) == int((true > 0).sum())  # a scene has one digit
        before = net(known[None]).softmax(1)[0, label][true == label].mean()
        after = net(bank.image(number)[None].float() / 255).softmax(1)[0, label][true == label].mean()
        assert after < before
    joined = data.train_dataloader().dataset
    assert len(joined) == 1024 + len(data.variants)
    assert [part.shape for part in joined[1024]] == [part.shape for part in joined[0]]


def test_a_bank_of_other_masks_is_refused(tmp_path):
    base = SegmentationDataModule("scenes")
    base.setup("fit")
    samples = PlainSamples(base.train_dataset, base.val_dataset)
    build_bank(tmp_path / "bank", Inked(), samples, indices=[3, 8], sigma=SIGMA(paths=1, steps=2))
    base.train_dataset.masks = base.train_dataset.masks.roll(1, -1)
    with pytest.raises(BankError, match="has variants of other images"):
        SIGMADataModule(base, str(tmp_path / "bank"), reached_only=False).setup("fit")

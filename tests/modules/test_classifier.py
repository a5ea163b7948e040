"""The classifier: its loss and metrics by definition, its hyper-parameters, and what it refuses."""

import lightning as L
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import accuracy_score, roc_auc_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from _reference.foreign import trainer
from lit_attr.datamodules import ImageDataModule, PredictBatch
from lit_attr.modules import Classifier
from lit_attr.modules.backbones import build_backbone
from lit_attr.modules.classifier import _one_cycle

# Most fits here are a step or two without validation.
pytestmark = pytest.mark.filterwarnings(
    "ignore:You defined a `validation_step` but have no `val_dataloader`",
    "ignore:The .grad attribute of a Tensor that is not a leaf",  # Dynamo looks at the gradient of every tensor
)


class Net(nn.Module):
    """Small, with batch norm; also built by its import path."""

    def __init__(self, num_classes=3, channels=1):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.head = nn.Linear(4, num_classes)

    def forward(self, x):
        return self.head(self.body(x).flatten(1))


class Broken(nn.Module):
    def __init__(self, num_classes):
        raise AttributeError("a fault of its own")


def small(**settings):
    return Classifier(**{"model": Net(), "num_classes": 3, "mean": [0.5], "std": [0.25], **settings})


def batch(count=8, classes=3, channels=1):
    return torch.rand(count, channels, 8, 8), torch.arange(count) % classes


def loader(*tensors, size=4):
    return DataLoader(TensorDataset(*tensors), batch_size=size)


def train(tmp_path, module, images, labels, steps=1):
    fitter = trainer(tmp_path, max_steps=steps)
    fitter.fit(module, loader(images, labels, size=8), loader(images, labels))
    return fitter


def weights(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(left, right):
    assert left.keys() == right.keys()
    return all(torch.equal(left[key], right[key]) for key in left)


# ---- the network and its input


def test_normalisation_is_inside():
    net = Net()
    module = small(model=net, mean=[0.3], std=[0.2]).eval()
    images, _ = batch()
    torch.testing.assert_close(module(images), net((images - 0.3) / 0.2))


def test_model_by_name_and_by_import_path(monkeypatch):
    monkeypatch.setattr("lit_attr.registry.importlib.import_module", lambda path: {"my.nets": NETS}[path])
    assert isinstance(small(model="my.nets.Net").model, Net)
    assert small(model="cifar_resnet8")(batch()[0]).shape == (8, 3)


class NETS:
    Net, Broken, number = Net, Broken, staticmethod(lambda num_classes: num_classes)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("nowhere.Net", "`model`: 'nowhere.Net' cannot be imported: No module named 'nowhere'"),
        ("torch.nn.Nett", "`model`: 'torch.nn.Nett' cannot be imported: module 'torch.nn' has no attribute 'Nett'"),
        (".Net", "`model`: '.Net' cannot be imported: Empty module name"),
        ("resnet19", "unknown model 'resnet19'; accepted: "),
    ],
)
def test_unknown_model(model, message):
    with pytest.raises(ValueError, match=message):
        small(model=model)


def test_faults_of_a_users_network_are_their_own(monkeypatch):
    monkeypatch.setattr("lit_attr.registry.importlib.import_module", lambda path: NETS)
    with pytest.raises(AttributeError, match="a fault of its own"):
        small(model="my.Broken")
    with pytest.raises(ValueError, match=r"`model` must be the import path of a module class, got my\.number"):
        small(model="my.number")


def test_wrong_channels():
    with pytest.raises(ValueError, match=r"`images` must be \[B, 1, H, W\], as `mean` says, got shape \(8, 3, 8, 8\)"):
        small()(batch(channels=3)[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_classes": 1}, "`num_classes` must be at least 2, got 1"),
        ({"num_classes": 0}, "`num_classes` must be a positive integer, got 0"),
        ({"label_smoothing": 1.0}, r"`label_smoothing` must be in \[0, 1\), got 1.0"),
        ({"mixup": -0.1}, "`mixup` must be a number of at least 0, got -0.1"),
        ({"cutmix": float("nan")}, "`cutmix` must be a number of at least 0, got nan"),
        ({"lr": -1.0}, "`lr` must be a number of at least 0, got -1.0"),
        ({"weight_decay": -1.0}, "`weight_decay` must be a number of at least 0, got -1.0"),
        ({"weights": "x.pt"}, "`weights` must be None for a `model` that is not one of the named networks, got x.pt"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        small(**settings)


# ---- loss and metrics


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_loss_is_the_closed_form(tmp_path, smoothing):
    module = small(label_smoothing=smoothing).train()
    module.trainer = trainer(tmp_path)
    module.log = lambda *_, **__: None
    images, labels = batch()
    logp = module(images).log_softmax(1)
    wanted = (1 - smoothing) * F.one_hot(labels, 3) + smoothing / 3
    torch.testing.assert_close(module.training_step((images, labels), 0), -(wanted * logp).sum(1).mean())


def known(count=200, classes=4):
    """Images of one pixel whose channels are the logits, and labels that agree with them more often than not."""
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(count, classes, 1, 1, generator=generator)
    noisy = images.flatten(1) + 0.3 * torch.rand(count, classes, generator=generator)
    return images, noisy.argmax(1)


def expected_calibration_error(probabilities, labels, bins=15):
    """Guo et al. 2017: the mean over samples of |accuracy - confidence| of the sample's bin."""
    confidence, correct = probabilities.max(1), probabilities.argmax(1) == labels
    which = np.ceil(confidence * bins).astype(int)
    gaps = [which == b for b in np.unique(which)]
    return sum(rows.mean() * abs(correct[rows].mean() - confidence[rows].mean()) for rows in gaps)


@pytest.mark.parametrize("stage", ["validate", "test"])
@pytest.mark.parametrize("size", [200, 64, 7])
def test_metrics_are_those_of_scikit_learn(tmp_path, stage, size):
    images, labels = known()
    module = Classifier(nn.Flatten(), 4, mean=[0.5] * 4, std=[0.1] * 4, label_smoothing=0.3)
    (logged,) = getattr(trainer(tmp_path), stage)(module, loader(images, labels, size=size), verbose=False)
    logits = (images.flatten(1) - 0.5) / 0.1
    probabilities = logits.double().softmax(1).numpy()
    prefix = {"validate": "val", "test": "test"}[stage]
    assert logged == pytest.approx(
        {
            f"{prefix}/loss": float(F.cross_entropy(logits, labels)),  # not smoothed
            f"{prefix}/accuracy": accuracy_score(labels, probabilities.argmax(1)),
            f"{prefix}/auroc": roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"),
            f"{prefix}/calibration_error": expected_calibration_error(probabilities, labels.numpy()),
        },
        abs=1e-5,
    )
    assert 0.5 < logged[f"{prefix}/accuracy"] < 0.95


def validated(tmp_path, logits, labels):
    """What is logged of given logits, `[N, K]`."""
    module = Classifier(nn.Flatten(), logits.shape[1], mean=[0.0] * logits.shape[1], std=[1.0] * logits.shape[1])
    (logged,) = trainer(tmp_path).validate(module, loader(logits[..., None, None], labels), verbose=False)
    return logged


def test_classes_that_do_not_occur_have_no_part_in_auroc(tmp_path):
    logits, labels = torch.randn(60, 5), torch.arange(60) % 3  # of 5 classes
    probabilities = logits.softmax(1)
    expected = [roc_auc_score(labels == k, probabilities[:, k]) for k in range(3)]
    assert validated(tmp_path, logits, labels)["val/auroc"] == pytest.approx(np.mean(expected), abs=1e-5)


def test_auroc_of_a_single_class_is_unknown(tmp_path):
    assert np.isnan(validated(tmp_path, torch.randn(6, 3), torch.ones(6, dtype=torch.long))["val/auroc"])


def test_a_loss_that_is_not_finite_is_not_left_out(tmp_path):
    logits, labels = torch.randn(6, 3), torch.arange(6) % 3
    logits[4, 1] = float("nan")
    assert np.isnan(validated(tmp_path, logits, labels)["val/loss"])


@pytest.mark.parametrize("mix", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_mixed_batches_train(tmp_path, mix):
    module = small(**mix, label_smoothing=0.1)
    seen = []
    forward = module.forward
    module.forward = lambda images: seen.append(images.clone()) or forward(images)
    before = weights(module)
    images, labels = batch()
    train(tmp_path, module, images, labels)
    assert not same(before, module.state_dict())
    assert all(value.isfinite().all() for value in module.state_dict().values())
    assert not torch.equal(seen[0], images)  # mixed


def test_evaluation_is_not_mixed(tmp_path):
    images, labels = known()
    plain, mixed = (Classifier(nn.Flatten(), 4, [0.5] * 4, [0.1] * 4, mixup=mixup) for mixup in (0.0, 0.4))
    logged = [trainer(tmp_path).validate(m, loader(images, labels), verbose=False) for m in (plain, mixed)]
    assert logged[0] == logged[1]


# ---- checkpoints


def saved(tmp_path, module):
    train(tmp_path, module, *batch(), steps=2).save_checkpoint(tmp_path / "x.ckpt")
    return tmp_path / "x.ckpt"


def test_checkpoint_of_a_named_network(tmp_path):
    torch.save(build_backbone("cifar_resnet8", 3, 1).state_dict(), tmp_path / "initial.pt")
    initial = str(tmp_path / "initial.pt")
    module = Classifier("cifar_resnet8", 3, (0.5,), (0.25,), weights=initial, label_smoothing=0.1)
    path = saved(tmp_path, module)
    stored = torch.load(path, weights_only=True)["hyper_parameters"]
    assert stored == {
        "model": "cifar_resnet8",
        "num_classes": 3,
        "mean": [0.5],
        "std": [0.25],
        "weights": None,
        "label_smoothing": 0.1,
        "mixup": 0.0,
        "cutmix": 0.0,
        "adversarial": None,
        "lr": 2e-3,
        "weight_decay": 0.05,
    }
    (tmp_path / "initial.pt").unlink()
    loaded = Classifier.load_from_checkpoint(path, weights_only=True)
    assert same(loaded.state_dict(), module.state_dict())
    assert dict(loaded.hparams) == stored
    images, _ = batch()
    assert torch.equal(loaded.eval()(images), module.eval()(images))


def test_checkpoint_of_a_given_network(tmp_path):
    module = small()
    path = saved(tmp_path, module)
    assert "model" not in torch.load(path, weights_only=True)["hyper_parameters"]
    loaded = Classifier.load_from_checkpoint(path, weights_only=True, model=Net())
    assert same(loaded.state_dict(), module.state_dict())
    with pytest.raises(TypeError, match="model"):
        Classifier.load_from_checkpoint(path, weights_only=True)


# ---- optimiser


def configured(tmp_path, steps):
    module = small(lr=0.5, weight_decay=0.25)
    module.trainer = fitter = trainer(tmp_path)
    type(fitter).estimated_stepping_batches, original = steps, type(fitter).estimated_stepping_batches
    try:
        return module.configure_optimizers()
    finally:
        type(fitter).estimated_stepping_batches = original


def test_default_optimiser_is_one_cycle_of_adamw(tmp_path):
    found = configured(tmp_path, steps=10)
    optimizer, schedule = found["optimizer"], found["lr_scheduler"]
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.param_groups[0]["weight_decay"] == 0.25
    assert schedule["interval"] == "step"
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule["scheduler"].step()
    reference = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.5)
    cycle = torch.optim.lr_scheduler.OneCycleLR(reference, 0.5, total_steps=10)
    expected = []
    for _ in range(10):
        expected.append(reference.param_groups[0]["lr"])
        reference.step()
        cycle.step()
    assert rates == pytest.approx(expected)
    assert max(rates) > 0.4


@pytest.mark.parametrize("steps", [float("inf"), 0, -1])
def test_constant_rate_where_the_end_is_unknown(tmp_path, steps):
    optimizer = configured(tmp_path, steps)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_no_batches_to_train_on(tmp_path):
    trainer(tmp_path, max_epochs=1, limit_train_batches=0).fit(small(), loader(*batch()), loader(*batch()))


# ---- in a Trainer


@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_classes": 5}, "the model has num_classes = 5, the data 10; set `num_classes` of the model to fit"),
        ({"mean": [0.5] * 3, "std": [0.5] * 3}, r"the model has channels = 3, the data 1; set `model.mean` and"),
    ],
)
def test_data_that_do_not_fit_are_refused_before_any_work(tmp_path, stage, settings, message):
    module = Classifier(**{"model": "cifar_resnet8", "num_classes": 10, "mean": [0.5], "std": [0.5], **settings})
    before = weights(module)
    with pytest.raises(ValueError, match=message):
        getattr(trainer(tmp_path), stage)(module, datamodule=ImageDataModule())
    assert same(before, module.state_dict())


@pytest.mark.parametrize("data", [lambda images: images, lambda images: (images, 0), lambda i: PredictBatch(i, [], [])])
def test_prediction_of_tensors_tuples_and_files(data):
    module = small().eval()
    images, _ = batch()
    found = module.predict_step(data(images), 0)
    logits = module(images)
    assert torch.equal(found["logits"], logits)
    assert found["prediction"].tolist() == logits.argmax(1).tolist()
    torch.testing.assert_close(found["confidence"], logits.softmax(1).amax(1))


@pytest.mark.parametrize("name", ["cifar_resnet8", "resnet18", "squeezenet1_1", "vit_b_16"])
def test_prediction_where_no_file_was_readable(name):
    channels, side = (1, 32) if name.startswith("cifar") else (3, 224)
    module = Classifier(name, 4, [0.5] * channels, [0.5] * channels).eval()
    with torch.no_grad():
        found = module.predict_step(PredictBatch(torch.empty(0, channels, side, side), [], [("x", "broken")]), 0)
    assert {key: tuple(value.shape) for key, value in found.items()} == {
        "prediction": (0,),
        "confidence": (0,),
        "logits": (0, 4),
    }


def test_same_seed_same_weights(tmp_path):
    def fit(seed):
        L.seed_everything(seed, workers=True, verbose=False)
        module = Classifier("cifar_resnet8", 10, [0.3], [0.3], mixup=0.2)
        trainer(tmp_path, max_steps=3).fit(module, datamodule=ImageDataModule(augment={"flip": 0.5, "crop": "pad"}))
        return module.state_dict()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "0")  # written by `seed_everything`, and so taken back
        patch.setenv("PL_SEED_WORKERS", "0")
        first = fit(0)
        assert same(first, fit(0))
        assert not same(first, fit(1))


@pytest.mark.parametrize("what", ["network", "module"])
def test_compiled(tmp_path, what):
    net = build_backbone("squeezenet1_1", 3, 3)
    module = Classifier(
        torch.compile(net, backend="eager") if what == "network" else net, 3, mean=[0.5] * 3, std=[0.5] * 3
    )
    before = weights(module)
    wrapped = torch.compile(module, backend="eager") if what == "module" else module
    images, labels = torch.rand(4, 3, 32, 32), torch.arange(4) % 3
    train(tmp_path, wrapped, images, labels)
    assert not same(before, module.state_dict())


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists")
def test_run_can_be_taken_up_for_longer(tmp_path):
    def fitter(epochs):
        keep = L.pytorch.callbacks.ModelCheckpoint(tmp_path / "kept", save_last=True)
        return trainer(tmp_path, keep, max_epochs=epochs, limit_val_batches=0)

    images, labels = torch.rand(8, 1, 8, 8), torch.arange(8) % 3
    fitter(1).fit(small(), loader(images, labels))
    longer = fitter(3)
    longer.fit(small(), loader(images, labels), ckpt_path=tmp_path / "kept/last.ckpt")
    assert longer.global_step == 6
    assert longer.optimizers[0].param_groups[0]["lr"] < 1e-5


def test_learning_rate_rises_to_its_peak_and_falls():
    factor = _one_cycle(100)
    rates = [factor(step) for step in range(101)]
    assert rates[0] == pytest.approx(1 / 25)
    assert rates.index(max(rates)) == 29
    assert max(rates) == 1
    assert rates[99] == rates[100] == pytest.approx(4e-6)

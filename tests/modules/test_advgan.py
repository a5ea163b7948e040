"""AdvGAN's training: its losses and its step by definition, a victim that feels nothing, and a generator that fools."""

import copy
import csv
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from _reference.foreign import Foreign, trainer
from _reference.processes import command
from _reference.trace import snapshot
from lit_attr.datamodules import ImageDataModule
from lit_attr.modules import AdvGANModule, Classifier, Discriminator
from lit_attr.updates import AdvGAN, load_generator

ROOT = Path(__file__).parents[2]
IMAGES = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(6) % 2

# Most fits here are a step or two without validation.
pytestmark = pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")


def loader(images=IMAGES, labels=LABELS, size=6):
    return DataLoader(TensorDataset(images, labels), batch_size=size)


def small(**settings):
    return AdvGANModule(**{"victim": Foreign().eval(), "in_channels": 1, "eps": 0.2, **settings})


# ---- the losses and the step


def restated(module, victim, settings):
    """The terms, image by image."""
    rows = []
    for image, label in zip(IMAGES, LABELS, strict=True):
        away = module.generator(image[None])
        made = torch.clamp(image[None] + away, 0, 1)
        logits = victim(made)[0].tolist()
        own = settings["target"] if settings["target"] is not None else int(label)
        gap = logits[own] - max(value for k, value in enumerate(logits) if k != own)
        gap = gap if settings["target"] is None else -gap
        d_made, d_data = float(module.discriminator(made)), float(module.discriminator(image[None]))
        length = float(away.square().sum().sqrt())
        rows.append(
            {
                "adversarial": max(gap, -settings["kappa"]),
                "gan": (d_made - 1) ** 2,
                "perturbation": max(0.0, length - settings["bound"]),
                "discriminator": (d_data - 1) ** 2 + d_made**2,
            }
        )
    return {name: sum(row[name] for row in rows) / len(rows) for name in rows[0]}


@pytest.mark.parametrize("target", [None, 0, 1])
@pytest.mark.parametrize(("kappa", "bound"), [(0.0, 0.1), (0.05, 0.8), (100.0, 100.0)])
def test_losses_are_those_of_the_definition(target, kappa, bound):
    settings = {"target": target, "kappa": kappa, "bound": bound}
    victim = Foreign().eval()
    module = small(victim=victim, **settings)
    with torch.no_grad():
        found = {name: float(value) for name, value in module.losses(IMAGES, LABELS).items()}
        assert found == pytest.approx(restated(module, victim, settings), abs=1e-5)


def test_a_step_is_one_of_each_network_along_its_own_loss(tmp_path):
    victim = Foreign().eval()
    module = small(victim=victim, adv_weight=3.0, pert_weight=0.5, lr=0.01)
    generator, discriminator = copy.deepcopy(module.generator), copy.deepcopy(module.discriminator)
    made = (IMAGES + generator(IMAGES)).clamp(0, 1)
    logits = victim(made)
    gap = (logits.gather(1, LABELS[:, None]) - logits.gather(1, 1 - LABELS[:, None])).relu().mean()
    length = generator(IMAGES).flatten(1).square().sum(1).sqrt()
    loss = 3 * gap + F.mse_loss(discriminator(made), torch.ones(6)) + 0.5 * (length - 0.1).relu().mean()
    own = list(generator.parameters())
    gradients = torch.autograd.grad(loss, own)
    scores = discriminator(IMAGES), discriminator(made.detach())
    loss = F.mse_loss(scores[0], torch.ones(6)) + F.mse_loss(scores[1], torch.zeros(6))
    theirs = list(discriminator.parameters())
    gradients += torch.autograd.grad(loss, theirs)
    for parameter, gradient in zip([*own, *theirs], gradients, strict=True):
        parameter.grad = gradient
    torch.optim.Adam(own, 0.01).step()
    torch.optim.Adam(theirs, 0.01).step()

    # Not far: the first step of Adam is a sign, which rounding turns where the gradient is zero.
    noise = {id(p) for p, g in zip([*own, *theirs], gradients, strict=True) if g.abs().min() < 1e-6}
    trainer(tmp_path, max_steps=1).fit(module, loader())
    pairs = [(generator, module.generator), (discriminator, module.discriminator)]
    compared = 0
    for expected, found in pairs:
        for wanted, got in zip(expected.parameters(), found.parameters(), strict=True):
            torch.testing.assert_close(got, wanted, rtol=0, atol=0.021 if id(wanted) in noise else 1e-5)
            compared += id(wanted) not in noise
    assert compared > 5
    assert int(module.generator.batches_seen) == 1


def test_the_discriminator_takes_any_size():
    net = Discriminator(3)
    for size in [(1, 1), (5, 9), (33, 30)]:
        images = torch.rand(4, 3, *size)
        scores = net(images)
        assert scores.shape == (4,)
        torch.testing.assert_close(net(images[1:2]), scores[1:2], rtol=0, atol=1e-5)


# ---- the victim


def test_the_victim_is_left_as_it_is(tmp_path):
    victim = Foreign().train()  # batch norm and dropout in training
    victim.net[1].eval()
    victim(IMAGES).sum().backward()  # gradients of its own, which must stay
    before = snapshot(victim)
    module = small(victim=victim)
    expected = copy.deepcopy(victim).eval()(IMAGES)
    torch.testing.assert_close(module.logits(IMAGES), expected)
    fitter = trainer(tmp_path, max_epochs=2)
    fitter.fit(module, loader(size=2), loader())
    after = snapshot(victim)
    for name in ("modes", "attributes", "asks for gradients", "gradients", "parameters", "buffers", "hooks"):
        assert after[name] == before[name], name
    torch.testing.assert_close(module.logits(IMAGES), expected, rtol=0, atol=0)
    fitter.save_checkpoint(tmp_path / "x.ckpt")
    stored = torch.load(tmp_path / "x.ckpt", weights_only=True)
    assert {name.split(".")[0] for name in stored["state_dict"]} == {"generator", "discriminator"}
    assert "victim" not in stored["hyper_parameters"]
    again = AdvGANModule.load_from_checkpoint(tmp_path / "x.ckpt", weights_only=True, victim=victim)
    assert torch.equal(again.eval()(IMAGES), module.eval()(IMAGES))


def test_the_victim_of_a_checkpoint(tmp_path):
    classifier = Classifier("cifar_resnet8", 2, mean=[0.5], std=[0.25])
    path = tmp_path / "victim.ckpt"
    fitter = trainer(tmp_path, max_steps=1)
    fitter.fit(classifier, loader())
    fitter.save_checkpoint(path)
    module = small(victim=str(path))
    assert torch.equal(module.logits(IMAGES), classifier.eval()(IMAGES))
    assert module.hparams.victim == str(path)
    for wrong, message in [
        (torch.load(path, weights_only=True)["state_dict"], "`victim` must be the checkpoint of a Classifier built by"),
        ({"state_dict": {}, "hyper_parameters": {"num_classes": 2}}, "`victim` must be the checkpoint of a Classifier"),
        ({"model": Foreign}, "`victim`: .* is damaged, or holds more than tensors"),
    ]:
        torch.save(wrong, tmp_path / "wrong.ckpt")
        with pytest.raises(ValueError, match=message):
            small(victim=tmp_path / "wrong.ckpt")
    with pytest.raises(FileNotFoundError, match="`victim`: there is no file 'nowhere'; train a Classifier first"):
        small(victim="nowhere")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"in_channels": 0}, "`channels` must be a positive integer, got 0"),
        ({"eps": -1.0}, "`eps` must be a number of at least 0"),
        ({"kappa": -1.0}, "`kappa` must be a number of at least 0"),
        ({"adv_weight": -1.0}, "`adv_weight` must be"),
        ({"pert_weight": float("nan")}, "`pert_weight` must be"),
        ({"bound": -1.0}, "`bound` must be"),
        ({"lr": -1.0}, "`lr` must be"),
        ({"target": -1}, "`target` must be an integer of at least 0"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        small(**settings)


def test_data_of_other_channels_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has channels = 3, the data 1; set `model\.in_channels` to fit the data"):
        trainer(tmp_path).fit(small(in_channels=3), datamodule=ImageDataModule("digits", size=8))


# ---- what is logged and written


class Shift(nn.Module):
    """A generator that makes every image brighter or, by its first pixel, darker."""

    channels = 1

    def attack(self, images):
        return (images + torch.where(images[:, :1, :1, :1] > 0.5, -0.3, 0.3)).clamp(0, 1)


class Thirds(nn.Module):
    """Three classes by the mean brightness."""

    def forward(self, images):
        mean = images.mean((1, 2, 3))[:, None]
        return -(mean - torch.tensor([0.2, 0.5, 0.8])).abs()


@pytest.mark.parametrize(("stage", "prefix"), [("validate", "val"), ("test", "test")])
@pytest.mark.parametrize("target", [None, 1, 2])
@pytest.mark.parametrize("size", [1, 4, 40])
def test_fooled_are_counted_over_the_right_ones(tmp_path, stage, prefix, target, size):
    values = torch.rand(40, 1, 1, 1)
    images = values.expand(-1, 1, 2, 2).clone()
    images[:, :, 0, 0] = torch.rand(40, 1)
    victim = Thirds()
    right = victim(images).argmax(1)
    labels = torch.where(torch.arange(40) % 5 == 0, (right + 1) % 3, right)  # every fifth is wrong
    module = small(victim=victim, target=target)
    module.generator = Shift()
    (logged,) = getattr(trainer(tmp_path), stage)(module, loader(images, labels, size), verbose=False)
    after = victim(Shift().attack(images)).argmax(1)
    counted = [i for i in range(40) if right[i] == labels[i] and labels[i] != target]
    fooled = [i for i in counted if (after[i] != labels[i] if target is None else after[i] == target)]
    assert 0 < len(fooled) < len(counted) < 40
    assert logged == {f"{prefix}/fooled": pytest.approx(len(fooled) / len(counted))}


def test_fit_writes_the_generator_and_logs_its_losses(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr("lit_attr.modules.advgan.rank_zero_info", told.append)
    module = small()
    fitter = trainer(tmp_path, max_epochs=2)
    fitter.fit(module, loader(size=3), loader())
    names = {"adversarial", "gan", "perturbation", "discriminator"}
    assert fitter.callback_metrics.keys() == {*(f"train/loss_{name}" for name in names), "val/fooled"}
    path = tmp_path / "generator.safetensors"
    assert told == [f"Generator: {path}"]
    found = load_generator(path)
    assert (found.channels, found.eps, int(found.batches_seen)) == (1, 0.2, 4)
    assert torch.equal(found.attack(IMAGES), module.eval()(IMAGES))
    assert AdvGAN(path).generator == path


def test_a_trial_run_writes_nothing(tmp_path):
    trainer(tmp_path, fast_dev_run=True).fit(small(), loader(), loader())
    assert list(tmp_path.rglob("*.safetensors")) == []


@pytest.mark.filterwarnings("ignore:Precision .* is not supported by the model summary")
@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "64-true"])
def test_other_precisions(tmp_path, precision):
    module = small()
    fitter = trainer(tmp_path, max_epochs=2, precision=precision, accumulate_grad_batches=2, gradient_clip_val=1.0)
    fitter.fit(module, loader(size=2), loader())
    assert all(bool(torch.isfinite(value)) for value in fitter.callback_metrics.values())
    found = load_generator(tmp_path / "generator.safetensors").float()
    assert (found.attack(IMAGES) - IMAGES).abs().max() <= 0.2 + 1e-6


# ---- what it is for


def test_it_fools_where_noise_of_its_size_does_not(tmp_path):
    """Handwritten digits: a generator of a few epochs, on images that it has not seen."""
    digits = load_digits()
    images, labels = torch.tensor(digits.images[:, None] / 16, dtype=torch.float32), torch.tensor(digits.target)
    order = torch.randperm(len(images))
    (images, unseen), (labels, theirs) = images[order].split([1500, 297]), labels[order].split([1500, 297])
    batches = DataLoader(TensorDataset(images, labels), batch_size=50, shuffle=True)
    net = nn.Sequential(nn.Conv2d(1, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Flatten())
    net = nn.Sequential(net, nn.Linear(512, 10))
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(5):
        for some, wanted in batches:
            optimizer.zero_grad()
            F.cross_entropy(net(some), wanted).backward()
            optimizer.step()

    module = AdvGANModule(net, in_channels=1, eps=0.3)
    trainer(tmp_path, max_epochs=4).fit(module, batches)
    with torch.no_grad():
        away = module.eval()(unseen) - unseen
        signs = away.abs() * torch.randn_like(away).sign()  # as large in every pixel

        def accuracy(change):
            return float((net((unseen + change).clamp(0, 1)).argmax(1) == theirs).float().mean())

        clean, noisy, attacked = accuracy(0), accuracy(signs), accuracy(away)
    assert clean > 0.9
    assert noisy > 0.75
    assert attacked < 0.45


@pytest.mark.slow
def test_two_processes(tmp_path):
    """By the command line, in plain DDP: no deadlock, the file of one generator, and the numbers of one process."""
    shared = [
        *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--data.size", "8"),
        *("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "3"),
    ]
    classifier = Classifier("cifar_resnet8", 10, mean=[0.3], std=[0.3])
    fitter = trainer(tmp_path, max_steps=1)
    fitter.fit(classifier, loader())
    fitter.save_checkpoint(tmp_path / "victim.ckpt")
    two = {"processes": 2, "WANDB_MODE": "disabled"}
    config = ["--config", str(ROOT / "configs/attacks/advgan.yaml"), "--model.victim", "victim.ckpt"]
    done = command(tmp_path, "fit", *config, *shared, **two)
    runs = tmp_path / "runs/lit_attr"
    assert (done.stdout + done.stderr).count("Generator: runs/lit_attr/version_0/generator.safetensors") == 1
    assert int(load_generator(runs / "version_0/generator.safetensors").batches_seen) == 3

    checkpoint = runs / "version_0/checkpoints/last.ckpt"
    command(tmp_path, "validate", "--ckpt_path", str(checkpoint), "--explanations.methods", "[]", *shared, **two)
    with (runs / "version_1/metrics.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    victim = tmp_path / "victim.ckpt"
    module = AdvGANModule.load_from_checkpoint(checkpoint, weights_only=True, victim=str(victim))
    (expected,) = trainer(tmp_path).validate(module, ImageDataModule("digits", size=8), verbose=False)
    assert float(row["val/fooled"]) == pytest.approx(expected["val/fooled"], abs=1e-6)

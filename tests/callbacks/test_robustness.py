"""The callback against its definition: accuracies as by hand, no trace in training, everywhere Lightning evaluates."""

import csv
import json
import math
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, TensorDataset

from _reference.foreign import Foreign, Stripes, loaders, trainer
from _reference.processes import run
from lit_attr.attacks import BIM, FGSM
from lit_attr.callbacks import RobustnessCallback
from lit_attr.callbacks._collect import choose
from lit_attr.corruptions import GaussianNoise

ATTACKS = {"fgsm": {"eps": 0.1}, "bim": {"eps": 0.1, "alpha": 0.05, "steps": 2}}


class WithTest(Foreign):
    def test_step(self, batch, batch_idx):
        self.log("test/loss", self(batch[0]).mean())


def robustness(**settings):
    few = {"attacks": ATTACKS, "corruptions": {"gaussian": {"sigma": [0.1, 0.4]}}, "num_samples": 7, "num_images": 1}
    return RobustnessCallback(**{**few, **settings})


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def trained():
    """A module that is right more often than not, but not always."""
    torch.manual_seed(1)
    module = WithTest()
    fitter = trainer(None, max_epochs=6)
    fitter.fit(module, *loaders())
    return module.eval()


def by_hand(module, change, count=7):
    """Samples that are right before and after a change, one at a time."""
    right = []
    for index in choose(16, count, 0):
        image, label = Stripes()[index]
        x, y = image[None], torch.tensor([label])
        before = bool(module(x).argmax() == label)
        right.append((before, bool(module(change(x, y, index)).argmax() == label)))
    return right


def test_logged_numbers_are_those_of_single_samples(tmp_path):
    module = trained()
    run = trainer(tmp_path, robustness(eps=["10/255"]), logger=CSVLogger(tmp_path, name="run"))
    (logged,) = run.validate(module, loaders()[1], verbose=False)  # under inference mode
    fgsm = by_hand(module, lambda x, y, i: FGSM(eps=0.1)(module, x, y))
    bim = by_hand(module, lambda x, y, i: BIM(eps=0.1, alpha=0.05, steps=2)(module, x, y))
    clean = sum(before for before, _ in fgsm)
    assert clean > 0
    assert logged["robust/clean"] == pytest.approx(clean / 7)
    assert logged["robust/fgsm/0.1"] == pytest.approx(sum(a and b for a, b in fgsm) / 7)
    assert logged["robust/fgsm/success"] == pytest.approx(sum(a and not b for a, b in fgsm) / clean)
    both = sum(a and b and c for (a, b), (_, c) in zip(fgsm, bim, strict=True))
    assert logged["robust/worst_case"] == pytest.approx(both / 7)
    smaller = by_hand(module, lambda x, y, i: FGSM(eps=10 / 255)(module, x, y))
    assert logged["robust/fgsm/10_255"] == pytest.approx(sum(a and b for a, b in smaller) / 7)
    for sigma in (0.1, 0.4):
        noisy = by_hand(module, lambda x, y, i, s=sigma: GaussianNoise(sigma=s)(x, torch.tensor([i])))
        assert logged[f"robust/gaussian/{sigma}"] == pytest.approx(sum(b for _, b in noisy) / 7)
    rows = table(tmp_path / "run/version_0/robust/robustness.csv")
    assert [row["name"] for row in rows] == [
        *("clean", "fgsm", "fgsm", "bim", "bim", "gaussian", "gaussian", "worst_case")
    ]
    assert all(float(row["linf"]) <= 0.1 + 1e-6 for row in rows if row["name"] in {"fgsm", "bim"})
    (here,) = (tmp_path / "run/version_0/robust").glob("validation_*")
    assert [int(row["index"]) for row in table(here / "samples.csv")] == choose(16, 7, 0)
    pictures = {path.stem for path in here.glob("*.png")}
    first = f"{choose(16, 7, 0)[0]:06d}"
    assert pictures == {"curve_eps", "curve_sigma", f"fgsm_{first}", f"bim_{first}"}


def fit(folder, *callbacks, precision):
    torch.manual_seed(3)
    module = Foreign()
    train, val = loaders(random_noise=True)
    settings = {"accumulate_grad_batches": 2, "val_check_interval": 0.5, "num_sanity_val_steps": 2}
    trainer(folder, *callbacks, precision=precision, **settings).fit(module, train, val)
    return module, torch.get_rng_state()


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_training_is_the_same_to_the_bit_with_and_without(tmp_path, precision):
    alone, state = fit(tmp_path, precision=precision)
    random_start = {"pgd": {"eps": 0.1, "steps": 2}, "difgsm": {"steps": 2}}
    watched, other = fit(tmp_path, robustness(attacks=random_start, explain="saliency"), precision=precision)
    for name, value in alone.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name]), name
    assert torch.equal(state, other)


@pytest.mark.parametrize("inference_mode", [True, False])
def test_the_test_has_attacks_samples_and_checks_of_its_own(tmp_path, capsys, inference_mode):
    callback = robustness(
        test_attacks={"strong": {"class": "pgd", "eps": 0.1, "steps": 3}},
        test_samples=9,
        sanity=True,
        explain="saliency",
    )
    logger = CSVLogger(tmp_path, name="run")
    run = trainer(tmp_path, callback, logger=logger, inference_mode=inference_mode)
    (logged,) = run.test(trained(), loaders()[1], verbose=False)
    assert {"robust/strong/0.1", "robust/worst_case", "robust/sanity/failed", "robust/strong/ssim"} <= set(logged)
    assert not any("fgsm" in name for name in logged)
    assert "Robustness (test)" in capsys.readouterr().out
    (here,) = (tmp_path / "run/version_0/robust").glob("test_*")
    assert len(table(here / "samples.csv")) == 9
    checks = table(here / "sanity.csv")
    assert logged["robust/sanity/failed"] == sum(row["passed"] == "False" for row in checks)
    assert {"large_eps", "noise", "zero_gradient"} <= {row["name"] for row in checks}


def test_a_test_without_a_finite_sample_has_nothing_to_check(tmp_path):
    images = torch.full_like(torch.stack([image for image, _ in Stripes()]), torch.nan)
    data = DataLoader(TensorDataset(images, torch.zeros(len(images), dtype=torch.long)), 4)
    run = trainer(tmp_path, robustness(attacks={"pgd": {"steps": 2}}, sanity=True))
    with pytest.warns(UserWarning, match="have NaN or infinity"):
        (logged,) = run.test(WithTest(), data, verbose=False)
    assert math.isnan(logged["robust/clean"])
    assert "robust/sanity/failed" not in logged


def test_a_checkpoint_can_monitor_it_also_between_rounds(tmp_path):
    monitor = ModelCheckpoint(tmp_path / "best", monitor="robust/worst_case", mode="max", save_top_k=-1)
    callback = robustness(every_n_epochs=3)
    rounds, original = [], callback._round
    callback._round = lambda t, m, n: rounds.append(t.current_epoch) or original(t, m, n)
    trainer(tmp_path, callback, monitor, max_epochs=6).fit(Foreign(), *loaders())
    assert rounds == [0, 3, 5]
    assert len(monitor.best_k_models) == 6


def test_sanity_check_of_the_trainer_tries_one_sample_and_refuses_before_training(tmp_path):
    class Normalised(Stripes):
        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return (image - 0.5) / 0.25, label

    module = Foreign()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    fitter = trainer(tmp_path, robustness(), num_sanity_val_steps=1)
    data = torch.utils.data.DataLoader(Normalised(), 4)
    with pytest.raises(ValueError, match=r"must be images in \[0, 1\]"):
        fitter.fit(module, data, data)
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in before.items())


def test_the_last_numbers_survive_a_restart():
    first, second = robustness(), robustness()
    first._rounds.last, first._rounds.epoch = {"robust/clean": 0.5}, 4
    second.load_state_dict(first.state_dict())
    assert (second._rounds.last, second._rounds.epoch) == ({"robust/clean": 0.5}, 4)
    assert first.state_key == second.state_key != robustness(seed=1).state_key


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attacks": ["pdg"]}, "unknown attack 'pdg'"),
        ({"test_attacks": {"pgd": {"stps": 1}}}, "attack 'pgd' has no setting 'stps'"),
        ({"corruptions": ["smog"]}, "unknown corruption 'smog'"),
        ({"explain": "igg"}, "unknown method 'igg'"),
        ({"num_samples": 0}, "`num_samples` must be a positive integer, got 0"),
        ({"test_samples": 0}, "`test_samples` must be a positive integer, got 0"),
        ({"every_n_epochs": 0}, "`every_n_epochs` must be a positive integer, got 0"),
        ({"num_images": -1}, "`num_images` must be an integer of at least 0"),
        ({"name": "a/b"}, "`name` must be a name for a folder"),
        ({"attacks": [], "corruptions": []}, "`attacks` must be at least one attack or corruption"),
        ({"attacks": ["fgsm"], "sanity": True}, "`sanity` must be given with an attack of several steps"),
    ],
)
def test_settings_are_checked_when_it_is_made(settings, message):
    with pytest.raises(ValueError, match=message):
        robustness(**settings)


def test_setup_refuses_too_few_classes_and_two_of_a_name(tmp_path):
    module = WithTest()
    module.num_classes = 1
    with pytest.raises(ValueError, match="`num_classes` must be at least 2"):
        trainer(tmp_path, robustness()).validate(module, loaders()[1], verbose=False)
    module.num_classes = 3
    many = robustness(test_attacks={"auto": {"class": "autoattack", "steps": 1, "queries": 1}})
    trainer(tmp_path, many).validate(module, loaders()[1], verbose=False)
    with pytest.raises(ValueError, match="`num_classes` must be at least 4 for the attack 'auto', got 3"):
        trainer(tmp_path, many).test(module, loaders()[1], verbose=False)
    with pytest.raises(ValueError, match="`name` must be a name of its own"):
        trainer(tmp_path, robustness(), robustness(seed=1)).validate(Foreign(), loaders()[1], verbose=False)


class Ranks(L.Callback):
    """What each of two processes logged."""

    def on_validation_end(self, trainer, pl_module):
        values = sorted((k, float(v)) for k, v in trainer.callback_metrics.items() if k.startswith("robust/"))
        Path(trainer.default_root_dir, f"rank{trainer.global_rank}").write_text(json.dumps(values))


def validate_in_one_of_two():
    quiet = ("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing")
    callbacks = [robustness(), Ranks()]
    two = L.Trainer(accelerator="cpu", devices=2, strategy="ddp", callbacks=callbacks, **dict.fromkeys(quiet, False))
    module = WithTest()
    module.load_state_dict(torch.load("weights.pt"))
    two.validate(module, loaders()[1], verbose=False)


def test_two_processes_find_what_one_finds(tmp_path):
    module, two = trained(), tmp_path / "two"
    two.mkdir()
    torch.save(module.state_dict(), two / "weights.pt")
    (one,) = trainer(tmp_path, robustness()).validate(module, loaders()[1], verbose=False)
    done = run(two, __file__, "validate_in_one_of_two", processes=2)
    assert done.statuses == [0, 0], done.stderr
    for rank in (0, 1):
        found = dict(json.loads((two / f"rank{rank}").read_text()))
        assert found == pytest.approx({k: v for k, v in one.items() if k.startswith("robust/")}, abs=1e-6)
    (here,) = (two / "robust").glob("validation_*")
    assert [int(row["index"]) for row in table(here / "samples.csv")] == choose(16, 7, 0)

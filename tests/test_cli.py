"""The four commands, one after another, as a user types them."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from _reference.command import QUICK, prepare, refused
from _reference.fake_data import write_images
from lit_attr.attribution import IntegratedGradients
from lit_attr.cli import main
from lit_attr.datamodules import read_image
from lit_attr.modules import Classifier

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    prepare(monkeypatch, tmp_path)


def test_fit_validate_test_predict(tmp_path, capsys):
    main(["fit", *QUICK])
    shown = capsys.readouterr().out
    run = tmp_path / "runs/lit_attr/version_0"
    with (run / "metrics.csv").open(newline="") as file:
        last = [row for row in csv.DictReader(file) if row["val/accuracy"]][-1]
    assert f"{float(last['val/accuracy']):.4f}" in shown
    assert f"{float(last['explain/fast_ig/insertion']):.3f}" in shown
    assert "Best checkpoint: " in shown

    checkpoint = run / "checkpoints/last.ckpt"
    main(["validate", "--ckpt_path", str(checkpoint), *QUICK])
    assert f"{float(last['val/loss']):.4f}" in capsys.readouterr().out
    main(["test", "--ckpt_path", str(checkpoint), *QUICK])
    assert "test/accuracy" in capsys.readouterr().out

    write_images(tmp_path / "images", 3)
    main(["predict", "--ckpt_path", str(checkpoint), "--data.predict_path", "images", *QUICK])
    found = next(iter(sorted(run.rglob("*.safetensors"))))
    image = read_image(tmp_path / "images" / found.name.removesuffix(".safetensors"), 1)
    image = torch.nn.functional.interpolate(image[None].float() / 255, (32, 32), mode="bilinear", antialias=True)
    module = Classifier.load_from_checkpoint(checkpoint, map_location="cpu")
    expected = IntegratedGradients()(module, image)[0]
    assert torch.nn.functional.cosine_similarity(load_file(found)["attribution"].ravel(), expected.ravel(), 0) > 0.9
    with (found.parent / "predictions.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 3


def test_saved_config_gives_the_same_run(tmp_path):
    main(["fit", *QUICK, "--model.lr", "0.003"])
    first = tmp_path / "runs/lit_attr/version_0"
    assert yaml.safe_load((first / "config.yaml").read_text())["model"]["init_args"]["lr"] == 0.003
    main(["fit", "--config", str(first / "config.yaml")])
    weights = [
        torch.load(tmp_path / f"runs/lit_attr/version_{i}/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for i in (0, 1)
    ]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("trainer.max_epochs", "7", 7),
        ("model.label_smoothing", "0.2", 0.2),
        ("data.batch_size", "5", 5),
        ("data.augment.flip", "0.5", 0.5),
        ("explanations.num_samples", "9", 9),
        ("checkpoint.monitor", "explain/ig/gap", "explain/ig/gap"),
        ("writer.method", "grad_cam", "grad_cam"),
    ],
)
def test_every_part_can_be_set_on_the_command_line(option, value, expected, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["fit", f"--{option}", value, "--print_config"])
    assert stopped.value.code == 0
    found = yaml.safe_load(capsys.readouterr().out)
    first, *rest = option.split(".")
    found = found[first].get("init_args", found[first])
    for key in rest:
        found = found[key]
    assert found == expected


def test_configs_are_laid_over_each_other_in_order(capsys):
    configs = ["--config", str(ROOT / "configs/cifar10.yaml"), "--config", str(ROOT / "configs/overlays/ddp.yaml")]
    with pytest.raises(SystemExit):
        main(["fit", *configs, "--data.batch_size", "64", "--print_config"])
    found = yaml.safe_load(capsys.readouterr().out)
    assert found["data"]["init_args"]["dataset"] == "cifar10"
    assert found["data"]["init_args"]["batch_size"] == 64
    assert found["trainer"]["strategy"] == "ddp"
    assert found["explanations"]["methods"]  # from the default


OWN = """
import lightning as L
from _reference.foreign import Foreign, loaders

class Module(Foreign):
    def __init__(self, rate: float = 0.1):
        super().__init__()
        self.save_hyperparameters()

class Data(L.LightningDataModule):
    def __init__(self, size: int = 8):
        super().__init__()
        self.size = size
    def train_dataloader(self):
        return loaders(self.size)[0]
    def val_dataloader(self):
        return loaders(self.size)[1]
"""


def test_own_module_and_data_by_class_path(tmp_path, monkeypatch, capsys):
    (tmp_path / "own_parts.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    own = ["--model", "own_parts.Module", "--data", "own_parts.Data", "--data.size", "6", "--model.rate", "0.2"]
    main(["fit", *own, *QUICK, "--checkpoint.monitor", "explain/fast_ig/insertion"])
    assert "explain" in (tmp_path / "runs/lit_attr/version_0/metrics.csv").read_text()
    assert "fast_ig" in capsys.readouterr().out


def test_model_that_does_not_fit_the_data_is_refused(capsys):
    line = refused(capsys, "fit", *QUICK, "--model.num_classes", "12")
    assert line == "the model has num_classes = 12, the data 10; set `num_classes` of the model to fit the data"


def test_fault_of_the_library_is_not_shortened(monkeypatch):
    monkeypatch.setattr(Classifier, "training_step", lambda self, batch, index: None + 1)
    with pytest.raises(TypeError, match="unsupported operand"):
        main(["fit", *QUICK])


@pytest.mark.slow
def test_newcomers_command_from_another_folder_asks_nothing(tmp_path):
    command = [sys.executable, str(ROOT / "train.py"), "fit", "--trainer.fast_dev_run", "true"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB", "PL_"))}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Last validation" in done.stdout

"""The four commands, one after another, as a user types them."""

import csv
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path

import lightning as L
import pytest
import torch
import yaml
from safetensors.torch import load_file

from _reference.command import QUICK, prepare, refused
from _reference.fake_data import write_images, write_tree
from _reference.foreign import trainer
from _reference.processes import run
from lit_attr.attribution import IntegratedGradients
from lit_attr.cli import LitAttrCLI, main
from lit_attr.datamodules import ImageDataModule, SegmentationDataModule, read_image
from lit_attr.modules import Classifier, Segmenter

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


def printed(capsys, *args):
    """The config that `--print_config` shows."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(["fit", *args, "--print_config"])
    assert stopped.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "path", "expected"),
    [
        ("--trainer.max_epochs 7", "trainer.max_epochs", 7),
        ("--trainer.logger false", "trainer.logger", False),
        (
            "--trainer.callbacks+=LearningRateMonitor",
            "trainer.callbacks.0.class_path",
            "lightning.pytorch.callbacks.LearningRateMonitor",
        ),
        ("--model.label_smoothing 0.2", "model.init_args.label_smoothing", 0.2),
        ("--model.mean [0.1,0.2]", "model.init_args.mean", [0.1, 0.2]),
        ("--data.batch_size 5", "data.init_args.batch_size", 5),
        ("--data.augment.flip 0.5", "data.init_args.augment.flip", 0.5),
        ("--explanations.num_samples 9", "explanations.num_samples", 9),
        ("--explanations.methods [ig,saliency]", "explanations.methods", ["ig", "saliency"]),
        ("--explanations.metrics {gap:{steps:3}}", "explanations.metrics", {"gap": {"steps": 3}}),
        ("--checkpoint.monitor explain/ig/gap", "checkpoint.monitor", "explain/ig/gap"),
        ("--checkpoint.save_top_k 3", "checkpoint.save_top_k", 3),
        ("--writer.method grad_cam", "writer.method", "grad_cam"),
        ("--optimizer SGD --optimizer.lr 0.1", "optimizer.class_path", "torch.optim.SGD"),
        ("--optimizer SGD --optimizer.lr 0.1", "optimizer.init_args.lr", 0.1),
        ("--lr_scheduler StepLR --lr_scheduler.step_size 3", "lr_scheduler.init_args.step_size", 3),
        ("--seed_everything 5", "seed_everything", 5),
    ],
)
def test_every_part_can_be_set_on_the_command_line(capsys, args, path, expected):
    words = [word.replace(":", ": ") if word.startswith("{") else word for word in args.split()]
    found = yaml.safe_load(printed(capsys, *words))
    for key in path.split("."):
        found = found[int(key) if key.isdigit() else key]
    assert found == expected


@pytest.mark.parametrize(("args", "built"), [(["fit", "--model", "validate"], 2), (["--config", "c.yaml"], 4)])
def test_settings_are_read_of_the_commands_that_are_named(tmp_path, monkeypatch, capsys, args, built):
    """Of all where none is, for then a config may name one."""
    (tmp_path / "c.yaml").write_text("validate: {trainer: {max_epochs: many}}")
    add, seen = LitAttrCLI._add_arguments, []
    monkeypatch.setattr(LitAttrCLI, "_add_arguments", lambda cli, parser: (seen.append(parser), add(cli, parser)))
    line = refused(capsys, *args)
    assert len(seen) == built
    assert line.startswith("`model`: no LightningModule 'validate'" if built == 2 else "`trainer.max_epochs` must be")


def test_configs_are_laid_over_each_other_in_order(tmp_path, capsys):
    callback = "class_path: lightning.pytorch.callbacks.{}"
    (tmp_path / "one.yaml").write_text(f"trainer: {{callbacks: [{{{callback.format('LearningRateMonitor')}}}]}}")
    (tmp_path / "two.yaml").write_text(f"trainer: {{callbacks+: [{{{callback.format('DeviceStatsMonitor')}}}]}}")
    shipped = ["--config", str(ROOT / "configs/cifar10.yaml"), "--config", str(ROOT / "configs/overlays/ddp.yaml")]
    own = ["--config", "one.yaml", "--config", "two.yaml", "--trainer.callbacks+=OnExceptionCheckpoint"]
    last = ["--trainer.callbacks.dirpath=x", "--data.batch_size", "64"]
    found = yaml.safe_load(printed(capsys, *shipped, *own, *last))
    assert found["data"]["init_args"]["dataset"] == "cifar10"
    assert found["data"]["init_args"]["batch_size"] == 64
    assert found["trainer"]["strategy"] == "ddp"
    assert found["trainer"]["max_epochs"] == 200
    assert found["explanations"]["num_samples"] == 32  # from the default
    names = [entry["class_path"].rpartition(".")[2] for entry in found["trainer"]["callbacks"]]
    assert names == ["LearningRateMonitor", "DeviceStatsMonitor", "OnExceptionCheckpoint"]


def test_one_setting_of_a_method_leaves_the_others(capsys):
    found = yaml.safe_load(printed(capsys, "--explanations.methods.ig.steps", "5"))["explanations"]["methods"]
    assert found == {"ig": {"steps": 5}, "fast_ig": {}, "grad_cam": {}}


def test_printed_config_is_a_config(tmp_path, capsys):
    args = [
        "--optimizer",
        "SGD",
        "--optimizer.lr",
        "0.1",
        "--trainer.callbacks+=LearningRateMonitor",
        "--writer.folder",
        "x",
    ]
    text = printed(capsys, *args)
    (tmp_path / "printed.yaml").write_text(text)
    assert printed(capsys, "--config", "printed.yaml") == text


def stored(path):
    return torch.load(path, weights_only=True)


def test_optimiser_and_schedule_of_the_command_line(tmp_path):
    sgd = ["--optimizer", "SGD", "--optimizer.lr", "0.5", "--optimizer.momentum", "0.75"]
    main(["fit", *QUICK, *sgd, "--lr_scheduler", "StepLR", "--lr_scheduler.step_size", "1"])
    found = stored(tmp_path / "runs/lit_attr/version_0/checkpoints/last.ckpt")
    [group] = found["optimizer_states"][0]["param_groups"]
    assert (group["initial_lr"], group["momentum"]) == (0.5, 0.75)
    assert found["lr_schedulers"][0]["step_size"] == 1


@pytest.fixture
def checkpoint(tmp_path):
    """Of a fit with settings that are not the default's."""
    main(["fit", *QUICK, "--model.model", "cifar_resnet14", "--model.lr", "0.003", "--data.size", "16"])
    return tmp_path / "runs/lit_attr/version_0/checkpoints/last.ckpt"


def config_of(run):
    found = yaml.safe_load((Path("runs/lit_attr") / run).read_text())
    return found["model"]["init_args"] | found["data"]["init_args"]


@pytest.mark.parametrize("given", ["--ckpt_path={}", "--ckpt_path {}"])
def test_settings_of_a_checkpoint_hold_unless_given(checkpoint, given):
    main(["validate", *QUICK, *given.format(checkpoint).split(), "--model.lr", "0.5", "--data.batch_size", "32"])
    found = config_of("version_1/config_validate.yaml")
    assert (found["model"], found["size"]) == ("cifar_resnet14", 16)
    assert (found["lr"], found["batch_size"]) == (0.5, 32)


def test_checkpoint_named_by_a_config(checkpoint, tmp_path):
    (tmp_path / "c.yaml").write_text(f"ckpt_path: {checkpoint}")
    main(["validate", *QUICK, "--config", "c.yaml", "--data.size", "16"])
    assert config_of("version_1/config_validate.yaml")["model"] == "cifar_resnet14"


def test_training_goes_on_from_a_checkpoint(checkpoint, tmp_path):
    main(["fit", *QUICK, "--ckpt_path", str(checkpoint), "--trainer.max_epochs", "2", "--optimizer", "AdamW"])
    found = stored(tmp_path / "runs/lit_attr/version_1/checkpoints/last.ckpt")
    assert (found["epoch"], found["global_step"]) == (1, 2 * stored(checkpoint)["global_step"])
    assert config_of("version_1/config.yaml")["size"] == 16


def test_checkpoint_of_a_run_in_python(tmp_path, capsys):
    module = Classifier("cifar_resnet14", num_classes=10, mean=[0.1], std=[0.5])
    runner = trainer(tmp_path, max_steps=1, limit_val_batches=1)
    runner.fit(module, datamodule=ImageDataModule(size=16))
    runner.save_checkpoint(tmp_path / "x.ckpt")
    main(["validate", *QUICK, "--ckpt_path", "x.ckpt"])
    found = config_of("version_0/config_validate.yaml")
    assert (found["model"], found["mean"], found["size"]) == ("cifar_resnet14", [0.1], 16)


def test_checkpoint_of_a_segmenter_in_python(tmp_path, capsys):
    runner = trainer(tmp_path, max_steps=1, limit_val_batches=1)
    runner.fit(Segmenter("small_segmenter", num_classes=3, lr=0.5), datamodule=SegmentationDataModule(batch_size=8))
    runner.save_checkpoint(tmp_path / "x.ckpt")
    without = ["--explanations.methods", "[]", "--checkpoint.monitor", "val/miou"]
    main(["validate", *QUICK, "--ckpt_path", "x.ckpt", *without])
    found = config_of("version_0/config_validate.yaml")
    assert (found["model"], found["lr"], found["batch_size"]) == ("small_segmenter", 0.5, 8)
    assert "val/iou/digit_with_red_key" in capsys.readouterr().out


def test_checkpoint_of_the_command_line_loads_in_python(checkpoint):
    for cls in (Classifier, L.LightningModule):  # the second finds the class in the checkpoint
        module = cls.load_from_checkpoint(checkpoint, weights_only=True)
        assert isinstance(module, Classifier)
        assert module.hparams["model"] == "cifar_resnet14"
        values = stored(checkpoint)["state_dict"]
        assert all(torch.equal(value, values[name]) for name, value in module.state_dict().items())


@pytest.mark.parametrize(
    "off", ["enable_checkpointing", "enable_progress_bar", "enable_model_summary", "logger", "num_sanity_val_steps"]
)
def test_parts_can_be_turned_off(tmp_path, capsys, off):
    main(["fit", *QUICK, f"--trainer.{off}", "0" if off.startswith("num") else "false"])
    shown = capsys.readouterr().out
    assert "Last validation" in shown
    assert ("Best checkpoint: " in shown) == (off != "enable_checkpointing") == bool(list(tmp_path.rglob("*.ckpt")))


@pytest.mark.parametrize("command", ["fit", "validate", "predict"])
def test_without_a_logger_everything_is_below_runs(tmp_path, command):
    write_images(tmp_path / "images", 1)
    main([command, *QUICK, "--trainer.logger", "false", "--data.predict_path", "images", "--writer.method", "fast_ig"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "runs"]
    expected = {"fit": "checkpoints/last.ckpt", "validate": "config_validate.yaml", "predict": "predictions/images"}
    assert (tmp_path / "runs" / expected[command]).exists()


@pytest.mark.parametrize("command", ["fit", "validate", "test"])
def test_barebones_runs_and_writes_nothing(tmp_path, capsys, monkeypatch, command):
    monkeypatch.delattr("lit_attr.callbacks.ExplanationCallback.on_validation_epoch_end")
    main([command, *QUICK, "--trainer.barebones", "true"])
    assert list(tmp_path.iterdir()) == []
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "warning" not in shown.err


def test_barebones_predicts(tmp_path):
    write_images(tmp_path / "images", 1)
    barebones = ["--trainer.barebones", "true", "--data.predict_path", "images", "--writer.method", "fast_ig"]
    main(["predict", *QUICK, *barebones])
    assert (tmp_path / "runs/predictions/images/predictions.csv").exists()


def test_loggers_that_are_given_replace_those_of_the_config(capsys):
    given = '{"class_path": "CSVLogger", "init_args": {"save_dir": "runs", "name": "lit_attr"}}'
    logger = yaml.safe_load(printed(capsys, "--trainer.logger", given))["trainer"]["logger"]
    assert logger["class_path"] == "lightning.pytorch.loggers.CSVLogger"


def test_fast_dev_run_writes_nothing(tmp_path, capsys):
    main(["fit", *QUICK, "--trainer.fast_dev_run", "true"])
    assert "Results, pictures and config" not in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


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


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_parts.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield ["--model", "own_parts.Module", "--data", "own_parts.Data"]
    del sys.modules["own_parts"]


def test_own_module_and_data_by_class_path(tmp_path, own, capsys):
    settings = ["--data.size", "6", "--model.rate", "0.2", "--checkpoint.monitor", "explain/fast_ig/insertion"]
    main(["fit", *own, *QUICK, *settings])
    assert "explain" in (tmp_path / "runs/lit_attr/version_0/metrics.csv").read_text()
    assert "fast_ig" in capsys.readouterr().out
    main(["validate", *QUICK, "--ckpt_path", "runs/lit_attr/version_0/checkpoints/last.ckpt", "--data", own[3]])
    found = config_of("version_1/config_validate.yaml")
    assert (found["rate"], found["size"]) == (0.2, 8)


def test_config_of_own_parts_is_printed(own, tmp_path, capsys):
    text = printed(capsys, *own, "--data.size", "6")
    found = yaml.safe_load(text)
    assert found["model"] == {"class_path": "own_parts.Module", "init_args": {"rate": 0.1}}
    assert found["data"] == {"class_path": "own_parts.Data", "init_args": {"size": 6}}
    (tmp_path / "printed.yaml").write_text(text)
    assert printed(capsys, "--config", "printed.yaml") == text


def test_model_that_does_not_fit_the_data_is_refused(capsys):
    line = refused(capsys, "fit", *QUICK, "--model.num_classes", "12")
    assert line == "the model has num_classes = 12, the data 10; set `num_classes` of the model to fit the data"


@pytest.mark.parametrize("fault", [TypeError, ValueError, KeyError, OSError, RuntimeError])
def test_faults_in_a_run_are_not_shortened(monkeypatch, fault):
    def broken(*_, **__):
        raise fault("a fault")

    monkeypatch.setattr(Classifier, "training_step", broken)
    with pytest.raises(fault, match="a fault"):
        main(["fit", *QUICK])


@pytest.mark.parametrize("fault", [lambda: int("x"), lambda: {}["x"], lambda: None + 1, lambda: Path("x").read_text()])
def test_faults_as_a_part_is_made_are_not_shortened(monkeypatch, fault):
    """jsonargparse makes a ValueError of them, like of a setting that a class refuses."""
    monkeypatch.setattr(Classifier, "__init__", lambda *_, **__: fault())
    with pytest.raises(ValueError, match="Does not validate") as raised:
        main(["fit", *QUICK])
    assert type(raised.value.__cause__) in {ValueError, KeyError, TypeError, FileNotFoundError}


def test_untrained_weights_are_said(tmp_path, caplog):
    """Else their accuracy, or the explanations of their predictions, would be taken for a model's."""
    torch.save(Classifier("cifar_resnet8", 10, [0.5], [0.5]).model.state_dict(), tmp_path / "weights.pt")
    for given, said in ([], True), (["--model.weights", "weights.pt"], False):
        caplog.clear()
        with caplog.at_level("INFO"):
            main(["validate", *QUICK, *given])
        assert ("No `--ckpt_path`" in caplog.text) == said


def test_early_stopping_on_what_nobody_logs_is_refused_in_one_line(capsys):
    stopping = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor", "val/acc"]
    line = refused(capsys, "fit", *QUICK, *stopping)
    assert "`val/acc` which is not available" in line
    assert "`explain/fast_ig/insertion`" in line


def test_refusals_of_a_users_own_parts_are_one_line(monkeypatch, capsys):
    def refuse(*_, **__):
        raise ValueError("`width` must be even")

    monkeypatch.setattr(Classifier, "__init__", refuse)
    assert refused(capsys, "fit", *QUICK) == "`width` must be even"


@pytest.mark.parametrize("workers", ["0", "1"])
def test_broken_image_is_named_in_one_line(tmp_path, capsys, workers):
    write_tree(tmp_path / "data", {"train": {"a": 4, "b": 4}, "val": {"a": 1, "b": 1}})
    (tmp_path / "data/train/a/0.png").write_bytes(b"nothing")
    data = ["--data.dataset", "folder", "--data.root", "data", "--data.size", "8", "--data.batch_size", "2"]
    model = ["--model.num_classes", "2", "--model.mean", "[0.5,0.5,0.5]", "--model.std", "[0.5,0.5,0.5]"]
    every = ["--trainer.limit_train_batches", "4", "--data.num_workers", workers, "--trainer.num_sanity_val_steps", "0"]
    line = refused(capsys, "fit", *QUICK, *data, *model, *every)
    assert line == "cannot read image 'data/train/a/0.png': not an image of a known format"


def test_warnings_are_one_line_and_the_filters_are_left_alone(tmp_path, capsys):
    import warnings

    write_images(tmp_path / "images", 1)
    (tmp_path / "images/bad.png").write_bytes(b"nothing")
    before, shown = list(warnings.filters), warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("default", UserWarning)
        main(["predict", *QUICK, "--data.predict_path", "images", "--writer.method", "fast_ig"])
    lines = [line for line in capsys.readouterr().err.splitlines() if "bad.png" in line]
    assert lines == ["warning: unreadable: 1 of the images: bad.png (not an image of a known format)"]
    assert (warnings.filters, warnings.showwarning) == (before, shown)


def test_version_and_console_script(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.split()[-2:] == ["lit_attr", version("lit_attr")]
    [script] = [entry for entry in entry_points(group="console_scripts") if entry.name == "lit-attr"]
    assert script.load() is main


@pytest.mark.slow
def test_newcomers_command_asks_nothing_connects_nowhere_and_is_quiet(tmp_path):
    """From another folder, without terminal, account or network."""
    little = ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "2", "--explanations.num_samples", "2"]
    nowhere = "http://127.0.0.1:9"
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB", "PL_"))}
    environment |= {"HOME": str(tmp_path), "HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), "fit", *little],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for title in ("Last validation", "Explanations", "Results, pictures and config: ", "Best checkpoint: "):
        assert done.stdout.count(title) == 1
    lines = done.stderr.splitlines()
    assert len(lines) == len(set(lines)) <= 8, done.stderr
    assert not re.search("warning|error|tip:", done.stderr, re.IGNORECASE), done.stderr


def typed(args):
    """In a process of its own, whose command Lightning repeats where it starts another one."""
    sys.argv = [str(ROOT / "train.py"), *args]
    main(args)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "strategy"), [("fit", "ddp"), ("validate", "ddp"), ("fit", "ddp_spawn"), ("validate", "ddp_fork")]
)
def test_the_folder_that_is_named_is_the_one_that_was_written(tmp_path, command, strategy):
    """Lightning starts the second process, or both; these count the runs on their own."""
    args = [command, *QUICK, "--trainer.strategy", strategy, "--trainer.devices", "2"]
    done = run(tmp_path, __file__, "typed", args)
    assert done.statuses == [0], done.stderr
    [line] = [line for line in done.stdout.splitlines() if line.startswith("Results, pictures and config: ")]
    assert line.endswith("runs/lit_attr/version_0")
    [config] = tmp_path.rglob("config*.yaml")
    assert config.parent == tmp_path / "runs/lit_attr/version_0"


@pytest.mark.slow
def test_fewer_samples_than_processes_are_refused_in_one_line(tmp_path):
    write_tree(tmp_path / "data", {"train": {"a": 4, "b": 4}, "val": {"a": 1}})
    data = ["--data.dataset", "folder", "--data.root", "data", "--data.size", "8", "--data.batch_size", "2"]
    model = ["--model.num_classes", "2", "--model.mean", "[0.5,0.5,0.5]", "--model.std", "[0.5,0.5,0.5]"]
    two = ["--trainer.strategy", "ddp", "--trainer.devices", "2"]
    done = run(tmp_path, __file__, "typed", ["fit", *QUICK, *data, *model, *two])
    assert done.statuses == [2]
    assert done.stderr.splitlines()[-1] == (
        "error: `trainer.devices` must be at most the number of samples to evaluate (1), got 2 processes"
    )


def test_one_setting_of_one_method_can_be_typed(monkeypatch):
    seen = []
    monkeypatch.setattr(
        "lit_attr.callbacks.ExplanationCallback.on_validation_epoch_end",
        lambda callback, trainer, module: seen.append(callback.methods["ig"].steps),
    )
    main(["fit", "--explanations.methods.ig.steps", "3", "--trainer.fast_dev_run", "true"])
    assert seen == [3]


def test_commands_without_a_trainer_are_told_and_run(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    assert "`report FOLDER` makes the page of a run that was killed" in told
    main(["report", str(tmp_path)])
    assert capsys.readouterr().out == f"{tmp_path}/report.html\n"


def test_the_page_of_a_run_is_the_last_line(tmp_path, capsys):
    main(["fit", *QUICK])
    assert capsys.readouterr().out.splitlines()[-1] == "Report: runs/lit_attr/version_0/report.html"

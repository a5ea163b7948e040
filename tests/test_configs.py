"""Every shipped config runs, on tiny data in the real formats and without a download."""

import csv
from pathlib import Path

import pytest
import torch.distributed as dist
import yaml

from _reference.command import prepare
from _reference.fake_data import (
    accept_any_cifar,
    write_cifar,
    write_masked,
    write_mnist,
    write_sbd,
    write_tree,
    write_voc,
)
from _reference.foreign import trainer
from lit_attr.attribution import METHODS, available
from lit_attr.cli import main
from lit_attr.modules import Classifier
from lit_attr.updates import UPDATES

CONFIGS = Path(__file__).parents[1] / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))
TWO_CLASSES = {"train": {"cat": 4, "dog": 4}, "val": {"cat": 2, "dog": 2}}
THOUSAND = {part: {f"n{i:08d}": 1 for i in range(1000)} for part in ("train", "val")}
DATA = {
    "mnist": write_mnist,
    "fashion_mnist": lambda root: write_mnist(root, "FashionMNIST"),
    "cifar10": write_cifar,
    "cifar100": lambda root: write_cifar(root, classes=100),
    "imagenet": lambda root: write_tree(root, THOUSAND),
    "image_folder": lambda root: write_tree(root, TWO_CLASSES),
    "voc": write_voc,
    "sbd": lambda root: (write_voc(root), write_sbd(root, train=("s1", "s2"))),
    "folder": lambda root: write_masked(root, {"train": 4, "val": 2}),
}
SMALL = ["--data.batch_size", "2", "--data.num_workers", "0", "--explanations.num_samples", "1"]
SMALLER = ["--data.size", "32", "--explanations.methods", "[fast_ig, grad_cam]"]
SMALL_WINDOWS = ["--data.size", "48", "--data.crop", "48", "--model.weights_backbone", "null"]
# The large networks; `scenes` asks its small one for everything.
SMALL_WINDOWS += ["--explanations.methods", "[hires_cam]", "--explanations.metrics", "[target_drop]"]


def write_classifier(path):
    """The checkpoint of a classifier of grey digits."""
    fitter = trainer(path.parent)
    fitter.strategy.connect(Classifier("cifar_resnet8", num_classes=10, mean=[0.3], std=[0.3]))
    fitter.save_checkpoint(path)
    return path


def leave_group():
    """Lightning leaves its process group to the end of the process, where the next config would find it."""
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONFIGS)))
@pytest.mark.filterwarnings(
    "ignore:Precision bf16-mixed is not supported by the model summary",
    "ignore:W&B is disabled",
    "ignore:(insertion|deletion|gap). 0 samples used",  # ResNet-50 overflows in eval mode after a single batch of two
)
def test_config_trains_and_explains(path, tmp_path, monkeypatch, request):
    prepare(monkeypatch, tmp_path)
    request.addfinalizer(leave_group)
    accept_any_cifar(monkeypatch)
    options = ["--data.root", str(tmp_path / "data"), *SMALL]
    if path.stem == "advgan":
        options += ["--model.victim", str(write_classifier(tmp_path / "victim.ckpt"))]
    if path.stem in DATA:
        DATA[path.stem](tmp_path / "data")
    if path.stem in {"imagenet", "image_folder"}:
        options += [*SMALLER, "--model.weights", "null"]
    if path.stem in {"voc", "sbd", "folder"}:
        options += SMALL_WINDOWS
    machine = ["--trainer.accelerator", "cpu", "--trainer.devices", "1", "--trainer.fast_dev_run", "true"]
    main(["fit", "--config", str(path), *options, *machine])


@pytest.mark.slow
def test_the_benchmark_measures_all_that_it_names(tmp_path, monkeypatch, request):
    """One sample, with the settings of the config but for the lengths of walks and curves."""
    prepare(monkeypatch, tmp_path)
    request.addfinalizer(leave_group)
    path = CONFIGS / "benchmark" / "classification.yaml"
    config = yaml.safe_load(path.read_text())["benchmark"]
    few = {"laai": {"explorations": 2, "steps": 2}, "agi": {"classes": 2, "steps": 2}, "la": {"classes": 2, "steps": 2}}
    few |= {"attexplore": {"steps": 2, "copies": 2}, "isa": {"rounds": 2}, "ig": {"steps": 4}, "big": {"steps": 4}}
    few |= {"smoothgrad": {"samples": 2}, "guided_ig": {"steps": 4}, "expected_gradients": {"samples": 2}}
    few |= {"insertion": {"steps": 4}, "infidelity": {"samples": 4}, "max_sensitivity": {"draws": 1}}
    curves = [name for name in config["metrics"] if "insertion" in name or "deletion" in name or "gap" in name]
    few |= {name: {"steps": 4} for name in curves}
    for kind in ("methods", "metrics"):
        assert set(config[kind]) >= {"ig", "laai"} or set(config[kind]) >= {"infidelity", "f_gap", "kl_gap"}
        config[kind] = {name: {**settings, **few.get(name, {})} for name, settings in config[kind].items()}
    config |= {"num_samples": 1, "num_images": 1, "folder": "found"}
    (tmp_path / "few.yaml").write_text(yaml.safe_dump({"benchmark": config}))
    machine = ["--trainer.accelerator", "cpu", "--trainer.devices", "1", "--trainer.logger", "false"]
    main(["validate", "--config", str(path), "--config", str(tmp_path / "few.yaml"), *machine])
    with Path("found/table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    asked = {*config["methods"], *config["controls"]}
    assert {(row["method"], row["metric"]) for row in rows} == {(a, b) for a in asked for b in config["metrics"]}


def test_the_overlay_of_all_methods_has_all():
    overlay = yaml.safe_load((CONFIGS / "overlays" / "explain_all.yaml").read_text())
    assert sorted(overlay["explanations"]["methods"]) == available()


def test_the_benchmark_of_update_rules_has_all():
    methods = yaml.safe_load((CONFIGS / "benchmark" / "update_methods.yaml").read_text())["explanations"]["methods"]
    assert {settings["class"] for settings in methods.values()} == {"fundamental"}
    named = [settings["update"] for settings in methods.values()]
    rules = [update["class"] if isinstance(update, dict) else update for update in named]
    assert {rule for rule in rules if rule in UPDATES.names()} == set(UPDATES.names()) - {"advgan"}  # needs a file
    assert all(rule in UPDATES.names() or rule.startswith("torchattacks.") for rule in rules)


def test_rules_of_the_benchmark_go_equally_far():
    """As far in ten steps of 2/255 as FGSM in one; a step of given length is as long as one of signs at 32 x 32."""
    methods = yaml.safe_load((CONFIGS / "benchmark" / "update_methods.yaml").read_text())["explanations"]["methods"]
    built = METHODS.build_all(methods)
    way = built["bim"].steps * built["bim"].update.alpha
    assert built["fgsm"].steps * built["fgsm"].update.alpha == pytest.approx(way, rel=1e-3)
    assert built["l2"].update.alpha == pytest.approx(built["bim"].update.alpha * 32, rel=1e-3)
    step = {
        name: method.update.alpha
        for name, method in built.items()
        if hasattr(method.update, "alpha") and method.update.length == "linf"
    }
    assert {name for name, alpha in step.items() if alpha != built["bim"].update.alpha} == {"fgsm"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_config_is_short_and_says_how_it_is_used(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= 45
    assert "python train.py fit" in "\n".join(line for line in lines if line.startswith("#"))
    assert isinstance(yaml.safe_load(path.read_text()), dict)

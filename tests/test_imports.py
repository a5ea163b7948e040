"""What importing the library costs: nothing that explaining a plain module does not need."""

import pytest

import lit_attr
from _reference.processes import run

LIGHTNING = {"lightning.pytorch", "matplotlib", "torchvision"}
ON_USE = {"wandb", "torchattacks", "captum", "skimage", "sklearn", "timm"}


def heavy(folder, *statements):
    """Which heavy packages each of the statements brings beyond those before it, in a process that has only torch."""
    code = f"""
import sys
before = set()
for statement in {statements}:
    exec(statement)
    loaded = {{name for name in {LIGHTNING | ON_USE} if name in sys.modules}}
    print(*loaded - before)
    before = loaded
"""
    done = run(folder, "builtins", "exec", code, preloaded="torch")
    assert done.statuses == [0], done.stderr
    return [set(line.split()) for line in done.stdout.splitlines()]


def test_light(tmp_path):
    statements = ["import lit_attr", "import lit_attr.attribution", "import lit_attr.visual"]
    assert heavy(tmp_path, *statements) == [set(), set(), set()]


def test_metrics_and_the_choice_bring_nothing_beyond_torchmetrics(tmp_path):
    """Which itself brings matplotlib and torchvision, as of 1.9. `lit_attr.select` is there without a word more."""
    choice = "import lit_attr; lit_attr.select"
    brought, *more = heavy(tmp_path, "import torchmetrics", "import lit_attr.metrics", choice)
    assert more == [set(), set()]
    assert heavy(tmp_path, choice) == [brought]


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="module 'lit_attr' has no attribute 'choose'"):
        _ = lit_attr.choose


def test_the_command_line_brings_no_service_and_no_oracle(tmp_path):
    """It imports modules, datamodules and callbacks."""
    (brought,) = heavy(tmp_path, "import lit_attr.cli, lit_attr.datamodules")
    assert brought <= LIGHTNING


def test_heavy_packages_would_be_seen(tmp_path):
    assert heavy(tmp_path, "pass", "import matplotlib") == [set(), {"matplotlib"}]

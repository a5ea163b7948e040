"""What importing the library costs: nothing that explaining a plain module does not need."""

import subprocess
import sys

import pytest

import lit_attr

LIGHTNING = {"lightning.pytorch", "matplotlib", "torchvision"}
ON_USE = {"wandb", "torchattacks", "captum", "skimage", "sklearn", "timm"}


def heavy(statement, given="pass"):
    """Which heavy packages a statement brings into a new process, beyond what another one brought before it."""
    code = f"""
import sys
def loaded():
    return {{name for name in {LIGHTNING | ON_USE} if name in sys.modules}}
{given}
before = loaded()
{statement}
print(*loaded() - before)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(found.stdout.split())


@pytest.mark.parametrize("module", ["lit_attr", "lit_attr.attribution", "lit_attr.visual"])
def test_light(module):
    assert heavy(f"import {module}") == set()


def test_the_choice_comes_on_use():
    """`lit_attr.select` is there without a word more, and brings what the metrics bring."""
    assert heavy("import lit_attr; lit_attr.select", given="import torchmetrics") == set()
    assert heavy("import lit_attr; lit_attr.select") == heavy("import torchmetrics")


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="module 'lit_attr' has no attribute 'choose'"):
        _ = lit_attr.choose


def test_metrics_bring_nothing_beyond_torchmetrics():
    """Which itself brings matplotlib and torchvision, as of 1.9."""
    assert heavy("import lit_attr.metrics", given="import torchmetrics") == set()


def test_the_command_line_brings_no_service_and_no_oracle():
    """It imports modules, datamodules and callbacks."""
    assert heavy("import lit_attr.cli, lit_attr.datamodules") <= LIGHTNING


def test_heavy_packages_would_be_seen():
    assert heavy("import matplotlib") == {"matplotlib"}

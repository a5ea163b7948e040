"""The wheel holds what the repository holds."""

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]
TOP = {"lit_attr": "lit_attr", "callbacks": "lit_attr.callbacks", "datamodules": "lit_attr.datamodules"}
TOP["configs"] = "lit_attr.configs"


def on_disk():
    """Packages by the folders that hold Python files."""
    found = set()
    for folder, package in TOP.items():
        for path in (ROOT / folder).rglob("*.py"):
            inner = path.parent.relative_to(ROOT / folder).parts
            found.add(".".join([package, *inner]))
    return found


def shipped(suffix):
    """Files of the repository that belong into the wheel, by their path in it."""
    for folder, package in TOP.items():
        for path in (ROOT / folder).rglob(f"*{suffix}"):
            yield "/".join([*package.split("."), *path.relative_to(ROOT / folder).parts])


def test_every_folder_is_a_listed_package():
    assert sorted(SETUPTOOLS["packages"]) == sorted(on_disk())


def test_every_package_has_an_init():
    """A folder without one would be a namespace package, which the editable install finds and the wheel may not."""
    sources = [path for folder in TOP for path in (ROOT / folder).rglob("*.py")]
    assert [path for path in sources if not path.with_name("__init__.py").is_file()] == []


def test_folders_at_the_top_are_mapped_into_the_package():
    mapping = {package: folder for folder, package in TOP.items() if folder != package}
    assert SETUPTOOLS["package-dir"] == mapping


def test_every_bound_has_a_reason():
    """Each requirement stands on a line of its own with a comment."""
    text = (ROOT / "pyproject.toml").read_text()
    for requirement in PROJECT["project"]["dependencies"]:
        (line,) = [line for line in text.splitlines() if line.strip().startswith(f'"{requirement}"')]
        assert "#" in line.split(requirement)[1], requirement


@pytest.mark.slow
def test_wheel(tmp_path):
    """Built offline from a copy, for a build writes into its tree."""
    tree, out = tmp_path / "tree", tmp_path / "out"
    for folder in TOP:
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", out]
    command = [sys.executable, "-m", "pip", "wheel", *options, tree]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = out.glob("lit_attr-*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == {*shipped(".py"), *shipped(".yaml"), *shipped(".csv"), *shipped(".html"), "lit_attr/py.typed"}
    assert "lit_attr/configs/default.yaml" in names

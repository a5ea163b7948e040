"""The examples run as they stand."""

import json
import re
import runpy
from pathlib import Path

import pytest
from PIL import Image

from _reference.command import prepare

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOK = json.loads((EXAMPLES / "choose_a_method.ipynb").read_text())
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]

pytestmark = pytest.mark.slow


@pytest.fixture
def shown(tmp_path, monkeypatch, capsys):
    """Runs a script in a folder of its own; the lines that it prints."""
    prepare(monkeypatch, tmp_path)

    def run(name):
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run


def values(lines, pattern):
    """The numbers that a pattern finds, by what stands before them."""
    found = (re.search(pattern, line) for line in lines)
    return {match[1]: [float(number) for number in match.groups()[1:]] for match in found if match}


def test_a_plain_module(shown):
    lines = shown("plain_module.py")
    scores = values(lines, r"(\w+): insertion ([\d.]+), deletion ([\d.]+)")
    assert set(scores) == {"saliency", "ig", "mfaba", "occlusion"}
    assert all(insertion > deletion for insertion, deletion in scores.values())
    accuracy = values(lines, r"accuracy, (\w+): ([\d.]+)")
    assert accuracy["clean"] > accuracy["attacked"]
    with Image.open("plain_module.png") as picture:
        assert picture.width > 500


def test_a_foreign_module(shown):
    found = values(shown("foreign_lightning_module.py"), r"^([\w/.]+): ([\d.]+)$")
    names = {"explain/ig/insertion", "explain/grad_cam/deletion", "robust/pgd/8_255", "robust/gaussian/0.2"}
    assert names <= set(found)
    run = Path("runs/foreign/version_0")
    assert (run / "explain/scores.csv").is_file()
    assert list((run / "explain").rglob("*.png"))


def test_sigma_retraining(shown):
    lines = shown("sigma_retraining.py")
    (variants,) = (int(line.split()[0]) for line in lines if re.fullmatch(r"\d+ variants", line))
    accuracy = values(lines, r"accuracy, (\w+)\D*[\d.]*: ([\d.]+) without variants, ([\d.]+) with them")
    assert variants > 150
    assert set(accuracy) == {"clean", "noise", "PGD"}
    assert all(clean > 0.9 for clean in accuracy["clean"])


def test_the_notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for cell in CELLS:
        exec(compile(cell, "choose_a_method.ipynb", "exec"), names)
    assert names["attribution"].shape == (4, 1, 8, 8)
    assert names["choice"].table[0].verdict == "chosen"
    assert set(names["maps"]) == {"saliency", "ig", "mfaba", "rise"}


def test_the_notebook_is_stored_without_outputs():
    assert [cell["outputs"] for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"] == [[] for _ in CELLS]

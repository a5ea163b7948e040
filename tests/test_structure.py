"""Files mirror each other and stay short."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"lit_attr": "", "callbacks": "callbacks", "datamodules": "datamodules"}  # and where their tests lie
SOURCES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
NO_TEST_OF_THEIR_OWN = {"__init__.py"}  # a list of names, tested by test_public_names.py
LINES = 400


def mirror(path):
    """The test file of a source file: lit_attr/metrics/_base.py -> tests/metrics/test_base.py."""
    folder, *inner = path.relative_to(ROOT).parts
    return ROOT.joinpath("tests", FOLDERS[folder], *inner[:-1], f"test_{inner[-1].lstrip('_')}")


@pytest.mark.parametrize(
    ("source", "test"),
    [
        ("lit_attr/_view.py", "tests/test_view.py"),
        ("lit_attr/attribution/path/points.py", "tests/attribution/path/test_points.py"),
        ("callbacks/_report.py", "tests/callbacks/test_report.py"),
    ],
)
def test_mirror(source, test):
    assert mirror(ROOT / source) == ROOT / test


def test_every_module_has_a_test_file():
    missing = [mirror(path) for path in SOURCES if path.name not in NO_TEST_OF_THEIR_OWN and not mirror(path).is_file()]
    assert not missing, ", ".join(str(path.relative_to(ROOT)) for path in missing)


def test_files_are_short():
    long = {str(p.relative_to(ROOT)): n for p in SOURCES if (n := len(p.read_text().splitlines())) > LINES}
    assert long == {}


def test_tests_are_no_packages():
    """With an `__init__.py` a folder of tests would become a package named like ours and shadow it."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []

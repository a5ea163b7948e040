"""The names that other people's code may rely on, checked in as data.

After adding a name: `python tests/test_public_names.py` writes the list anew.
"""

import ast
import importlib
import importlib.util
import json
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
INVENTORY = Path(__file__).with_name("public_names.json")
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
MODULES = [f"lit_attr.{path.stem}" for path in (ROOT / "lit_attr").glob("*.py") if not path.stem.startswith("_")]


def public_names():
    """`__all__` of each package and top-level module that has one."""
    found = {name: getattr(importlib.import_module(name), "__all__", None) for name in sorted([*PACKAGES, *MODULES])}
    return {name: sorted(names) for name, names in found.items() if names is not None}


def difference(kept, found):
    """Removed and added names, dotted."""
    old = {f"{module}.{name}" for module, names in kept.items() for name in names}
    new = {f"{module}.{name}" for module, names in found.items() for name in names}
    return sorted(old - new), sorted(new - old)


def test_no_name_is_lost_and_new_ones_are_written_down():
    removed, added = difference(json.loads(INVENTORY.read_text()), public_names())
    assert not removed, f"other people's code may import these, so they must stay or be deprecated first: {removed}"
    assert not added, f"new public names; write them down with `python tests/test_public_names.py`: {added}"


def test_a_difference_is_found():
    assert difference({"a": ["x", "y"]}, {"a": ["y", "z"]}) == (["a.x"], ["a.z"])
    assert difference({"a": ["x"], "b": ["y"]}, {"a": ["x"]}) == (["b.y"], [])


@pytest.mark.parametrize("module", sorted([*PACKAGES, *MODULES]))
def test_every_listed_name_exists_once_in_order(module):
    loaded = importlib.import_module(module)
    names = getattr(loaded, "__all__", [])
    assert [name for name in names if not hasattr(loaded, name)] == []
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("package", PACKAGES)
def test_an_init_is_a_list_of_names(package):
    """Imports, `__all__` and `__version__`, and no code but what brings a heavy name on first use."""
    tree = ast.parse(Path(importlib.util.find_spec(package).origin).read_text())
    docstring, *rest = tree.body
    assert isinstance(docstring, ast.Expr)
    for node in rest:
        if isinstance(node, ast.FunctionDef) and node.name == "__getattr__":
            continue
        if isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING":
            continue
        target = getattr(node, "targets", [None])[0]
        assert isinstance(node, ast.ImportFrom) or getattr(target, "id", None) in {"__all__", "__version__"}


if __name__ == "__main__":
    INVENTORY.write_text(json.dumps(public_names(), indent=2) + "\n")

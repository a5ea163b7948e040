"""Which module may import which; third-party packages are named in one place each."""

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = {"lit_attr": "lit_attr", "lit_attr.callbacks": "callbacks", "lit_attr.datamodules": "datamodules"}

# Each layer imports only from those above it; two parts of one layer never import each other.
LAYERS = [
    {"registry"},
    {"_checks", "_files", "_ranks"},
    {
        "targets",
        "objectives",
        "baselines",
        "_guard",
        "_chunks",
        "_segments",
        "visual",
        "loggers",
        "dashboard",
        "_run_dir",
    },
    {"_view", "regions", "report"},
    {"_places"},
    {"updates", "corruptions"},
    {"attribution", "attacks"},
    {"metrics", "bank"},
    {"modules", "datamodules", "ground_truth"},
    {"benchmark"},
    {"callbacks"},
    {"_cli_errors", "_results", "_save_config"},  # parts of the command line
    {"_compare"},
    {"_retrain"},
    {"cli"},
]
LEVEL = {part: level for level, layer in enumerate(LAYERS) for part in layer}

# Where a package outside the standard library may be imported, where that is not just anywhere.
ADAPTERS = {
    "captum": 1,
    "skimage": 1,
    "timm": 1,
    "torchattacks": 1,
    "wandb_workspaces": 1,
    "wandb": {"lit_attr/loggers.py", "lit_attr/visual/media.py"},  # making the run, and its media types
}


def sources(root):
    """Part of the library and tree of each source file."""
    yield from parsed() if root == ROOT else read(root)


@functools.cache
def parsed():
    """The repository itself, for all tests at once."""
    return list(read(ROOT))


def read(root):
    for package, folder in PLACES.items():
        for path in sorted((root / folder).rglob("*.py")):
            part = package.partition(".")[2] or path.relative_to(root / folder).parts[0].removesuffix(".py")
            yield part, path, ast.parse(path.read_text())


def imported(tree):
    """Dotted names of all that is imported anywhere in a file, `from x import y` as x.y, and by import_module("x")."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "import_module":
            yield from (a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str))


def at_import(tree):
    """What runs when `lit_attr` itself is imported: not what `__getattr__` brings on use, nor types."""
    return ast.Module([node for node in tree.body if not isinstance(node, ast.FunctionDef | ast.If)], [])


def violations(root):
    found = []
    for part, path, tree in sources(root):
        if part != "__init__" and part not in LEVEL:
            found.append(f"{path.relative_to(root)}: '{part}' has no layer")
            continue
        for name in imported(at_import(tree) if part == "__init__" else tree):
            package, _, rest = name.partition(".")
            other = rest.split(".")[0]
            if package != "lit_attr" or other in {"", part} or other.startswith("__"):
                continue
            if part == "__init__" or LEVEL.get(other, len(LAYERS)) >= LEVEL[part]:
                found.append(f"{path.relative_to(root)} imports lit_attr.{other}")
    return found


def users(root, package):
    trees = ((path.relative_to(root).as_posix(), tree) for _, path, tree in sources(root))
    return {path for path, tree in trees if any(name.split(".")[0] == package for name in imported(tree))}


def test_imports_point_one_way():
    assert violations(ROOT) == []


def test_the_library_does_not_know_callbacks_and_datamodules():
    """They are used through it, not by it; the command line is where they meet."""
    allowed = {"callbacks", "datamodules", "cli", "_cli_errors", "_compare", "_results", "_retrain", "_save_config"}
    for part, path, tree in sources(ROOT):
        if part not in allowed:
            names = [n for n in imported(tree) if n.startswith(("lit_attr.callbacks", "lit_attr.datamodules"))]
            assert names == [], path


def test_the_script_is_a_shim():
    tree = ast.parse((ROOT / "train.py").read_text())
    assert list(imported(tree)) == ["lit_attr.cli.main"]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef)]


@pytest.mark.parametrize("package", ADAPTERS)
def test_third_party_packages_are_named_in_one_place(package):
    allowed = ADAPTERS[package]
    found = users(ROOT, package)
    if isinstance(allowed, set):
        assert found <= allowed
    else:
        assert len(found) <= allowed, found


@pytest.fixture
def tree(tmp_path):
    """A small library that keeps the rules; a function adds a file."""

    def add(path, text):
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return tmp_path

    add("lit_attr/_checks.py", "from lit_attr.registry import did_you_mean\n")
    add("lit_attr/attribution/ig.py", "import torch\nfrom lit_attr.attribution._method import Method\n")
    add("callbacks/explanations.py", "from lit_attr.attribution import METHODS\n")
    return add


def test_a_tree_that_keeps_the_rules_is_clean(tree):
    assert violations(tree("lit_attr/__init__.py", "__version__ = '0'\n")) == []


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("lit_attr/_checks.py", "from lit_attr._view import View", "imports lit_attr._view"),
        ("lit_attr/_checks.py", "import lit_attr.metrics.gap", "imports lit_attr.metrics"),
        ("lit_attr/attacks/pgd.py", "from lit_attr import attribution", "imports lit_attr.attribution"),
        ("lit_attr/modules/a.py", "def f():\n    import lit_attr.datamodules", "imports lit_attr.datamodules"),
        ("datamodules/a.py", "from lit_attr.modules import Classifier", "imports lit_attr.modules"),
        ("callbacks/a.py", "from lit_attr.cli import main", "imports lit_attr.cli"),
        ("lit_attr/metrics/a.py", "importlib.import_module('lit_attr.callbacks')", "imports lit_attr.callbacks"),
        ("lit_attr/__init__.py", "from lit_attr.targets import Target", "imports lit_attr.targets"),
        ("lit_attr/_view.py", "from lit_attr.gone import x", "imports lit_attr.gone"),
    ],
)
def test_a_violation_is_found(tree, path, text, message):
    assert violations(tree(path, text)) == [f"{path} {message}"]


def test_what_the_package_brings_on_use_is_no_violation(tree):
    lazy = "def __getattr__(name):\n    from lit_attr.attribution.ig import IG\n"
    assert violations(tree("lit_attr/__init__.py", lazy)) == []


def test_a_part_without_a_layer_is_found(tree):
    assert violations(tree("lit_attr/extra.py", "")) == ["lit_attr/extra.py: 'extra' has no layer"]


@pytest.mark.parametrize("text", ["import wandb", "from wandb.sdk import x", "def f():\n    import wandb.plot"])
def test_a_user_of_a_third_party_package_is_found(tree, text):
    assert users(tree("lit_attr/metrics/a.py", text), "wandb") == {"lit_attr/metrics/a.py"}

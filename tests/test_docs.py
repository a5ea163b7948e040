"""The documentation holds: its files, commands and configs are tried, its links lead somewhere, no page is lost.

Snippets with prompts are doctests of their own (see `testpaths`). Here, in a folder of its own for each page: a block
with a title is written to that file; every command line is parsed as the program does it; those that a page is about
are run, made short.
"""

import contextlib
import io
import json
import re
import runpy
import shlex
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from _reference.command import QUICK, prepare
from _reference.fake_data import write_images
from lit_attr.cli import LitAttrCLI, main
from lit_attr.updates import UPDATES

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = ("train.py", "lit-attr")
# Commands that are also run, by what they have; with what makes them short.
RUN = {
    "--model train_mine.Mine": [],
    "--data my_data.Blobs": [],
    "my_rules.HeavyBall": [],
    "my_metric.TopShare": [],
    "overlays/adversarial.yaml --model.adversarial.class trades": [],
    "segmentation/scenes.yaml --trainer.callbacks": ["--trainer.callbacks.num_samples", "1"],
    "overlays/sigma.yaml --sigma.fraction 0.25": [
        *("--sigma.fraction", "0.01", "--sigma.reached_only", "false", "--sigma.sigma", '{"steps": 2}'),
    ],
}
PARSERS = {}  # what `one_parser` keeps
FENCE = re.compile(r"^```(\w*) ?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    page: Path
    language: str
    title: str
    text: str


def blocks(page):
    """The code blocks of a page."""
    found = FENCE.findall(page.read_text())
    return [Block(page, language, rest.removeprefix("title=").strip('"'), text) for language, rest, text in found]


def commands(block):
    """Its command lines as lists of words, a line that goes on behind a backslash as one."""
    joined = block.text.replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in joined.splitlines() if line.strip()]


def arguments(words):
    """What the program is given; None of another program. What stands before it (variables, torchrun) is left out."""
    places = [i for i, word in enumerate(words) if word in PROGRAMS]
    if places:
        return words[places[0] + 1 :]
    return None


def name(page):
    return str(page.relative_to(ROOT))


BLOCKS = [block for page in PAGES for block in blocks(page)]
LINES = [
    (block.page, args)
    for block in BLOCKS
    if block.language == "bash" or block.title.endswith(".sh")
    for words in commands(block)
    if (args := arguments(words)) and args[0] not in {"report", "dashboard"}
]
# The same line on several pages is tried once.
UNIQUE = {shlex.join(args): (page, args) for page, args in LINES}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the repository's configs, in which a page's files are importable."""
    prepare(monkeypatch, tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(UPDATES, "_classes", dict(UPDATES._classes))  # a page registers a rule of its own
    before = set(sys.modules)
    yield tmp_path
    for module in set(sys.modules) - before:
        if (tmp_path / f"{module}.py").is_file():
            del sys.modules[module]


@pytest.fixture
def one_parser(monkeypatch):
    """Makes the parser of a command (`fit`, ...) once for all tests: that is most of the time of a command."""
    make = LitAttrCLI.setup_parser

    def of(command):
        def ready(cli, *args, **settings):
            if command not in PARSERS:
                others = set(vars(cli))
                make(cli, *args, **settings)
                PARSERS[command] = {key: value for key, value in vars(cli).items() if key not in others}
            vars(cli).update(PARSERS[command])

        monkeypatch.setattr(LitAttrCLI, "setup_parser", ready)

    return of


def write_files(page, folder):
    for block in blocks(page):
        if block.title:
            (folder / block.title).write_text(block.text)


@pytest.mark.parametrize("line", UNIQUE)
def test_a_command_is_understood(line, folder, one_parser):
    page, args = UNIQUE[line]
    write_files(page, folder)
    one_parser(args[0])
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), pytest.raises(SystemExit) as stopped:
        main([*args, "--print_config"])
    assert stopped.value.code == 0, args
    assert "model:" in shown.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("part", RUN)
def test_a_command_runs(part, folder):
    ((page, args),) = [found for line, found in UNIQUE.items() if part in line.replace("'", "")]
    write_files(page, folder)
    short = [*QUICK, *RUN[part]]
    given = {arg for arg in args if arg.startswith("--explanations")}
    for option in given:  # what the page is about stays
        at = short.index(option)
        del short[at : at + 2]
    if "scenes" in part:
        short += ["--explanations.methods", "[]"]
    main([*args, *short])
    assert list(folder.glob("runs/lit_attr/version_*/metrics.csv"))
    if "train_mine" in part:  # and its checkpoint predicts
        write_images(folder / "images", 2)
        main(
            ["predict", "--ckpt_path", "runs/lit_attr/version_0/checkpoints/last.ckpt", "--data.predict_path", "images"]
        )
        assert len(list(folder.glob("runs/lit_attr/version_0/predictions/images/*.safetensors"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any('__name__ == "__main__"' in b.text for b in blocks(page))], ids=name
)
def test_a_script_runs(page, folder, monkeypatch):
    write_files(page, folder)
    for block in blocks(page):
        if '__name__ == "__main__"' in block.text:
            runpy.run_path(block.title, run_name="__main__")
    assert list(folder.rglob("scores.csv"))


def test_every_block_is_tried():
    """Python with prompts is a doctest, else it has a file; shell and YAML are parsed; "text" is no code."""
    for block in BLOCKS:
        where = f"{name(block.page)}: {block.text[:60]}"
        assert block.language in {"python", "pycon", "bash", "yaml", "text"}, where
        if block.language in {"python", "pycon"}:
            assert block.text.startswith(">>>") != bool(block.title), where
        if block.language == "yaml":
            assert isinstance(yaml.safe_load(block.text), dict), where


def test_the_wanted_commands_are_there():
    assert len(BLOCKS) > 50
    for part in RUN:
        assert sum(part in line.replace("'", "") for line in UNIQUE) == 1, part


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page):
    text = FENCE.sub("", page.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("https://", "http://", "#")):
            assert (page.parent / target.split("#")[0]).exists(), target


def test_scripts_that_pages_name_exist():
    for page in PAGES:
        for path in re.findall(
            r"`((?:examples|tests|configs|benchmarks|lit_attr|docs)/[\w./*-]+\.\w+)`", page.read_text()
        ):
            assert list(ROOT.glob(path)), f"{name(page)}: {path}"


def test_the_map_for_contributors_is_right():
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    listed = [path for row in rows for path in re.findall(r"`([\w./]+)`", row)]
    assert len(listed) > 20
    assert [path for path in listed if not ((ROOT / path).exists() or (ROOT / "lit_attr" / path).exists())] == []
    named = {Path(path).parts[-1] for path in listed}
    folders = {path.parent.name for path in (ROOT / "lit_attr").glob("*/__init__.py")}
    assert folders <= named


def test_every_page_is_in_the_navigation():
    text = (ROOT / "mkdocs.yml").read_text()
    listed = set(re.findall(r"[\w/]+\.md", text))
    assert listed == {str(page.relative_to(ROOT / "docs")) for page in PAGES if "docs" in page.relative_to(ROOT).parts}


def test_every_public_package_is_in_the_reference():
    pages = "".join(page.read_text() for page in (ROOT / "docs/reference").glob("*.md"))
    shown = set(re.findall(r"^::: ([\w.]+)$", pages, re.MULTILINE))
    public = set(json.loads((ROOT / "tests/public_names.json").read_text()))
    inner = {
        "lit_attr",
        "lit_attr.cli",
        "lit_attr.registry",
        "lit_attr.attribution.path",
        "lit_attr.modules.adversarial",
    }
    assert public - shown == inner  # those are told of elsewhere, or their names stand one level higher


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("PYTHONPATH=. python train.py fit --a 1", ["fit", "--a", "1"]),
        ("torchrun --nproc_per_node 4 train.py fit", ["fit"]),
        ("lit-attr fit", ["fit"]),
        ("srun python train.py fit", ["fit"]),
        ("pip install x", None),
    ],
)
def test_arguments_are_found(line, expected):
    assert arguments(line.split()) == expected

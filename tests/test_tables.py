"""The tables in the README and in the documentation are what the registries say.

After adding an entry to one: `python tests/test_tables.py` writes the tables anew.
"""

import inspect
import re
from pathlib import Path

import pytest

from lit_attr.attacks import ATTACKS
from lit_attr.attribution import METHODS
from lit_attr.benchmark import CONTROLS
from lit_attr.corruptions import CORRUPTIONS
from lit_attr.metrics import METRICS
from lit_attr.modules import TRAININGS
from lit_attr.objectives import OBJECTIVES
from lit_attr.updates import UPDATES

ROOT = Path(__file__).parents[1]
README, SUPPORT = ROOT / "README.md", ROOT / "docs" / "support.md"
NEED_A_FILE = {"advgan", "frost"}  # entries without defaults: a trained generator, photographs


def table(*rows):
    """A table in Markdown, of its head and its rows."""
    head, *rest = ([str(cell).replace("|", r"\|") for cell in row] for row in rows)
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, ["---"] * len(head), *rest]).replace("| --- ", "|---")


def first_line(item):
    """The first paragraph of a docstring."""
    return inspect.getdoc(item).split("\n\n")[0].replace("\n", " ").removesuffix(".")


def passes(item):
    """Forward and backward passes, as declared."""
    forward, backward = (f"{count:g}" for count in item)
    return "as they end" if "nan" in forward else f"{forward} + {backward}"


def words(metric):
    """What a metric is, without the direction that has a column of its own."""
    return re.sub(r", (higher|lower) is (better|sparser)", "", first_line(type(metric)))


def better(metric):
    return "higher" if metric.higher_is_better else "lower"


def methods():
    rows = [
        (f"`{name}`", METHODS.get(name).ABOUT.explains, passes(METHODS.build(name).passes()))
        for name in sorted(METHODS.names())
    ]
    return table(("method", "explains by", "passes"), *rows)


def methods_in_full():
    found = {name: METHODS.get(name) for name in METHODS.names()}
    return table(
        ("name", "class", "needs", "any inputs", "axioms", "passes"),
        *(
            (
                f"`{name}`",
                f"`{cls.__name__}`",
                cls.ABOUT.needs,
                "" if "images" in cls.ABOUT.needs else "yes",
                " ".join(cls.ABOUT.axioms) or "-",
                passes(cls().passes()),
            )
            for name, cls in found.items()
        ),
    )


def metrics():
    built = {name: METRICS.build(name) for name in METRICS.names()}
    return table(
        ("metric", "what it is", "better"),
        *((f"`{name}`", words(metric), better(metric)) for name, metric in built.items()),
    )


def metrics_in_full():
    rows = []
    for name in METRICS.names():
        metric = METRICS.build(name)
        cost = f"{metric.passes.forward:g}"
        if metric.explanations:
            cost += f", {metric.explanations} explanation" + "s" * (metric.explanations > 1)
        rows.append((f"`{name}`", f"`{type(metric).__name__}`", cost, metric.UNDEFINED or "-"))
    return table(("name", "class", "passes", "left out, if"), *rows)


def attacks():
    rows = []
    for name in ATTACKS.names():
        cls = ATTACKS.get(name)
        cost = "1 + 0" if name in NEED_A_FILE else passes(cls().passes)
        rows.append((f"`{name}`", first_line(cls), "yes" if cls.TARGETABLE else "", cost))
    return table(("name", "what it is", "can seek a class", "passes"), *rows)


def named(registry, head):
    rows = ((f"`{name}`", first_line(registry.get(name))) for name in registry.names())
    return table((head, "what it is"), *rows)


def objectives():
    rows = ((f"`{name}`", first_line(function)) for name, function in OBJECTIVES.items())
    return table(("objective", "what is differentiated"), *rows)


TABLES = {
    "methods": methods,
    "methods in full": methods_in_full,
    "metrics": metrics,
    "metrics in full": metrics_in_full,
    "attacks": attacks,
    "update rules": lambda: named(UPDATES, "rule"),
    "corruptions": lambda: named(CORRUPTIONS, "corruption"),
    "recipes": lambda: named(TRAININGS, "recipe"),
    "controls": lambda: named(CONTROLS, "control"),
    "objectives": objectives,
}
PLACE = re.compile(r"(<!-- table: ([\w ]+) -->\n).*?(?=<!-- end of table -->)", re.DOTALL)
PLACES = [(document, kind) for document in (README, SUPPORT) for _, kind in PLACE.findall(document.read_text())]


def written(document):
    """A document with its tables as they should be."""
    return PLACE.sub(lambda found: found[1] + TABLES[found[2]](), document.read_text())


@pytest.mark.parametrize("document", [README, SUPPORT], ids=lambda path: path.name)
def test_the_tables_are_those_of_the_registries(document):
    assert document.read_text() == written(document), "write them with `python tests/test_tables.py`"


def test_every_table_has_its_place():
    assert sorted(kind for _, kind in PLACES) == sorted(TABLES)


def test_axioms_are_letters_that_are_explained():
    explained = set(re.findall(r"(\b[A-Z]) [a-z]+", SUPPORT.read_text().split("Axioms, with")[1].split(". ")[0]))
    assert explained == set("SDICL")
    for name in METHODS.names():
        assert set(METHODS.get(name).ABOUT.axioms) <= explained, name


if __name__ == "__main__":
    for path in (README, SUPPORT):
        path.write_text(written(path))

"""The README's tables of methods and metrics are what the registries say.

After adding one: `python tests/test_readme.py` writes the tables anew.
"""

import inspect
import re
from pathlib import Path

import pytest

from lit_attr.attribution import METHODS
from lit_attr.metrics import METRICS

README = Path(__file__).parents[1] / "README.md"


def place(kind):
    return re.compile(rf"(?<=<!-- {kind} -->\n).*?(?=<!-- end of {kind} -->)", re.DOTALL)


def methods():
    rows = ["| name | class | explains by | axioms | passes | needs |", "|---|---|---|---|---|---|"]
    for name in METHODS.names():
        cls = METHODS.get(name)
        forward, backward = (f"{count:g}" for count in cls().passes())
        about = cls.ABOUT
        axioms = " ".join(about.axioms) or "-"
        rows.append(
            f"| `{name}` | `{cls.__name__}` | {about.explains} | {axioms} | {forward} + {backward} | {about.needs} |"
        )
    return "\n".join(rows) + "\n"


def metrics():
    rows = ["| name | class | what it is | better | passes |", "|---|---|---|---|---|"]
    for name in METRICS.names():
        metric = METRICS.build(name)
        what = inspect.getdoc(type(metric)).split("\n\n")[0].replace("\n", " ")
        what = re.sub(r", (higher|lower) is (better|sparser)", "", what).removesuffix(".")
        better = "higher" if metric.higher_is_better else "lower"
        passes = f"{metric.passes.forward:g}"
        if metric.explanations:
            passes += f", {metric.explanations} explanation" + "s" * (metric.explanations > 1)
        rows.append(f"| `{name}` | `{type(metric).__name__}` | {what} | {better} | {passes} |")
    return "\n".join(rows) + "\n"


TABLES = {"methods": methods, "metrics": metrics}


@pytest.mark.parametrize("kind", TABLES)
def test_the_tables(kind):
    (found,) = place(kind).findall(README.read_text())
    assert found == TABLES[kind](), "write it with `python tests/test_readme.py`"


def test_axioms_are_letters_that_are_explained():
    explained = set(re.findall(r"(\b[A-Z]) [a-z]+", README.read_text().split("Axioms, with")[1].split(". ")[0]))
    assert explained == set("SDICL")
    for name in METHODS.names():
        assert set(METHODS.get(name).ABOUT.axioms) <= explained, name


if __name__ == "__main__":
    for kind, table in TABLES.items():
        README.write_text(place(kind).sub(lambda _: table(), README.read_text()))  # noqa: B023 - called at once

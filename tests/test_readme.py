"""The README's table of attribution methods is what the registry says.

After adding a method: `python tests/test_readme.py` writes the table anew.
"""

import re
from pathlib import Path

from lit_attr.attribution import METHODS

README = Path(__file__).parents[1] / "README.md"
PLACE = re.compile(r"(?<=<!-- methods -->\n).*?(?=<!-- end of methods -->)", re.DOTALL)


def table():
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


def test_the_table_of_methods():
    (found,) = PLACE.findall(README.read_text())
    assert found == table(), "write it with `python tests/test_readme.py`"


def test_axioms_are_letters_that_are_explained():
    explained = set(re.findall(r"(\b[A-Z]) [a-z]+", README.read_text().split("Axioms, with")[1].split(". ")[0]))
    assert explained == set("SDICL")
    for name in METHODS.names():
        assert set(METHODS.get(name).ABOUT.axioms) <= explained, name


if __name__ == "__main__":
    README.write_text(PLACE.sub(lambda _: table(), README.read_text()))

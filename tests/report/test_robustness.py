"""The part about robustness."""

import pytest

from _reference.outline import outline
from _reference.run_folder import write_run
from lit_attr.report.robustness import robustness


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "run") / "robust"


def test_the_last_table_of_each_stage(folder):
    words = outline(robustness(folder)).text
    assert [word for word in words if ", step" in word][:2] == ["validation, step 40", "test, step 40"]
    at = words.index("8/255")
    assert words[at - 1] == "pgd"
    assert words[at + 1 : at + 6] == ["1.000", "0.342 \N{EN DASH} 1.000", "0.000", "4 + 3", "2"]


def test_curves_begin_without_a_change(folder):
    found = outline(robustness(folder))
    drawn = [attrs["points"] for tag, attrs in found.seen if tag == "polyline"]
    lines = [points.split() for points in drawn if points != "1,4 21,4"]  # that of a legend
    attack, noise = lines[:2]
    assert (len(attack), len(noise)) == (3, 2)  # clean, then two eps, or one sigma
    titles = [attrs["aria-label"] for tag, attrs in found.seen if tag == "svg" and "aria-label" in attrs]
    assert titles[:2] == ["accuracy under attack over eps", "accuracy under corruption over sigma"]
    assert len([tag for tag, _ in found.seen if tag == "polygon"]) == 4  # intervals


def test_checks_say_what_failed(folder):
    assert "FAILED: noise (0.500, at most 0.400): why it fails" in outline(robustness(folder)).text


def test_panels_of_all_rounds(folder):
    found = outline(robustness(folder))
    assert len([tag for tag, _ in found.seen if tag == "img"]) == 3  # two validations and a test
    assert "pgd 000010" in found.text


def test_tables_of_earlier_versions_have_no_axis(folder, tmp_path):
    lines = (folder / "robustness.csv").read_text().splitlines()
    (tmp_path / "robustness.csv").write_text("\n".join(line.rpartition(",")[0] for line in lines))
    assert "accuracy under attack over eps" in robustness(tmp_path)

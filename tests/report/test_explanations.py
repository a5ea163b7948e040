"""The part about explanations."""

import pytest

from _reference.outline import outline
from _reference.run_folder import explained, trainer, write_run
from lit_attr.callbacks._report import write_report
from lit_attr.report import explanations as module
from lit_attr.report.explanations import explanations


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "run") / "explain"


def test_scores_of_the_last_round(folder):
    words = [word for word in outline(explanations(folder)).text if word.strip()]
    assert words[:4] == ["method", "insertion", "ig", "0.667 \N{PLUS-MINUS SIGN} 0.125"]
    assert "Mean over 2 samples, with one standard error, at step 40." in words


def test_rounds_share_their_axes(folder):
    """The curve of the first round ends below that of the second: 1/3 and 2/3 in the middle, on one scale."""
    found = outline(explanations(folder))
    lines = [attrs["points"] for tag, attrs in found.seen if tag == "polyline" and attrs["points"].count(",") == 3]
    heights = [[float(point.split(",")[1]) for point in line.split()] for line in lines[::2]]
    (bottom, first, top), (_, second, _) = heights
    assert (bottom - first) / (bottom - top) == pytest.approx(1 / 3, abs=0.01)
    assert (bottom - second) / (bottom - top) == pytest.approx(2 / 3, abs=0.01)


def test_captions_of_samples(folder):
    assert "sample 11: dog (75%), label cat" in outline(explanations(folder)).text


def test_long_runs_are_told_to_be_thinned_out(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "spread", lambda count: [0, count - 1])
    for epoch in range(3):
        write_report(trainer(tmp_path, epoch), explained(0.5))
    html = explanations(tmp_path / "explain")
    assert "2 of 3 rounds are shown" in html
    assert html.count('class="round"') == 2


def test_the_choice_of_a_method(folder, tmp_path):
    (tmp_path / "choice.csv").write_text("method,score,chosen\nig,0.5,True\n<i>,0.25,False\n")
    assert outline(explanations(tmp_path)).text[0] == "Choice of a method"

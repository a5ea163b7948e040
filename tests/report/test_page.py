"""The page of a run: all parts, whatever is missing or broken, and in a browser."""

import re
import shutil

import pytest

from _reference.browser import needs_browser, what_it_finds
from _reference.outline import outline
from _reference.run_folder import write_run
from lit_attr.report import report_page, write_report

SLIDE = """
const box = document.querySelector(".rounds"), slider = box.querySelector("input"), told = box.querySelector("output");
const shown = () => [...box.querySelectorAll(".round")].map(round => round.checkVisibility() ? 1 : 0).join("");
slider.focus();
found.push(document.activeElement === slider, shown(), told.textContent);
slider.value = 0;
slider.dispatchEvent(new Event("input"));
found.push(shown(), told.textContent, slider.getAttribute("aria-valuetext"));
const pictures = [...document.images];
found.push(pictures.length > 0, pictures.every(p => p.complete && p.naturalWidth > 0));
found.push(document.documentElement.scrollWidth <= window.innerWidth);
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def run(written, tmp_path):
    return shutil.copytree(written, tmp_path / "run")


def headings(text):
    return re.findall("<h2>(.*?)</h2>", text)


def test_every_part_is_there(run):
    path = write_report(run)
    assert path == run / "report.html"
    text = path.read_text()
    found = outline(text)
    assert headings(text) == ["Results", "Training", "Explanations", "Robustness", "What was run", "Files"]
    links = {attrs["href"] for tag, attrs in found.seen if tag == "a"}
    places = {f"#{attrs['id']}" for tag, attrs in found.seen if tag == "section"}
    assert places <= links
    assert {"metrics.csv", "config.yaml", "explain/scores.csv", "robust/robustness.csv"} <= links
    assert 'class="fault"' not in text
    words = " ".join(found.text)
    for part in ("0.7500", "fit of Net (<i>x</i>)", "model: <b>bold</b>", "insertion, mean curves", "why it fails"):
        assert part in words
    assert not [tag for tag, _ in found.seen if tag in {"b", "i"} and tag == "i"]


def test_nothing_comes_from_elsewhere(run):
    text = report_page(run)
    addresses = re.findall(r"""(?:src|href)=["']([^"']*)""", text)
    assert not [a for a in addresses if re.match(r"(?!data:)[a-z]+:|/", a)]
    assert "@import" not in text
    assert "url(" not in text


def test_links_lead_to_files(run):
    found = outline(report_page(run))
    links = [attrs["href"] for tag, attrs in found.seen if tag == "a" and not attrs["href"].startswith("#")]
    assert links
    assert all((run / link).exists() for link in links)


BROKEN = {
    "metrics.csv": "Results",
    "explain/scores.csv": "0.667",
    "explain/curves.csv": "mean curves",
    "robust/robustness.csv": "95 % interval",
    "run.json": "fit of",
}


@pytest.mark.parametrize("name", [*BROKEN, "explain/epoch_0001_step_000040/sample_000011.png"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff{\n1"])
def test_what_is_broken_is_told_and_the_rest_stays(run, name, content):
    (run / name).write_bytes(content)
    text = report_page(run)
    outline(text)
    assert "could not be read" in text
    for other, part in BROKEN.items():
        if other != name:
            assert part in text, other
    assert headings(text)[-3:] == ["Robustness", "What was run", "Files"]


@pytest.mark.parametrize("benchmark", ["null", "3"])
def test_a_record_with_something_else_in_it(run, benchmark):
    (run / "run.json").write_text(f'[{{"stage": "fit", "benchmark": {benchmark}}}]')
    text = report_page(run)
    assert "run.json could not be read: TypeError" in text
    assert headings(text)[-2:] == ["What was run", "Files"]


def test_a_comparison_follows_the_results(run):
    (run / "comparison.csv").write_text("measure,a,b,difference,low,high,samples\ngap,0,1,1,0.5,1.5,12\n")
    assert headings(report_page(run))[:3] == ["Results", "Comparison", "Training"]


def test_an_empty_folder_has_a_page(tmp_path):
    assert headings(report_page(tmp_path)) == ["What was run", "Files"]
    assert "no run.json" in report_page(tmp_path)


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(NotADirectoryError, match="there is no folder"):
        write_report(tmp_path / "gone")


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_in_a_browser_the_slider_moves_and_nothing_is_wider_than_the_window(run, tmp_path, width):
    found = what_it_finds(report_page(run), SLIDE, tmp_path, width)
    last, first = "epoch 2, step 40", "epoch 1, step 20"
    assert found == ["true", "01", last, "10", first, first, "true", "true", "true"]

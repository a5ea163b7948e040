"""The page: whole, safe, and in a browser without an error where there is one."""

import re

import pytest
import torch

from _reference.browser import needs_browser, what_it_finds
from _reference.comparing import EDGES, benchmark, run
from _reference.outline import outline
from lit_attr.attribution import Saliency
from lit_attr.benchmark import collect, compare, paper_tables, score_tables
from lit_attr.benchmark.page import page
from lit_attr.benchmark.tables import Cell, Table, number
from lit_attr.metrics import METRICS

# The button of the second column can have the focus, so Enter and Space are clicks; two of them, then one on a legend.
PRESS = """
const table = document.querySelector("table"), button = table.tHead.rows[0].cells[1].firstElementChild;
const names = () => [...table.tBodies[0].rows].map(row => row.cells[0].textContent).join();
button.focus();
found.push(document.activeElement === button, names());
for (let i = 0; i < 2; i++) {
  button.click();
  found.push(names() + " " + button.parentElement.ariaSort);
}
const key = document.querySelector("[data-toggle]"), line = document.querySelector("[data-name]");
key.click();
found.push(key.ariaPressed, line.classList.contains("off"));
"""


@pytest.fixture
def results(tmp_path):
    samples, store = run(tmp_path)
    return collect(benchmark(), store, samples, EDGES)


def written(results, **more):
    scores, panels = more.get("scores", score_tables(results)), [("panels/a.png", "a")]
    return page(results, scores, paper_tables(results), panels, "about", compare(results))


def test_everything_is_on_it(results):
    found = outline(written(results))
    headings = "".join(found.text)
    titles = ("Places (all samples)", "Ranks and differences", "3 pairs", "ig \N{MINUS SIGN} random")
    for title in (
        *titles,
        "All samples (7 samples)",
        "ABE, Table V",
        "Faithfulness, cost and stability",
        "Mean curves",
    ):
        assert title in headings
    charts = [attrs["aria-label"] for tag, attrs in found.seen if tag == "svg" and "aria-label" in attrs]
    assert "max_sensitivity against passes per sample, in forward passes" in charts
    assert "insertion against max_sensitivity" in charts
    assert "Mean curves of insertion" in charts
    for metric, arrow in (("insertion", "\N{UPWARDS ARROW}"), ("infidelity", "\N{DOWNWARDS ARROW}")):
        assert f"Mean ranks of {metric} {arrow}" in charts
    assert [attrs["src"] for tag, attrs in found.seen if tag == "img"] == ["panels/a.png"]


def test_methods_whose_explanations_turn_round_are_drawn(tmp_path):
    metrics = {"insertion": {"steps": 4}, "similar": {"class": "explanation_similarity"}}
    asked = benchmark(metrics=METRICS.build_all(metrics))
    samples, store = run(tmp_path, asked=asked)
    results = collect(asked, store, samples, EDGES)
    for name, value in (("ig", -0.5), ("saliency", 0.5)):
        group = results.summaries[name, "similar"]["all"]
        results.summaries[name, "similar"]["all"] = group._replace(value=torch.tensor(value))
    titles = re.findall("<title>(.*?)</title>", written(results))
    assert [title for title in titles if title.startswith("ig:") and title.endswith("at -0.5")]


def test_nothing_comes_from_elsewhere(results):
    text = written(results)
    assert not re.search(r"(src|href)=.?https?:", text)
    assert "@import" not in text
    assert "url(" not in text


def test_numbers_are_there_whole_for_sorting(results):
    found = outline(written(results))
    values = {attrs["data-value"] for tag, attrs in found.seen if tag == "td"}
    assert repr(float(results.summaries["ig", "insertion"]["all"].value)) in values


def test_without_a_sample_that_all_have_a_value_of_there_is_no_diagram(results):
    results.found["saliency", "infidelity"].reading.value.fill_(float("nan"))
    found = outline(written(results))
    assert "No sample has a value of every method." in "".join(found.text)
    assert not [
        tag
        for tag, attrs in found.seen
        if "infidelity" in (attrs.get("aria-label") or "") and "ranks" in attrs["aria-label"]
    ]


def test_names_are_text(tmp_path):
    asked = benchmark(methods={"<i>x</i>": Saliency()})
    samples, store = run(tmp_path, asked=asked)
    found = outline(written(collect(asked, store, samples)))
    assert not [tag for tag, _ in found.seen if tag == "i"]
    assert "<i>x</i>" in "".join(found.text)


@pytest.mark.slow
@needs_browser
def test_in_a_browser_tables_sort_by_keyboard_and_curves_hide(results, tmp_path):
    rows = [[Cell(name), number(value)] for name, value in (("a", 2.0), ("b", None), ("c", 10.0), ("d", -1.0))]
    found = what_it_finds(written(results, scores=[Table("t", ["method", "gap"], rows, [])]), PRESS, tmp_path)
    assert found == ["true", "a,b,c,d", "c,a,d,b descending", "d,a,c,b ascending", "false", "true"]

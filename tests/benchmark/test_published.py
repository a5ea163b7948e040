"""The papers' tables: our numbers in their columns, and theirs beside them where model and data are the same."""

import csv
from importlib.resources import files

import pytest

from _reference.comparing import benchmark, run
from lit_attr.attribution import METHODS, ExpectedGradients, Saliency
from lit_attr.benchmark import collect, paper_tables
from lit_attr.metrics import Deletion, Gap, Infidelity, Insertion, KLDeletion, KLInsertion

METRICS = {
    "mine": Insertion(steps=4, fill="white"),
    "ins": Insertion(steps=4),
    "del": Deletion(steps=4),
    "gap": Gap(steps=4),
    "infd": Infidelity(samples=2),
    "kl_ins": KLInsertion(steps=4),
    "kl_del": KLDeletion(steps=4),
}


@pytest.fixture
def results(tmp_path):
    methods = {"sm": Saliency(), "eg": ExpectedGradients(samples=2, references="uniform")}
    asked = benchmark(methods=methods, metrics=METRICS)
    samples, store = run(tmp_path, asked=asked)
    return collect(asked, store, samples, (0.7,))


def by_title(tables):
    return {table.title: table for table in tables}


def cell(table, method, column):
    (row,) = [row for row in table.rows if row[0].text == method]
    return row[table.columns.index(column)].value


def test_columns_are_the_papers_and_numbers_ours(results):
    tables = by_title(paper_tables(results, "some_net", "some_data"))
    assert list(tables) == ["ABE, Table V", "LAAI, Tables 1 and 3", "LAAI, Tables 2 and 6"]  # no metric of F-INS
    abe = tables["ABE, Table V"]
    assert abe.columns == ["method", "INS", "DEL", "INFD", "FPS"]
    assert [row[0].text for row in abe.rows] == ["sm", "eg"]  # control maps are not in the papers
    assert cell(abe, "sm", "INS") == float(results.summaries["sm", "ins"]["all"].value)
    assert cell(abe, "eg", "INFD") == float(results.summaries["eg", "infd"]["all"].value)
    assert cell(abe, "sm", "FPS") == results.speed["sm"].per_second
    laai = tables["LAAI, Tables 1 and 3"]
    assert laai.columns[1:4] == ["INS (<70%)", "DEL (<70%)", "GAP (<70%)"]
    assert cell(laai, "sm", "GAP (all)") == float(results.summaries["sm", "gap"]["all"].value)
    assert "No published figure is at hand for some_net on some_data" in laai.notes[0]
    assert not any("published" in column for column in laai.columns)


def test_published_figures_stand_beside_ours_with_the_reasons(results):
    tables = by_title(paper_tables(results, "resnet50", "imagenet"))
    kl = tables["LAAI, Tables 2 and 6"]
    assert cell(kl, "sm", "KL-INS (<70%), published") == 5.75
    assert cell(kl, "sm", "KL-DEL (\N{GREATER-THAN OR EQUAL TO}70%), published") == 6.02
    assert cell(kl, "eg", "KL-INS (<70%), published") is None
    assert kl.notes[0] == "Ours and the published figures must differ."
    assert any("three definitions" in note for note in kl.notes)
    curves = tables["LAAI, Tables 1 and 3"]
    assert cell(curves, "eg", "DEL (\N{GREATER-THAN OR EQUAL TO}70%), published") == 0.35
    assert any(note.startswith("Expected gradients:") for note in curves.notes)


def test_of_other_data_nothing_stands_beside(results):
    for model, data in (("resnet50", "cifar10"), ("resnet18", "imagenet"), ("", "")):
        assert not any("published" in c for table in paper_tables(results, model, data) for c in table.columns)


def test_a_metric_in_the_papers_protocol_goes_first(tmp_path):
    metrics = {"ours": Insertion(steps=4), "theirs": Insertion(preset="abe")}
    asked = benchmark(methods={"sm": Saliency()}, metrics=metrics)
    samples, store = run(tmp_path, asked=asked)
    results = collect(asked, store, samples)
    (abe, *_) = paper_tables(results)
    assert cell(abe, "sm", "INS") == float(results.summaries["sm", "theirs"]["all"].value)


def test_the_file_of_figures_is_sound():
    text = files("lit_attr.benchmark").joinpath("published.csv").read_text()
    rows = list(csv.DictReader(text.splitlines()))
    assert {row["paper"] for row in rows} <= {"ABE", "LAAI"}
    assert {row["method"] for row in rows} <= set(METHODS.names())
    assert {row["group"] for row in rows} <= {"all", "below_0.7", "from_0.7"}
    assert len({tuple(row.values())[:-1] for row in rows}) == len(rows)
    assert all(float(row["value"]) >= 0 for row in rows if "GAP" not in row["column"])

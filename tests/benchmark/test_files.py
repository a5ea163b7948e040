"""The files of a benchmark."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from _reference.comparing import EDGES, KEYS, benchmark, run
from lit_attr.benchmark import collect, compare, paper_tables, score_tables, write_files
from lit_attr.benchmark.files import summary


@pytest.fixture
def results(tmp_path):
    samples, store = run(tmp_path / "store")
    return collect(benchmark(), store, samples, EDGES)


def test_files_hold_what_was_found(results, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    comparisons, about = compare(results), {"model": "m", "seed": 0}
    pictures = write_files(folder, results, score_tables(results), paper_tables(results), about, comparisons)
    names = ["comparisons.csv", "index.html", "panels", "summary.json", "table.csv"]
    assert sorted(p.name for p in folder.iterdir()) == names
    with (folder / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    expected = list(results.rows())
    assert len(rows) == len(expected)
    for row, other in zip(rows, expected, strict=True):
        assert float(row["value"]) == other["value"]
        assert row == {name: str(value) for name, value in other.items()}
    with (folder / "comparisons.csv").open(newline="") as file:
        pairs = list(csv.DictReader(file))
    expected = [pair for comparison in comparisons for pair in comparison.pairs()]
    assert len(pairs) == 4 * 3
    for row, other in zip(pairs, expected, strict=True):
        assert row == {name: "" if value is None else str(value) for name, value in other.items()}
    (panel,) = (folder / "panels").iterdir()
    assert panel.name == f"sample_{KEYS[0]}.png"
    assert np.array_equal(np.asarray(Image.open(panel)), pictures[0])
    page = (folder / "index.html").read_text()
    assert f"panels/{panel.name}" in page
    assert "7 samples; model: m, seed: 0" in page


def test_the_summary_is_plain_data(results):
    found = json.loads(json.dumps(summary(results, {"model": "m"}), allow_nan=False))
    assert found["model"] == "m"
    assert found["samples"] == 7
    assert found["methods"]["ig"]["passes"] == {"forward": 3, "backward": 3}
    assert "steps=3" in found["methods"]["ig"]["settings"]
    assert found["methods"]["random"]["kind"] == "control"
    assert found["metrics"]["deletion"]["higher_is_better"] is False
    assert found["metrics"]["deletion"]["protocol"]["steps"] == 4
    scores = {(s["method"], s["metric"], s["group"]): s for s in found["scores"]}
    assert len(scores) == 3 * 4 * 3
    one = scores["ig", "insertion", "all"]
    assert one["value"] == pytest.approx(float(results.summaries["ig", "insertion"]["all"].value))
    assert len(one["curve"]) == 5
    assert one["samples"] == 7


def test_the_summary_has_places_and_intervals(results):
    results.found["saliency", "infidelity"].reading.value.fill_(float("nan"))  # of which nothing is known
    found = json.loads(json.dumps(summary(results, {}, compare(results)), allow_nan=False))
    by_metric = {one["metric"]: one for one in found["comparisons"]}
    assert list(by_metric) == list(results.benchmark.metrics)
    one = by_metric["insertion"]["methods"]["ig"]
    assert one["low"] <= one["mean"] <= one["high"]
    assert one["mean"] == pytest.approx(float(results.summaries["ig", "insertion"]["all"].value))
    assert 1 <= one["first"] <= one["last"] <= 3
    assert (by_metric["insertion"]["ranked_samples"], by_metric["infidelity"]["ranked_samples"]) == (7, 0)
    nothing = by_metric["infidelity"]["methods"]["saliency"]
    assert nothing == dict.fromkeys(["mean", "low", "high", "mean_rank", "first", "last"]) | {"samples": 0}


def test_a_name_that_is_no_file_name(tmp_path):
    samples, store = run(tmp_path / "store", keys=KEYS[:1])
    results = collect(benchmark(), store, {"a/b": samples[KEYS[0]]})
    folder = tmp_path / "out"
    folder.mkdir()
    write_files(folder, results, [], [], {})
    assert [path.name for path in (folder / "panels").iterdir()] == ["sample_a_b.png"]

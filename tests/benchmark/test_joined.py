"""Several runs together, against means by hand."""

import csv
import json

import numpy as np
import pytest

from lit_attr.benchmark import join_runs, joined
from lit_attr.benchmark.statistics import paired_bootstrap

SCORES = {
    "a": {"ig": [0.5, 0.25, 0.75, 0.5], "random": [0.25, 0.25, 0.5, 0.375]},
    "b": {"ig": [1.0, None, 0.5, 0.75], "random": [0.5, 0.5, 0.5, 0.25]},
}


def write(folder, scores, **about):
    folder.mkdir(parents=True)
    metrics = {"drop": {"higher_is_better": True, "protocol": {"fill": "blur"}}}
    summary = {"model": folder.name, "data": "scenes", "samples": 4, "methods": {key: {} for key in scores}, **about}
    (folder / "summary.json").write_text(json.dumps({**summary, "metrics": metrics}))
    with (folder / "table.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["sample", "method", "metric", "value"])
        for method, values in scores.items():
            rows.writerows([[i, method, "drop", "" if v is None else v] for i, v in enumerate(values)])


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "a", SCORES["a"], regions="4 regions, sha256 abc")
    write(tmp_path / "b", SCORES["b"])
    (tmp_path / "unfinished").mkdir()
    return tmp_path


def cells(page, title):
    """The numbers of a table of the page, row by row."""
    section = page.split(f"<h2>{title}</h2>")[1].split("</table>")[0]
    rows = section.split("<tbody>")[1].split("<tr>")[1:]
    return [[cell.split('">')[1].split("</td>")[0] for cell in row.split("<td ")[1:]] for row in rows]


def test_the_table_has_all_rows_and_what_they_are_of(folder):
    join_runs(folder)
    with (folder / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 16
    assert {(row["model"], row["data"], row["fill"]) for row in rows} == {
        ("a", "scenes", "blur"),
        ("b", "scenes", "blur"),
    }
    assert [row["value"] for row in rows if (row["model"], row["method"]) == ("b", "ig")] == ["1.0", "", "0.5", "0.75"]


def test_means_and_differences_are_those_of_each_run(folder):
    page = join_runs(folder, "random").read_text()
    means = cells(page, "drop \N{UPWARDS ARROW}")
    assert [[cell.split(" ")[0] for cell in row] for row in means] == [["0.500", "0.750"], ["0.344", "0.438"]]
    ((first, second),) = cells(page, "drop: difference to random")
    for cell, (ig, base) in ((first, SCORES["a"].values()), (second, SCORES["b"].values())):
        values = np.array([ig, base], dtype=float)
        found = paired_bootstrap(values).differences
        value, low, high = (float(part[0, 1]) for part in found[:3])
        assert cell == f"{value:.3f} [{low:.3f}, {high:.3f}]"


def test_the_page_leads_to_the_runs(folder):
    page = join_runs(folder).read_text()
    assert 'href="a/index.html"' in page
    assert "4 regions, sha256 abc" in page
    assert "difference" not in page


def test_two_checkpoints_of_one_model_are_told_apart(tmp_path):
    for name, scores in SCORES.items():
        write(tmp_path / f"net_scenes_{name}", scores, model="net")
    page = join_runs(tmp_path).read_text()
    head = page.split("<thead>")[1].split("</thead>")[0]
    for name in SCORES:
        assert f"net on scenes (net_scenes_{name})" in head
        assert f'net_scenes_{name}/index.html">net on scenes (net_scenes_{name})</a>' in page
    with (tmp_path / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["run"], row["model"]) for row in rows} == {("net_scenes_a", "net"), ("net_scenes_b", "net")}


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no finished run"):
        join_runs(tmp_path)


def test_a_run_whose_table_is_newer_than_its_summary_is_told_as_far_as_it_is_known(folder):
    """As a kill between the two leaves them."""
    with (folder / "a/table.csv").open("a", newline="") as file:
        csv.writer(file).writerow([0, "ig", "new", 0.5])
    page = join_runs(folder).read_text()
    with (folder / "table.csv").open(newline="") as file:
        assert [row["fill"] for row in csv.DictReader(file) if row["metric"] == "new"] == [""]
    assert "<h2>new" not in page


def test_each_run_and_metric_is_resampled_once(folder, monkeypatch):
    seen = []
    monkeypatch.setattr(joined, "paired_bootstrap", lambda scores: seen.append(scores) or paired_bootstrap(scores))
    join_runs(folder, "random")
    assert len(seen) == 2

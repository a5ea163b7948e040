"""Tables as data, and printed."""

import io
import math

import pytest
import torch
from rich.console import Console

from _reference.comparing import EDGES, benchmark, run
from lit_attr.benchmark import collect, compare, place_tables, print_tables, score_tables
from lit_attr.benchmark.tables import Cell, Table, number, pair_table, rank_table


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.000"),
        (0.12345, "0.123"),
        (-0.0123, "-0.012"),
        (0.00042, "0.0004"),
        (12.3456, "12.346"),
        (123.456, "123.5"),
        (12345.6, "12346"),
        (2.5e7, "2.5e+07"),
        (3.2e-5, "3.2e-05"),
    ],
)
def test_numbers(value, text):
    assert number(value) == Cell(text, value)


def test_no_number():
    assert number(math.nan) == number(None) == Cell("\N{EN DASH}")
    assert number(1.0, math.nan).text == "1.000"
    assert number(1.0, 0.25).text == "1.000 \N{PLUS-MINUS SIGN} 0.250"


def test_scores(tmp_path):
    samples, store = run(tmp_path)
    results = collect(benchmark(), store, samples, EDGES)
    whole, *groups = score_tables(results)
    arrow = {True: "\N{UPWARDS ARROW}", False: "\N{DOWNWARDS ARROW}"}
    assert whole.columns[:3] == ["method", f"insertion {arrow[True]}", f"deletion {arrow[False]}"]
    assert whole.columns[-3:] == ["forward", "backward", "samples/s"]
    assert [row[0].text for row in whole.rows] == ["saliency", "ig", "random (control)"]
    assert whole.rows[1][1].value == float(results.summaries["ig", "insertion"]["all"].value)
    assert [cell.value for cell in whole.rows[1][-3:-1]] == [3, 3]
    assert whole.rows[2][-1].value is None  # how fast noise is drawn is no result
    assert whole.title == "All samples (7 samples)"
    counts = [results.summaries["ig", "insertion"][group].samples for group in results.groups[1:]]
    expected = [
        f"Confidence {group} 0.54 ({count} samples)" for group, count in zip(["below", "from"], counts, strict=True)
    ]
    assert [table.title for table in groups] == expected


def test_groups_without_samples_have_no_table(tmp_path):
    samples, store = run(tmp_path)
    assert len(score_tables(collect(benchmark(), store, samples, (0.01,)))) == 2


@pytest.fixture
def shown(tmp_path):
    """Results in which noise is clearly the worst by insertion, and nothing else is shown."""
    samples, store = run(tmp_path)
    results = collect(benchmark(), store, samples, EDGES)
    for i, name in enumerate(("saliency", "ig", "random")):
        values = torch.linspace(0.5, 0.6, 7, dtype=torch.float64) + torch.tensor([0.0, 0.01, -0.4])[i]
        values[::2] += 0.02 * (i == 0)
        results.found[name, "insertion"].reading.value.copy_(values)
    results.found["ig", "insertion"].reading.value[3] = torch.nan
    return results, compare(results)


def test_places(shown):
    results, comparisons = shown
    (table,) = place_tables(results, comparisons)
    assert table.title == "Places (all samples)"
    assert table.columns == ["method", *results.benchmark.metrics]
    assert [row[0].text for row in table.rows] == ["saliency", "ig", "random (control)"]
    (one, *_) = comparisons
    places = [one.place(name) for name in one.names]
    expected = [str(a) if a == b else f"{a}\N{EN DASH}{b}" for a, b in places]
    assert [row[1].text for row in table.rows] == expected
    assert [row[1].value for row in table.rows] == [sum(place) / 2 for place in places]
    assert "95%" in table.notes[0]


def test_ranks_and_pairs_of_a_metric(shown):
    results, (one, *_) = shown
    table = rank_table(results, one)
    assert [row[0].text.split()[0] for row in table.rows] == one.by_rank
    row = dict(zip(table.columns, table.rows[one.by_rank.index("ig")], strict=True))
    i = one.names.index("ig")
    means = one.bootstrap.means
    assert [row[name].value for name in ("mean", "95% from", "to")] == [means.value[i], means.low[i], means.high[i]]
    assert (row["mean rank"].value, row["samples"].value) == (one.ranks.ranks[i], 6)
    assert "over the 6 samples" in table.notes[0]
    assert ", 1 left out" in table.notes[0]
    pairs = pair_table(one)
    assert [row[0].text for row in pairs.rows] == [
        f"{a} \N{MINUS SIGN} {b}" for a, b in (("saliency", "ig"), ("saliency", "random"), ("ig", "random"))
    ]
    for cells, pair in zip(pairs.rows, one.pairs(), strict=True):
        found = dict(zip(pairs.columns, cells, strict=True))
        assert (found["difference"].value, found["p, Holm"].value) == (pair["difference"], pair["p_holm"])
        assert (found["pairs"].text, found["left out"].text) == (str(pair["n"]), str(pair["left_out"]))
        a, b = (one.place(pair[side]) for side in "ab")
        assert (found["shown"].text == "yes") or not (a[1] < b[0] or b[1] < a[0])


def test_printed_whole_on_a_narrow_terminal():
    columns = ["method", *(f"a long metric {i}" for i in range(12))]
    table = Table("title [x]", columns, [[Cell("a"), *(number(i + 0.5) for i in range(12))]], ["said once"])
    file = io.StringIO()
    console = Console(file=file, width=40)
    print_tables([table, table], console)
    text = file.getvalue()
    assert console.width == 40
    assert all(f"a long metric {i}" in text for i in range(12))
    assert all(f"{i}.500" in text for i in range(12))
    assert text.count("said once") == 1
    assert text.count("title [x]") == 2

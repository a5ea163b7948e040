"""Charts and tables of what was logged."""

import math

import pytest

from _reference.outline import outline
from lit_attr.report.history import cards, chart_of, history_charts, history_table
from lit_attr.report.reading import History

VALUES = {
    "train/loss": [(0.5, 3.0), (1.5, 2.0)],
    "val/loss": [(1.0, 2.5), (2.0, math.nan)],
    "val/accuracy": [(1.0, 0.5), (2.0, 0.25)],
    "explain/grad_cam/gap": [(1.0, 0.1), (2.0, 0.2)],
    "explain/ig/gap": [(1.0, 0.3), (2.0, 0.4)],
    "robust/pgd/16_255": [(1.0, 0.3), (2.0, 0.4)],
    "robust/pgd/8_255": [(1.0, 0.3), (2.0, 0.4)],
    "lr-<AdamW>": [(1.0, 1e-3), (2.0, 1e-4)],
    "test/once": [(2.0, 0.125)],
}


@pytest.mark.parametrize(
    ("name", "chart"),
    [
        ("train/loss", ("Training", "loss", "train")),
        ("val_loss", ("Training", "loss", "val")),
        ("loss", ("Other", "loss", "loss")),
        ("explain/ig/gap", ("Explanations", "gap", "ig")),
        ("robust/clean", ("Robustness", "accuracy", "clean")),
        ("robust/mce", ("Robustness", "mce", "mce")),
        ("robust/fog/5", ("Robustness", "accuracy under fog", "5")),
        ("robust/cw/accuracy", ("Robustness", "accuracy under cw", "accuracy")),
        ("robust/pgd/spearman", ("Robustness", "spearman", "pgd")),
        ("bank/samples", ("Other", "bank/samples", "samples")),
    ],
)
def test_where_a_name_is_drawn(name, chart):
    assert chart_of(name) == chart


def test_related_names_are_in_one_chart():
    found = history_charts(History(VALUES, "epoch"), ["ig", "grad_cam"])
    assert list(found) == ["Training", "Explanations", "Robustness", "Other"]
    lines = {part: [a["data-name"] for t, a in outline(html).seen if t == "g"] for part, html in found.items()}
    assert lines["Training"] == ["val", "train", "val"]  # of accuracy, then of loss
    assert lines["Explanations"] == ["ig", "grad_cam"]  # as asked for
    assert lines["Robustness"] == ["8/255", "16/255"]  # by size
    assert lines["Other"] == ["lr-<AdamW>"]
    assert "0.4000" in found["Explanations"]  # the last value is in the legend
    assert "once" not in "".join(found.values())


def test_the_table_has_last_lowest_and_highest():
    few = {"val/a": [(1.0, 0.5), (2.0, 0.25), (3.0, 0.375)], "<b>": [(1.0, 2.0)]}
    found = outline(history_table(History(few, "epoch")))
    words = [word for word in found.text if word.strip()]
    assert words[:6] == ["name", "last", "lowest", "at epoch", "highest", "at epoch"]
    assert words[6:12] == ["val/a", "0.3750", "0.2500", "2", "0.5000", "1"]
    assert words[12] == "<b>"


def test_many_names_are_behind_a_click():
    many = {**{f"x/{i}": [(1.0, 1.0)] for i in range(20)}, "val/a": [(1.0, 1.0)]}
    html = history_table(History(many, "epoch"))
    before, after = html.split("<details>")
    assert "val/a" in before
    assert "x/3" not in before
    assert "x/3" in after


def test_the_numbers_that_are_looked_for_first():
    words = outline(cards(History(VALUES, "epoch"))).text
    assert words[:2] == ["0.2500", "accuracy (val)"]
    assert words[-2:] == ["0.4000", "largest gap (ig)"]
    assert cards(History({"x": [(0.0, 1.0)]}, "epoch")) == ""

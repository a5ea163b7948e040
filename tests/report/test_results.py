"""Benchmarks and predictions in the page."""

import json

import numpy as np

from _reference.outline import outline
from lit_attr.report.results import benchmark, comparison, predictions
from lit_attr.visual import save_png


def test_scores_of_a_benchmark(tmp_path):
    scores = [
        {"method": "ig", "metric": "gap", "group": "all", "value": 0.5, "standard_error": 0.25},
        {"method": "ig", "metric": "gap", "group": "below_0.7", "value": 0.9, "standard_error": None},
        {"method": "<random>", "metric": "gap", "group": "all", "value": None, "standard_error": None},
    ]
    (tmp_path / "summary.json").write_text(
        json.dumps({"samples": 8, "methods": {"ig": {}, "<random>": {}}, "scores": scores})
    )
    found = outline(benchmark(tmp_path, "../bench mark"))
    assert found.text[:6] == [
        "method",
        "gap",
        "ig",
        "0.500 \N{PLUS-MINUS SIGN} 0.250",
        "<random>",
        "8 samples, with one standard error. ",
    ]
    assert [attrs["href"] for tag, attrs in found.seen if tag == "a"] == ["../bench%20mark/index.html"]


def test_a_comparison(tmp_path):
    path = tmp_path / "comparison.csv"
    lines = ["measure,<a>,b,difference,low,high,samples", "robust/clean,0.5,0.75,0.25,0.125,0.375,12"]
    path.write_text("\n".join([*lines, "gap,0.5,0.25,-0.25,-0.5,0.125,12"]))
    save_png(tmp_path / "noise.png", np.zeros((4, 4, 3), np.uint8))
    found = outline(comparison(path))
    assert found.text[:6] == ["measure", "<a>", "b", "difference", "95 % interval", "samples"]
    first = ["robust/clean", "0.5000", "0.7500", "+0.2500 *", "+0.1250 to +0.3750", "12"]
    second = ["gap", "0.5000", "0.2500", "-0.2500", "-0.5000 to +0.1250", "12"]
    assert found.text[6:18] == [*first, *second]
    assert found.text[18].startswith("b minus <a>")
    assert [attrs["alt"] for tag, attrs in found.seen if tag == "img"] == ["accuracy in noise, of both"]


def test_predictions_of_a_segmenter(tmp_path):
    """Masks, and maps of the classes that are explained; [1] in a name is no pattern."""
    lines = ["name,prediction,class_name,confidence,error"]
    lines += ['a/b[1].jpg,1 3,"house, street",0.5,', 'c.jpg,3,"street",0.75,', "d.jpg,,,0.9,"]
    (tmp_path / "predictions.csv").write_text("\n".join(lines))
    names = ("a/b[1].jpg.mask", "a/b[1].jpg.1_house", "a/b[1].jpg.3_street", "c.jpg.mask", "d.jpg.mask")
    for name in (*names, "a/b1.jpg.1_house"):
        save_png(tmp_path / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
    found = outline(predictions(tmp_path / "predictions.csv"))
    at = found.text.index("house")
    assert found.text[at : at + 6] == ["house", "1", "33.3%", "street", "2", "66.7%"]
    alone = ["a/b[1].jpg: house, street (50%)", "b[1].jpg.1_house", "b[1].jpg.3_street"]
    shown = [attrs["alt"] for tag, attrs in found.seen if tag == "img"]
    assert shown == [*alone, "c.jpg: street (75%)", "d.jpg:  (90%)"]
    assert "could not be read" not in "".join(found.text)


def test_predictions_alone_have_no_pictures(tmp_path):
    lines = ["name,prediction,class_name,confidence,error", "a.jpg,0,cat,0.5,"]
    (tmp_path / "predictions.csv").write_text("\n".join(lines))
    found = outline(predictions(tmp_path / "predictions.csv"))
    assert "could not be read" not in "".join(found.text)
    assert "All, the least sure first" not in found.text


def test_predictions(tmp_path):
    lines = ["name,prediction,class_name,confidence,error"]
    lines += [f"{i}.jpg,0,cat,0.{i + 1}," for i in range(2)] + ["c.jpg,1,dog,0.9,", "x.jpg,,,,no image"]
    (tmp_path / "predictions.csv").write_text("\n".join(lines))
    for name in ("0.jpg", "c.jpg"):
        save_png(tmp_path / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
    found = outline(predictions(tmp_path / "predictions.csv"))
    words = found.text
    assert words[:2] == ["3 images predicted, 1 unreadable.", "x.jpg: no image"]
    at = words.index("cat")
    assert words[at : at + 6] == ["cat", "2", "66.7%", "dog", "1", "33.3%"]
    assert [attrs["alt"] for tag, attrs in found.seen if tag == "img"] == ["0.jpg: cat (10%)", "c.jpg: dog (90%)"]
    assert any("1.jpg.png could not be read" in word for word in words)


def test_nothing_predicted(tmp_path):
    (tmp_path / "predictions.csv").write_text("name,prediction,class_name,confidence,error\n")
    assert outline(predictions(tmp_path / "predictions.csv")).text[0] == "0 images predicted, 0 unreadable."

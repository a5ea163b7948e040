"""What was run, and the files."""

from _reference.outline import outline
from lit_attr.report import about
from lit_attr.report.about import files, line, what_was_run

ENTRY = {
    "stage": "fit",
    "status": "finished",
    "started": "2026-01-02T03:04:05+00:00",
    "ended": "2026-01-02T04:05:15+00:00",
    "command": "train.py fit <x>",
    "model": "Net",
    "data": "Digits",
    "classes": ["a", "b"],
    "samples": {"train": 8},
    "versions": {"torch": "2.9"},
    "more": 3,
}


def test_a_line():
    assert line([ENTRY]) == "fit of Net on Digits - finished 2026-01-02 04:05 UTC after 1:01:10"
    assert line([{"stage": "test", "status": "running"}]) == "test - not finished when this page was made"
    assert line([{"stage": "test", "status": "stopped by X"}]) == "test - stopped by X"


def test_facts_and_config(tmp_path):
    (tmp_path / "config.yaml").write_text("a: <b>\n")
    found = outline(what_was_run([{"stage": "old"}, ENTRY], [tmp_path / "config.yaml"]))
    words = found.text
    facts = dict(zip(words[: words.index("Before: old, ?")][::2], words[1::2], strict=False))
    assert facts["command"] == "train.py fit <x>"
    assert facts["classes"] == "a, b"
    assert facts["samples"] == "train 8"
    assert facts["versions"] == "torch 2.9"
    assert facts["more"] == "3"
    assert words[-2:] == ["config.yaml", "a: <b>\n"]


def test_files_are_linked_and_pictures_counted(tmp_path):
    (tmp_path / "a b").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("a b/1.png", "a b/2.png", "metrics.csv", "report.html", ".hidden", ".git/inside"):
        (tmp_path / name).write_bytes(b"12345")
    found = outline(files(tmp_path))
    assert [attrs["href"] for tag, attrs in found.seen if tag == "a"] == ["metrics.csv", "a%20b"]
    assert "".join(found.text) == "metrics.csv (5 B)a b (2 pictures and maps)"


def test_a_folder_of_many_files_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(about, "_MOST_SEEN", 3)
    for i in range(5):
        (tmp_path / f"{i}.txt").touch()
    found = outline(files(tmp_path))
    assert len([tag for tag, _ in found.seen if tag == "a"]) == 3
    assert found.text[-1] == "and others: the folder has more than 3 files"

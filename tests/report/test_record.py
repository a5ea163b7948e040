"""What ran in a folder."""

import json
import sys

import pytest
import torch

from lit_attr.report.record import Record, read_records


def test_commands_follow_each_other(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/somewhere/train.py", "fit", "--a", "two words"])
    first = Record(tmp_path / "run", "fit", {"seed": 3})
    first.add({"samples": {"train": 8}})
    assert [entry["status"] for entry in read_records(tmp_path / "run")] == ["running"]
    first.end("finished")
    Record(tmp_path / "run", "test", {}).end("stopped by KeyboardInterrupt")
    one, other = read_records(tmp_path / "run")
    assert (one["stage"], one["status"], one["samples"]) == ("fit", "finished", {"train": 8})
    assert (other["stage"], other["status"]) == ("test", "stopped by KeyboardInterrupt")
    assert one["command"] == "train.py fit --a 'two words'"
    assert one["started"] < one["ended"] < other["started"]
    assert torch.__version__.startswith(one["versions"]["torch"])


def test_a_file_that_is_not_ours_is_replaced(tmp_path):
    (tmp_path / "run.json").write_text('["x"')
    Record(tmp_path, "fit", {}).end("finished")
    assert len(read_records(tmp_path)) == 1


@pytest.mark.parametrize("content", [{"a": 1}, [1]])
def test_a_file_that_is_no_list_of_entries(tmp_path, content):
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="no list of entries"):
        read_records(tmp_path)


def test_no_file(tmp_path):
    assert read_records(tmp_path) == []

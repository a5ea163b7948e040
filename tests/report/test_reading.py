"""Files of a run as data: where a value lies, and what is left out."""

import pytest

from lit_attr.report.reading import read_history, rounds, rows


def history(folder, text, name="metrics.csv"):
    (folder / name).write_text(text)
    return read_history(folder)


def test_places_are_finished_epochs(tmp_path):
    found = history(tmp_path, "epoch,step,a,b\n0,4,1,\n0,9,,2\n1,14,3,\n1,19,,4\n")
    assert found.along == "epoch"
    assert found.values == {"a": [(0.5, 1), (1.5, 3)], "b": [(1, 2), (2, 4)]}


def test_an_epoch_that_was_interrupted_is_no_whole_one(tmp_path):
    found = history(tmp_path, "epoch,step,a\n0,9,1\n1,14,2\n")
    assert found.values == {"a": [(1, 1), (1.5, 2)]}


def test_without_epochs_places_are_steps(tmp_path):
    assert history(tmp_path, "step,a\n3,1\n5,x\n7,2\n") == ({"a": [(3, 1), (7, 2)]}, "step")


def test_the_callbacks_own_file(tmp_path):
    found = history(tmp_path, "epoch,step,name,value\n0,9,a,1\n0,9,b,2\n1,19,a,3\n", "history.csv")
    assert found.values == {"a": [(1, 1), (2, 3)], "b": [(1, 2)]}


def test_none(tmp_path):
    assert read_history(tmp_path) is None


def test_a_line_that_was_cut_is_left_out(tmp_path):
    (tmp_path / "a.csv").write_text('a,b\n1,2\n3\n1,2,3\n"4,5')
    assert rows(tmp_path / "a.csv") == [{"a": "1", "b": "2"}]


@pytest.mark.parametrize(("text", "message"), [("", "it is empty"), ("a\n1\n", "no column 'b'")])
def test_no_table(tmp_path, text, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        rows(tmp_path / "a.csv", "b")


def test_rounds_in_their_order(tmp_path):
    names = ["validation_epoch_0010_step_000200", "test_epoch_0010_step_000200", "epoch_0002_step_000100", "other"]
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / "epoch_0003_step_000150").touch()  # no folder
    assert [one.folder.name for one in rounds(tmp_path)] == [names[2], names[0], names[1]]
    assert [one.told for one in rounds(tmp_path)] == [
        "epoch 3, step 100",
        "validation, epoch 11, step 200",
        "test, epoch 10, step 200",
    ]
    assert rounds(tmp_path / "gone") == []

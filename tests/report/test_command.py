"""The page of a run that could not write it itself, by command."""

import pytest

from _reference.run_folder import write_run
from lit_attr.report.command import main


def test_every_folder_gets_a_page(tmp_path, capsys):
    folders = [str(write_run(tmp_path / name, rounds=1)) for name in ("a", "b")]
    main(folders)
    assert capsys.readouterr().out.split() == [f"{folder}/report.html" for folder in folders]
    assert (tmp_path / "b/report.html").is_file()


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(SystemExit, match="error: there is no folder"):
        main([str(tmp_path / "gone")])

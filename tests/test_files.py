import errno
import resource
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from lit_attr._files import readable, require_space, sha256, write_csv, write_whole


@contextmanager
def quota(size):
    """No file of this process may become larger: what a full disk does, half of a file is written first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.bin"
    for content in (b"one", b"another"):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_what_does_not_fit_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    write_whole(path, b"old")
    with quota(1000), pytest.raises(OSError, match="File too large"):
        write_whole(path, b"new" * 1000)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_sum_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_disk_without_space(tmp_path, monkeypatch):
    require_space(tmp_path, 0)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=2_000))
    require_space(tmp_path, 2_000)
    with pytest.raises(OSError, match=r"the bank takes 2.5 kB, and only 2 kB are free") as told:
        require_space(tmp_path, 2_500)
    assert told.value.errno == errno.ENOSPC
    assert told.value.filename == str(tmp_path)


def test_sizes_are_readable():
    assert [readable(size) for size in (0, 999, 1000, 2.5e9, 7e14)] == ["0 B", "999 B", "1 kB", "2.5 GB", "700 TB"]


def test_a_row_with_other_columns_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not in fieldnames: 'other'"):
        write_csv(tmp_path / "table.csv", ["a", "b"], [{"a": 1, "other": 2}])
    assert not list(tmp_path.iterdir())

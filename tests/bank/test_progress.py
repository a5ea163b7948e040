import io
import re

from rich.console import Console

from lit_attr.bank import _progress
from lit_attr.bank._progress import progress_bar, rate


def test_speed_and_time_left(monkeypatch):
    written = io.StringIO()
    terminal = Console(file=written, force_terminal=True, width=120)
    monkeypatch.setattr(_progress, "Console", lambda stderr: terminal)
    with progress_bar("Variants", 40) as advance:
        for _ in range(3):
            advance(10)
    assert "Variants" in written.getvalue()
    assert "30/40" in written.getvalue()
    assert re.search(r"images/s.*\d:\d\d:\d\d", written.getvalue())


def test_no_bar_in_a_file(monkeypatch):
    written = io.StringIO()
    monkeypatch.setattr(_progress, "Console", lambda stderr: Console(file=written))
    with progress_bar("Variants", 4) as advance:
        advance(4)
    assert not written.getvalue().strip()


def test_rates():
    assert rate(0) == "0 images/s"
    assert rate(123456) == "123456 images/s"

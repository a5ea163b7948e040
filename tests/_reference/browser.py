"""A page in headless Chromium, where there is one."""

import re
import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
_QUIET = ["--no-first-run", "--disable-background-networking", "--no-sandbox", "--disable-gpu"]


def what_it_finds(page, script, folder, width=1280):
    """What a script, run in the page, has pushed to `found`; fails for a word on the console."""
    path = folder / "page.html"
    told = f'<script>const found = []; {script}; document.title = "FOUND " + found.join(" | ");</script></body>'
    path.write_text(page.replace("</body>", told))
    command = [CHROMIUM, "--headless", *_QUIET, "--enable-logging=stderr", "--dump-dom", f"--window-size={width},900"]
    done = subprocess.run(
        [*command, f"--user-data-dir={folder / 'profile'}", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ":CONSOLE" not in done.stderr, done.stderr
    (title,) = re.findall("<title>FOUND (.*?)</title>", done.stdout)
    return title.split(" | ")

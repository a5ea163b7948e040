"""W&B without questions: which mode is chosen, that nothing is asked, connected to or printed, and what is left out."""

import json
import os
import socket
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import wandb

from _reference.wandb_file import records
from lit_attr.loggers import WandbLogger
from lit_attr.visual import log_images

KEY = "0123456789" * 4


@pytest.fixture(autouse=True)
def nobody_logged_in(tmp_path, monkeypatch):
    """A home without W&B, in a folder of its own."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.chdir(tmp_path)


def _mode(**settings: object) -> str:
    with warnings.catch_warnings(record=True):
        mode: str = WandbLogger(**settings)._wandb_init["mode"]
    return mode


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_offline_for_whoever_is_not_logged_in():
    assert _mode() == "offline"


@pytest.mark.parametrize("mode", ["online", "offline", "dryrun", "disabled", "shared"])
def test_the_variable_decides(monkeypatch, mode):
    monkeypatch.setenv("WANDB_MODE", mode)
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    assert _mode() == mode


@pytest.mark.parametrize("mode", ["offlin", ""])
def test_a_mode_that_wandb_does_not_know_is_refused_at_once(monkeypatch, mode):
    monkeypatch.setenv("WANDB_MODE", mode)
    with pytest.raises(ValueError, match=f"`WANDB_MODE` is '{mode}'; accepted: disabled, dryrun, offline, online"):
        WandbLogger()


@pytest.mark.parametrize("name", ["WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"])
def test_online_with_a_key_in_the_environment(monkeypatch, name):
    monkeypatch.setenv(name, KEY)
    assert _mode() == "online"


@pytest.mark.parametrize(
    ("machine", "server", "mode"),
    [
        ("api.wandb.ai", None, "online"),
        ("example.org", None, "offline"),
        ("wandb.lab:8080", "http://wandb.lab:8080", "online"),
        ("api.wandb.ai", "http://wandb.lab:8080", "offline"),
    ],
)
def test_online_with_a_key_in_netrc(tmp_path, monkeypatch, machine, server, mode):
    _write(tmp_path / "netrc", f"machine {machine}\n  login user\n  password {KEY}\n")
    if server:
        monkeypatch.setenv("WANDB_BASE_URL", server)
    assert _mode() == mode


def test_netrc_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("NETRC")
    _write(tmp_path / ".netrc", f"machine api.wandb.ai login user password {KEY}\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert _mode() == "online"


@pytest.mark.parametrize("text", ["machine", "\0 broken", ""])
def test_a_broken_netrc_counts_as_none(tmp_path, text):
    _write(tmp_path / "netrc", text)
    assert _mode() == "offline"


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        (f"[default]\napi_key = {KEY}\n", "online"),
        (f"[default]\napi_key = {KEY}\nmode = offline\n", "offline"),
        ("[default]\nmode = 100%\n", "100%"),
        ("no section at all", "offline"),
        ("[other]\nmode = online\n", "offline"),
    ],
)
@pytest.mark.parametrize("place", [".config/wandb/settings", "wandb/settings"])
def test_settings_files(tmp_path, place, text, mode):
    _write(tmp_path / place, text)
    assert _mode() == mode


@pytest.mark.parametrize("mode", ["offline", "disabled"])
def test_log_model_is_turned_off_with_one_warning(monkeypatch, mode):
    monkeypatch.setenv("WANDB_MODE", mode)
    with pytest.warns(UserWarning, match=f"W&B is {mode}: `log_model` is turned off") as caught:
        logger = WandbLogger(log_model="all")
    assert len(caught) == 1
    assert logger._log_model is False


def test_log_model_stays_online(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    assert WandbLogger(log_model=True)._log_model is True


def test_settings_reach_the_run(tmp_path):
    logger = WandbLogger(
        project="digits",
        name="a",
        save_dir=tmp_path / "deep" / "runs",
        version="abc",
        entity="me",
        group="g",
        tags=["t"],
    )
    try:
        run = logger.experiment
        assert (run.project, run.name, run.id, run.entity, run.group, run.tags) == (
            "digits",
            "a",
            "abc",
            "me",
            "g",
            ("t",),
        )
        assert Path(run.dir).is_relative_to(tmp_path / "deep" / "runs")
        assert (logger.name, logger.version) == ("digits", "abc")
    finally:
        wandb.finish()
        wandb.teardown()
    assert "WANDB_MODE" not in os.environ


def test_no_import_no_question_no_connection_no_noise(tmp_path):
    script = """
        import sys
        from lit_attr.loggers import WandbLogger
        logger = WandbLogger(save_dir="runs")
        assert "wandb" not in sys.modules
        logger.log_metrics({"val/acc": 0.5}, step=3)
        logger.finalize("success")
        assert [p.name for p in __import__("pathlib").Path("runs").iterdir()] == ["wandb"]
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        environment = {**os.environ, "HTTP_PROXY": url, "HTTPS_PROXY": url, "WANDB_BASE_URL": url, "NO_PROXY": ""}
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script)],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        with pytest.raises(BlockingIOError):
            server.accept()[0].close()
    [line] = done.stderr.strip().splitlines()
    assert line.startswith("W&B is offline; `wandb sync runs/wandb/offline-run-")
    assert done.stdout == ""


def test_values_have_their_axis_and_summary_and_pictures_keep_theirs(tmp_path, monkeypatch):
    """Read back from the run's file: the values over epochs, with the lowest and highest."""
    logger = WandbLogger(save_dir=tmp_path)
    for epoch, value in enumerate([0.5, 0.75, 0.25]):
        logger.log_metrics({"val/accuracy": value, "epoch": epoch}, step=10 * epoch)
        logger.log_metrics({"train/loss": value, "epoch": epoch}, step=10 * epoch)
        log_images([logger], "explain/panels", [np.zeros((4, 4, 3), np.uint8)], ["a"], 10 * epoch)
    files = Path(logger.experiment.dir)
    wandb.finish()
    wandb.teardown()
    [file] = files.parent.glob("run-*.wandb")
    defined = {r.metric.name: r.metric for r in records(file) if r.WhichOneof("record_type") == "metric"}
    metric = defined["val/accuracy"]
    assert metric.step_metric == "epoch"
    assert (metric.summary.last, metric.summary.min, metric.summary.max) == (True, True, True)
    assert "explain/panels" not in defined
    assert "train/loss" not in defined
    summaries = [r.summary.update for r in records(file) if r.WhichOneof("record_type") == "summary"]
    last = {
        item.key or "/".join(item.nested_key): json.loads(item.value_json) for update in summaries for item in update
    }
    assert last["val/accuracy"] == {"last": 0.25, "min": 0.25, "max": 0.75}
    assert last["explain/panels/_type"] == "images/separated"


def test_it_goes_on_with_an_earlier_run(tmp_path):
    logger = WandbLogger(save_dir=tmp_path)
    logger.go_on("earlier")
    assert (logger.version, logger._wandb_init["id"], logger._wandb_init["resume"]) == ("earlier", "earlier", "allow")
    logger._experiment = SimpleNamespace(id="earlier")
    with pytest.raises(RuntimeError, match="the run earlier is started"):
        logger.go_on("other")

"""The table at the end."""

from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lit_attr._results import Results, print_comparison, print_results


def runner(folder, values):
    return SimpleNamespace(
        default_root_dir=folder,
        loggers=[],
        strategy=SimpleNamespace(broadcast=lambda value: value),
        callback_metrics={name: torch.tensor(value) for name, value in values.items()},
    )


def test_values_scores_and_paths_are_shown(tmp_path, capsys):
    values = {"val/accuracy": 0.98761, "train/loss": 0.1, "explain/ig/gap": 0.4321, "explain/cam/insertion": 0.5}
    print_results(runner(tmp_path, values), "Validation", best="a/best.ckpt")
    shown = capsys.readouterr().out
    assert "0.9876" in shown
    assert "train/loss" not in shown
    row = next(line for line in shown.splitlines() if " ig " in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["ig", "0.432", ""]
    assert str(tmp_path) in shown.replace("\n", "")
    assert "a/best.ckpt" in shown


def test_nothing_explained_shows_no_second_table(tmp_path, capsys):
    print_results(runner(tmp_path, {"val/loss": 1.0}), "Test")
    assert "Explanations" not in capsys.readouterr().out


def test_no_number_is_cut(tmp_path, capsys):
    """Rich's width is 80 where nothing tells it another."""
    methods, metrics = [f"a_long_name_{i}" for i in range(3)], [f"metric_{i}" for i in range(12)]
    values = {f"explain/{a}/{b}": i + j / 100 for i, a in enumerate(methods) for j, b in enumerate(metrics)}
    print_results(runner(tmp_path, values), "Validation")
    shown = capsys.readouterr().out
    assert all(f" {value:.3f} " in shown for value in values.values())
    assert all(f" {name} " in shown for name in methods + metrics)
    assert "…" not in shown


def test_brackets_are_no_markup(tmp_path, capsys):
    values = {"val/[red]": 0.5, "explain/ig[16]/gap": 0.25}
    print_results(runner(tmp_path / "run[bold]", values), "Test", best="[/x].ckpt")
    shown = capsys.readouterr().out
    for text in ("val/[red]", "ig[16]", "run[bold]", "[/x].ckpt"):
        assert text in shown


@pytest.mark.parametrize(("stage", "title"), [("fit", "Last validation"), ("validate", "Validation"), ("test", "Test")])
def test_shown_where_the_run_was(tmp_path, capsys, stage, title):
    one = runner(tmp_path, {"val/loss": 1.0})
    one.checkpoint_callback = ModelCheckpoint()
    one.checkpoint_callback.best_model_path = "a/best.ckpt"
    Results().teardown(one, None, stage)
    shown = capsys.readouterr().out
    assert title in shown
    assert ("Best checkpoint: a/best.ckpt" in shown) == (stage == "fit")


def test_fast_dev_run_names_no_folder(tmp_path, capsys):
    one = runner(tmp_path, {"val/loss": 1.0})
    one.fast_dev_run = 1
    print_results(one, "Test")
    assert str(tmp_path) not in capsys.readouterr().out


def test_other_ranks_print_nothing_but_take_part(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("lightning.pytorch.utilities.rank_zero_only.rank", 1)
    one, asked = runner(tmp_path, {"val/loss": 1.0}), []
    one.strategy.broadcast = lambda value: asked.append(value) or value
    print_results(one, "Test")
    assert capsys.readouterr().out == ""
    assert asked == [str(tmp_path)]


def test_runs_side_by_side(capsys):
    print_comparison("Two [runs]", {"one": {"val/a": 0.12345, "val/b": 1.0}, "other": {"val/a": 0.5}})
    rows = [
        [cell.strip() for cell in line.strip("│┃ ").replace("┃", "│").split("│")]
        for line in capsys.readouterr().out.splitlines()
    ]
    assert ["metric", "one", "other"] in rows
    assert ["val/a", "0.1235", "0.5000"] in rows or ["val/a", "0.1234", "0.5000"] in rows
    assert ["val/b", "1.0000"] in rows or ["val/b", "1.0000", ""] in rows

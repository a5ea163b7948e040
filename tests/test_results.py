"""The table at the end."""

from types import SimpleNamespace

import torch

from lit_attr._results import print_results


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

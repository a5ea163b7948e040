"""Two gloo processes: no deadlock with an odd number of samples, and the numbers and files of one process."""

import csv

import pytest

from _reference.processes import command

FEW = [
    *("--explanations.num_samples", "5", "--explanations.num_images", "3", "--trainer.accelerator", "cpu"),
    *("--explanations.methods", '{"ig": {"steps": 4}, "grad_cam": {}}', "--trainer.enable_progress_bar", "false"),
    *("--explanations.metrics", '{"insertion": {"steps": 8}, "gap": {"steps": 8}}'),
]
TWO = {"processes": 2}


def run(folder, *args, **processes):
    """The command in a folder of its own; its run's folder."""
    folder.mkdir()
    command(folder, *args, *FEW, **processes)
    return folder / "runs/lit_attr/version_0"


def last_values(run_folder):
    with (run_folder / "metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["val/accuracy"]]
    return {name: float(value) for name, value in rows[-1].items() if value}


def samples(run_folder):
    (path,) = run_folder.glob("explain/epoch_0000_*/samples.csv")
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_two_processes_give_the_numbers_and_files_of_one(tmp_path):
    fitted = run(tmp_path / "fit", "fit", "--trainer.max_epochs", "1", "--trainer.limit_train_batches", "4", **TWO)
    assert len(list(fitted.glob("explain/epoch_0000_*/sample_*.png"))) == 3
    checkpoint = str(fitted / "checkpoints/last.ckpt")
    one = run(tmp_path / "one", "validate", "--ckpt_path", checkpoint)
    two = run(tmp_path / "two", "validate", "--ckpt_path", checkpoint, **TWO)

    values, expected = last_values(two), last_values(one)
    assert "explain/ig/insertion" in expected
    assert values == pytest.approx(expected, abs=1e-6)
    assert last_values(fitted) == pytest.approx({**expected, "epoch": 0, "step": last_values(fitted)["step"]}, abs=1e-6)

    rows, expected_rows = samples(two), samples(one)
    assert len({row["index"] for row in rows}) == len(rows) == 5
    for row, expected_row in zip(rows, expected_rows, strict=True):
        assert {k: row[k] for k in ("index", "label", "prediction")} == {
            k: expected_row[k] for k in ("index", "label", "prediction")
        }
        assert float(row["ig/gap"]) == pytest.approx(float(expected_row["ig/gap"]), abs=1e-6)
    pictures = [sorted(path.name for path in f.glob("explain/epoch_0000_*/sample_*.png")) for f in (one, two)]
    assert pictures[0] == pictures[1]
    assert len(pictures[0]) == 3

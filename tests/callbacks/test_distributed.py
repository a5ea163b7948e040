"""Two gloo processes: no deadlock with an odd number of samples, and the numbers and files of one process."""

import csv
from pathlib import Path

import pytest

from _reference.processes import command

FEW = [
    *("--explanations.num_samples", "5", "--explanations.num_images", "3", "--trainer.accelerator", "cpu"),
    *("--explanations.methods", '{"ig": {"steps": 4}, "grad_cam": {}}', "--trainer.enable_progress_bar", "false"),
    *("--explanations.metrics", '{"insertion": {"steps": 8}, "gap": {"steps": 8}}'),
]
TWO = {"processes": 2}
CONFIGS = Path(__file__).parents[2] / "configs"
ANY = '{"region": "gt", "min_area": 0.0, "min_iou": 0.0, "min_others": 0.0}'  # of a segmenter that is not trained
SEGMENTER = [
    *("validate", "-c", str(CONFIGS / "segmentation/scenes.yaml"), "-c", str(CONFIGS / "benchmark/segmentation.yaml")),
    *("--benchmark.methods", '{"hires_cam": {}}', "--benchmark.metrics", '{"target_drop": {}}'),
    *("--benchmark.controls", "[random, oracle]", "--benchmark.baseline", "random", "--benchmark.num_samples", "3"),
    *("--benchmark.regions", ANY, "--benchmark.num_images", "1"),
    *("--explanations.methods", '{"hires_cam": {}}', "--explanations.metrics", '{"target_drop": {}}'),
    *("--explanations.regions", ANY, "--explanations.num_samples", "3", "--explanations.num_images", "1"),
    *("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"),
]


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


def table(folder):
    """Values of the benchmark's only run by sample, method and metric, and the hash of its regions."""
    with (folder / "runs/benchmark/segmentation/table.csv").open(newline="") as file:
        rows = {(row["sample"], row["method"], row["metric"]): float(row["value"]) for row in csv.DictReader(file)}
    (run_folder,) = folder.glob("runs/benchmark/segmentation/*/regions/*")
    return rows, {path.name: path.read_bytes() for path in run_folder.iterdir()}


@pytest.mark.slow
def test_two_processes_explain_and_compare_the_regions_of_one(tmp_path):
    for name, processes in (("one", {}), ("two", TWO)):
        (tmp_path / name).mkdir()
        command(tmp_path / name, *SEGMENTER, **processes)
    (rows, files), (expected, expected_files) = table(tmp_path / "two"), table(tmp_path / "one")
    assert rows == pytest.approx(expected, abs=1e-5)
    assert files == expected_files
    assert {int(key.split("_")[0]) for key, *_ in rows} == {int(row["index"]) for row in every(tmp_path / "two")}
    keys = ("index", "label", "prediction")
    assert [[row[key] for key in keys] for row in every(tmp_path / "two")] == [
        [row[key] for key in keys] for row in every(tmp_path / "one")
    ]


def every(folder):
    return samples(folder / "runs/lit_attr/version_0")

"""The callback: the chosen samples, measured once, on one process and on two, and taken up after a stop."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.strategies import FSDPStrategy

from _reference.foreign import Foreign, Stripes, loaders, trainer
from _reference.processes import command
from lit_attr._checks import ArgumentError
from lit_attr.attribution import IntegratedGradients
from lit_attr.benchmark import model_identity
from lit_attr.callbacks import BenchmarkCallback
from lit_attr.callbacks._collect import choose
from lit_attr.metrics import Insertion

ROOT = Path(__file__).parents[2]
METHODS = {"ig": {"steps": 4}, "grad_cam": {}}
METRICS = {"insertion": {"steps": 4}, "gap": {"steps": 4}, "max_sensitivity": {"draws": 1}}


def compare(**settings):
    few = {"methods": METHODS, "metrics": METRICS, "num_samples": 5, "num_images": 1, "controls": ["random"]}
    return BenchmarkCallback(**{**few, **settings})


def module():
    torch.manual_seed(3)
    return Foreign()


def table(folder):
    with (folder / "table.csv").open(newline="") as file:
        return list(csv.DictReader(file))


class Counted(Foreign):
    """Counts the images that it sees."""

    images = 0

    def forward(self, x):
        self.images += len(x)
        return super().forward(x)


def validate(tmp_path, model=None, **settings):
    callback = compare(**settings)
    trainer(tmp_path, callback).validate(model or module(), loaders()[1], verbose=False)
    return tmp_path / "benchmark" / model_identity(model or module())


def test_values_are_those_of_the_chosen_samples(tmp_path, capsys):
    folder, model, method = validate(tmp_path), module(), IntegratedGradients(steps=4)
    rows = table(folder)
    assert len(rows) == 5 * 3 * 3
    chosen = choose(16, 5, seed=0)
    assert list(dict.fromkeys(row["sample"] for row in rows)) == [str(number) for number in chosen]
    found = {(row["sample"], row["method"], row["metric"]): row for row in rows}
    for number in chosen:
        image, label = Stripes()[number]
        metric = Insertion(steps=4)
        metric.update(model, image[None], None, method(model, image[None]))
        row = found[str(number), "ig", "insertion"]
        assert float(row["value"]) == pytest.approx(float(metric.compute()), abs=1e-6)
        assert row["label"] == str(label)
    assert len(list((folder / "panels").iterdir())) == 1
    printed = capsys.readouterr().out
    assert "All samples (5 samples)" in printed
    assert "ABE, Table V" in printed
    assert "Places (all samples)" in printed
    with (folder / "comparisons.csv").open(newline="") as file:
        pairs = list(csv.DictReader(file))
    assert [(row["metric"], row["a"], row["b"], row["n"]) for row in pairs[:3]] == [
        ("insertion", "ig", "grad_cam", "5"),
        ("insertion", "ig", "random", "5"),
        ("insertion", "grad_cam", "random", "5"),
    ]
    assert str(folder) in printed
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["model"], summary["data"], summary["target"]) == ("Foreign", "Stripes", "predicted")
    assert [one["metric"] for one in summary["comparisons"]] == list(METRICS)


def test_the_same_command_again_computes_nothing(tmp_path):
    expected = table(validate(tmp_path))
    torch.manual_seed(3)
    model = Counted()
    model.load_state_dict(module().state_dict())
    callback = compare(folder=str(tmp_path / "counted"))
    for _ in range(2):
        before = model.images
        trainer(tmp_path, callback).validate(model, loaders()[1], verbose=False)
        seen = model.images - before
    assert seen == 16  # the validation itself
    assert before > 16
    found = table(tmp_path / "counted")
    assert [row["value"] for row in found] == [row["value"] for row in expected]


def test_a_folder_of_another_model_is_refused(tmp_path):
    validate(tmp_path, folder=str(tmp_path / "mine"))
    with pytest.raises(ArgumentError, match=r"`folder` must be a folder with results of model .*mine, of model"):
        validate(tmp_path, Counted(), folder=str(tmp_path / "mine"))


def test_labels_can_be_explained(tmp_path):
    values = {
        target: [row["value"] for row in table(validate(tmp_path, target=target))] for target in ("predicted", "label")
    }
    assert values["predicted"] != values["label"]


def test_idle_in_training_and_without_methods(tmp_path):
    train, val = loaders()
    trainer(tmp_path, compare(), max_epochs=1, num_sanity_val_steps=1).fit(module(), train, val)
    trainer(tmp_path, compare(methods=[])).validate(module(), val, verbose=False)
    assert not (tmp_path / "benchmark").exists()


def test_fast_dev_run_tries_and_keeps_nothing(tmp_path):
    torch.manual_seed(3)
    model = Counted()
    trainer(tmp_path, compare(), fast_dev_run=True).validate(model, loaders()[1], verbose=False)
    assert model.images > 4  # more than the validated batch
    assert not (tmp_path / "benchmark").exists()


def test_global_random_state_is_left(tmp_path):
    torch.manual_seed(9)
    model, state = module(), torch.get_rng_state()
    callback = compare()
    tester = trainer(tmp_path, callback)
    before = []
    callback.on_validation_epoch_start = lambda *_: before.append(torch.get_rng_state())
    after = []
    callback.on_validation_end = lambda *_: after.append(torch.get_rng_state())
    tester.validate(model, loaders()[1], verbose=False)
    assert torch.equal(before[0], after[0])
    assert state.shape == after[0].shape


def test_the_progress_line_tells_passes_and_time_left(tmp_path):
    seen = []

    class Watched(RichProgressBar):
        def refresh(self, hard=False):
            super().refresh(hard)
            if self.progress is not None:
                seen.extend((task.description, task.completed, task.total) for task in self.progress.tasks)

    bar = Watched()
    tester = trainer(tmp_path, compare(batch_size=2), bar, enable_progress_bar=True)
    tester.validate(module(), loaders()[1], verbose=False)
    lines = [line for line in seen if line[0].startswith("Benchmark")]
    assert any(" left after ig" in description for description, *_ in lines)
    assert max(completed for _, completed, _ in lines) == max(total for *_, total in lines)


def test_loggers_get_what_they_can_show(tmp_path):
    logger = CSVLogger(tmp_path, name="run")
    trainer(tmp_path, compare(), logger=logger).validate(module(), loaders()[1], verbose=False)
    assert list(tmp_path.glob("benchmark/*/index.html"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_samples": 0}, "`num_samples` must be a positive integer, got 0"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer, got 0"),
        ({"num_images": -1}, "`num_images` must be an integer of at least 0, got -1"),
        ({"target": "labels"}, "`target` is 'labels'; accepted: label, predicted"),
        ({"confidence_edges": [2]}, "`edges` must be ascending numbers between 0 and 1"),
        ({"methods": ["igg"]}, "unknown method 'igg'"),
        ({"metrics": ["insertio"]}, "unknown metric 'insertio'"),
        ({"controls": ["rand"]}, "unknown control 'rand'"),
    ],
)
def test_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        compare(**settings)


def test_split_models_are_refused():
    split = SimpleNamespace(strategy=FSDPStrategy.__new__(FSDPStrategy))
    with pytest.raises(ArgumentError, match="FSDPStrategy"):
        compare().setup(split, Foreign(), "validate")
    compare().setup(split, Foreign(), "fit")


def compared(folder, *args, **processes):
    """The folder of the benchmark that the command line has made, in processes of its own."""
    folder.mkdir(exist_ok=True)
    few = {"--benchmark.methods": METHODS, "--benchmark.metrics": METRICS, "--benchmark.controls": ["random"]}
    typed = [text for name, value in few.items() for text in (name, json.dumps(value))]
    quiet = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false", "--trainer.logger", "false"]
    config = str(ROOT / "configs/benchmark/classification.yaml")
    command(folder, "validate", "--config", config, *typed, *quiet, *args, **processes)
    (found,) = (folder / "runs/benchmark").iterdir()
    return found


@pytest.mark.slow
def test_two_processes_give_the_numbers_of_one_and_take_up_its_work(tmp_path):
    one = compared(tmp_path / "one", "--benchmark.num_samples", "5")
    some = compared(tmp_path / "two", "--benchmark.num_samples", "3")
    kept = {path.name: path.stat().st_mtime_ns for path in (some / "shards").iterdir()}
    two = compared(tmp_path / "two", "--benchmark.num_samples", "5", processes=2)
    assert two == some
    now = {path.name: path.stat().st_mtime_ns for path in (two / "shards").iterdir()}
    assert kept.items() < now.items()
    for found, expected in zip(table(two), table(one), strict=True):
        assert float(found.pop("value")) == pytest.approx(float(expected.pop("value")), abs=1e-6)
        assert float(found.pop("confidence")) == pytest.approx(float(expected.pop("confidence")), abs=1e-6)
        assert found == expected

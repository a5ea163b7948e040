"""Media: what was logged is read back from each logger's own files."""

import json
from pathlib import Path

import numpy as np
import pytest
import wandb
from lightning.pytorch.loggers import CSVLogger, MLFlowLogger, TensorBoardLogger
from lightning.pytorch.loggers.logger import DummyLogger
from PIL import Image

from _reference.wandb_file import history
from lit_attr._checks import ArgumentError
from lit_attr.loggers import WandbLogger
from lit_attr.visual import log_curves, log_images, log_masks, log_table

RED, BLUE = (np.full((6, 8, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
MASKS = {"labels": np.eye(6, 8, dtype=np.uint8), "ig": np.ones((6, 8), np.uint8)}
COLUMNS, FRACTIONS = ["method", "insertion"], [0.0, 0.5, 1.0]


def _log_everything(logger):
    log_images([logger], "explain/panels", [RED, BLUE], ["one", "two"], step=7)
    log_masks([logger], "explain/regions", [RED], [MASKS], {0: "ground", 1: "cat"}, ["one"], step=7)
    log_table([logger], "explain/scores", COLUMNS, [["ig", 0.25]], step=7)
    log_table([logger], "explain/scores", COLUMNS, [["ig", 0.5], ["a|b", "-"]], step=8)
    log_curves([logger], "explain/insertion", FRACTIONS, {"ig": [0.0, 0.3, 1.0], "sg": [0, 0.1, 1]}, "fraction", step=8)


@pytest.fixture(scope="module")
def wandb_history(tmp_path_factory):
    """Everything logged to W&B once, offline: its folder of files, and the history row by row."""
    folder = tmp_path_factory.mktemp("wandb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        logger = WandbLogger(save_dir=folder / "runs")
        _log_everything(logger)
        files = Path(logger.experiment.dir)
        wandb.finish()
        wandb.teardown()
    [file] = files.parent.glob("run-*.wandb")
    return files, history(file)


def _logged(stored, key):
    files, rows = stored
    return files, [row for row in rows if any(name == key or name.startswith(f"{key}/") for name in row)]


def _entry(row, key):
    """The value of a key, whether wandb wrote it whole or by its parts."""
    if key in row:
        return row[key]
    return {name.removeprefix(f"{key}/"): value for name, value in row.items() if name.startswith(f"{key}/")}


def test_wandb_images(wandb_history):
    files, [row] = _logged(wandb_history, "explain/panels")
    entry = _entry(row, "explain/panels")
    assert row["trainer/global_step"] == 7
    assert entry["_type"] == "images/separated"
    assert entry["captions"] == ["one", "two"]
    assert all((files / name).is_file() for name in entry["filenames"])
    assert len(entry["filenames"]) == 2


def test_wandb_masks(wandb_history):
    files, [row] = _logged(wandb_history, "explain/regions")
    entry = _entry(row, "explain/regions")
    assert entry["captions"] == ["one"]
    [masks] = entry["all_masks"]
    assert set(masks) == set(MASKS)
    stored = np.asarray(Image.open(files / masks["labels"]["path"]))
    assert np.array_equal(stored, MASKS["labels"])


def test_masks_are_as_many_as_images():
    with pytest.raises(ArgumentError, match=r"`masks` must be one per image \(1\), got 0 masks"):
        log_masks([], "key", [RED], [], {}, ["one"], 0)


def test_wandb_tables_grow(wandb_history):
    """Each call writes its own rows; the entry of the second names the first, of which it is a continuation."""
    files, rows = _logged(wandb_history, "explain/scores")
    assert [row["trainer/global_step"] for row in rows] == [7, 8]
    first, second = (_entry(row, "explain/scores") for row in rows)
    tables = [json.loads((files / entry["path"]).read_text()) for entry in (first, second)]
    assert [table["columns"] for table in tables] == [COLUMNS] * 2
    assert [table["data"] for table in tables] == [[["ig", 0.25]], [["ig", 0.5], ["a|b", "-"]]]
    assert first["_type"] == second["_type"] == "incremental-table-file"
    assert second["previous_increments_paths"] == [first["artifact_path"]]
    assert (first["nrows"], second["nrows"]) == (1, 3)


def test_wandb_curves(wandb_history):
    files, [row] = _logged(wandb_history, "explain/insertion_table")
    assert row["trainer/global_step"] == 8
    table = json.loads((files / _entry(row, "explain/insertion_table")["path"]).read_text())
    assert table["data"] == [
        *([x, "ig", y] for x, y in zip(FRACTIONS, [0.0, 0.3, 1.0], strict=True)),
        *([x, "sg", y] for x, y in zip(FRACTIONS, [0, 0.1, 1], strict=True)),
    ]


def test_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path)
    _log_everything(logger)
    logger.experiment.close()
    events = EventAccumulator(logger.log_dir).Reload()
    images = {tag: events.Images(tag) for tag in events.Tags()["images"]}
    assert {tag: [image.step for image in found] for tag, found in images.items()} == {
        "explain/panels/0": [7],
        "explain/panels/1": [7],
        "explain/insertion": [8],
    }
    assert (images["explain/panels/0"][0].width, images["explain/panels/0"][0].height) == (8, 6)
    texts = events.Tensors("explain/scores/text_summary")
    assert [text.step for text in texts] == [7, 8]
    assert texts[1].tensor_proto.string_val[0].decode() == (
        "| method | insertion |\n|---|---|\n| ig | 0.5 |\n| a\\|b | - |"
    )


class _FakeMLFlow(MLFlowLogger):
    """MLflow's logger where MLflow is not installed: it notes what its client was asked to do."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []

    @property
    def experiment(self):
        return self

    @property
    def run_id(self):
        return "run"

    def log_image(self, *arguments):
        self.calls.append(("image", *arguments))

    def log_table(self, *arguments):
        self.calls.append(("table", *arguments))


def test_mlflow():
    logger = _FakeMLFlow()
    _log_everything(logger)
    assert [(call[0], call[1], call[3]) for call in logger.calls] == [
        ("image", "run", "explain/panels/00000007_0.png"),
        ("image", "run", "explain/panels/00000007_1.png"),
        ("table", "run", "explain/scores/00000007.json"),
        ("table", "run", "explain/scores/00000008.json"),
        ("image", "run", "explain/insertion/00000008.png"),
    ]
    assert logger.calls[1][2] is BLUE
    assert logger.calls[3][2] == {"method": ["ig", "a|b"], "insertion": [0.5, "-"]}


@pytest.mark.parametrize("make", [CSVLogger, lambda _: DummyLogger()], ids=["csv", "dummy"])
def test_other_loggers_get_nothing(tmp_path, make):
    _log_everything(make(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_no_logger_and_no_image():
    log_images([], "key", [RED], ["one"], step=0)
    logger = _FakeMLFlow()
    log_images([logger], "key", [], [], step=0)
    assert logger.calls == []


def test_one_caption_per_image():
    with pytest.raises(ArgumentError, match=r"`captions` must be one per image \(1\), got 0 captions"):
        log_images([], "key", [RED], [], step=0)

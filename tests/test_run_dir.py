"""The folder of a run: which logger decides, and that rank zero does."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.loggers.logger import DummyLogger

from lit_attr._run_dir import run_dir


class _WandbLike(DummyLogger):
    """A logger with a folder and a project, whose run has an id only once it is made."""

    def __init__(self, save_dir: Path) -> None:
        super().__init__()
        self._dir, self.made = save_dir, False

    save_dir = property(lambda self: str(self._dir))
    name = property(lambda self: "project")
    version = property(lambda self: "id" if self.made else None)

    @property
    def experiment(self):
        self.made = True


def _trainer(*loggers, broadcast=lambda mine: mine):
    return SimpleNamespace(
        loggers=list(loggers), default_root_dir="root", strategy=SimpleNamespace(broadcast=broadcast)
    )


def test_first_folder_per_run_decides(tmp_path):
    wandb, csv = _WandbLike(tmp_path), CSVLogger(tmp_path, name="csv", version=3)
    board = TensorBoardLogger(tmp_path, name="tb", version=1)
    assert run_dir(_trainer(wandb, csv, board)) == tmp_path / "csv" / "version_3"
    assert run_dir(_trainer(wandb, board, csv)) == tmp_path / "tb" / "version_1"
    assert not wandb.made
    assert list(tmp_path.iterdir()) == []


def test_wandb_alone_has_a_folder_per_run(tmp_path):
    assert run_dir(_trainer(_WandbLike(tmp_path))) == tmp_path / "project" / "id"


@pytest.mark.parametrize("loggers", [(), (DummyLogger(),)], ids=["none", "fast_dev_run"])
def test_without_a_folder_the_trainer_says(loggers):
    assert run_dir(_trainer(*loggers)) == Path("root")


def test_all_ranks_get_what_rank_zero_has(tmp_path):
    trainer = _trainer(CSVLogger(tmp_path), broadcast=lambda mine: "from/rank/zero")
    assert run_dir(trainer) == Path("from/rank/zero")

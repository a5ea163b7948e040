"""The command line: `python train.py fit|validate|test|predict`, or `lit-attr` from anywhere."""

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NoReturn

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_only

import lit_attr
import lit_attr.modules
from lit_attr._cli_errors import one_line
from lit_attr._results import print_results
from lit_attr._save_config import SaveConfig
from lit_attr.callbacks import ExplanationCallback, ExplanationWriter

__all__ = ["LitAttrCLI", "main"]

_DEBUG = "JSONARGPARSE_DEBUG"
# Known and harmless; each hides nothing that the reader could act on.
_QUIET = [
    ".*LightningCLI.s args parameter is intended.*",  # the settings of a checkpoint are added to what was typed
    ".*does not have many workers.*",  # the default loads 8x8 images from memory
    ".*The number of training batches .* is smaller than the logging interval.*",
    ".*Experiment logs directory .* exists and is not empty.*",  # CSV logger, when a run is taken up again
    ".*The dirpath has changed from .*",  # a checkpoint of another run is evaluated here
    ".*`.predict.ckpt_path=None.` was called with a model.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*will be overridden by `LitAttrCLI.configure_optimizers`.*",  # what --optimizer is for
    ".*No positive samples in targets.*",  # AUROC over few samples
    ".*scores for these classes.*",
    ".*isinstance\\(treespec, LeafSpec\\).*",  # Lightning 2.6 on torch 2.9
]


class Parser(LightningArgumentParser):
    """A parser that says in one line what was wrong and what is accepted."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print the line and leave with status 2; with JSONARGPARSE_DEBUG set, raise with the whole story."""
        if not self.exit_on_error or os.environ.get(_DEBUG):
            super().error(message, ex)
        _stop(one_line(message, getattr(ex, "subcommand_parser", None) or self))


class LitAttrCLI(LightningCLI):
    """LightningCLI with explanations.

    Every command starts from `configs/default.yaml`; further `--config`s and options are laid over it. With
    `--ckpt_path`, the model's and the data's settings are those of the checkpoint, unless they are given.
    """

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Callbacks with keys of their own, so that each of their settings can be given on the command line."""
        parser.add_lightning_class_args(ExplanationCallback, "explanations")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.add_lightning_class_args(ExplanationWriter, "writer")

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        if subcommand == "predict":
            parser.set_defaults({"return_predictions": False})  # they are written to files, not kept in memory
        elif subcommand != "fit":
            parser.set_defaults({"verbose": False})  # the table at the end says the same
        return parser

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """The Trainer; without loggers in `predict`, whose results are files."""
        return super().instantiate_trainer(**kwargs, **({"logger": False} if self.subcommand == "predict" else {}))

    def before_predict(self) -> None:
        """Let callbacks know the checkpoint before it is loaded, so that finished images are not even read."""
        self.trainer.ckpt_path = self.config_init.predict.pop("ckpt_path", None)

    def after_fit(self) -> None:
        """Show what was reached and where it is."""
        best = self.trainer.checkpoint_callback
        path = best.best_model_path if isinstance(best, ModelCheckpoint) else ""
        print_results(self.trainer, "Last validation", best=path)

    def after_validate(self) -> None:
        """Show the results."""
        print_results(self.trainer, "Validation")

    def after_test(self) -> None:
        """Show the results."""
        print_results(self.trainer, "Test")


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: the arguments without the program's name; None takes those of the process.
    """
    for message in _QUIET:
        warnings.filterwarnings("ignore", message)
    given = list(sys.argv[1:] if args is None else args)
    default = str(files("lit_attr.configs") / "default.yaml")
    common = {"default_config_files": [default], "allow_abbrev": False}
    try:
        LitAttrCLI(
            L.LightningModule,
            L.LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            seed_everything_default=0,
            parser_class=Parser,
            parser_kwargs={
                "version": f"lit_attr {lit_attr.__version__}",
                "allow_abbrev": False,
                **{command: dict(common) for command in LitAttrCLI.subcommands()},
            },
            save_config_callback=SaveConfig,
            args=_with_data_of_checkpoint(given),
        )
    except (ValueError, TypeError, OSError, MisconfigurationException) as error:
        if os.environ.get(_DEBUG) or not _told_to_the_user(error):
            raise
        _stop(one_line(str(error), LightningArgumentParser()))


def _told_to_the_user(error: BaseException) -> bool:
    """Whether an error is a message about the user's input, and no fault of the program.

    It is where this package raised it on purpose, or where a class refused its settings as it was made.
    """
    if isinstance(error, TypeError | OSError) and not _raised_by_us(error):
        return False
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    return _raised_by_us(error) or "instantiate_classes" in frames or isinstance(error, MisconfigurationException)


def _raised_by_us(error: BaseException) -> bool:
    frames = list(traceback.walk_tb(error.__traceback__))
    frame, line = frames[-1]
    source = Path(frame.f_code.co_filename)
    ours = str(frame.f_globals.get("__name__", "")).startswith("lit_attr")
    return ours and source.is_file() and source.read_text().splitlines()[line - 1].lstrip().startswith("raise ")


def _with_data_of_checkpoint(args: list[str]) -> list[str]:
    """Insert the data settings of `--ckpt_path` before all others; Lightning does so for the model's alone."""
    path = next(
        (
            b if a == "--ckpt_path" else a.partition("=")[2]
            for a, b in zip(args, [*args[1:], ""], strict=True)
            if a == "--ckpt_path" or a.startswith("--ckpt_path=")
        ),
        None,
    )
    if not path or not Path(path).is_file() or args[0] == "fit":
        return args
    stored = torch.load(path, map_location="cpu", weights_only=True).get("datamodule_hyper_parameters", {})
    class_path = stored.pop("_class_path", None)
    stored.pop("_instantiator", None)
    if class_path is None:
        return args
    stored.pop("predict_path", None)
    import json

    return [args[0], "--data", json.dumps({"class_path": class_path, "init_args": stored}), *args[1:]]


@rank_zero_only
def _say(line: str) -> None:
    sys.stderr.write(f"error: {line}\n")


def _stop(line: str) -> NoReturn:
    _say(line)
    sys.exit(2)

"""The command line: `python train.py fit|validate|test|predict`, or `lit-attr` from anywhere."""

import inspect
import json
import linecache
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only

import lit_attr
from lit_attr._cli_errors import one_line
from lit_attr._compare import compare
from lit_attr._results import Results
from lit_attr._retrain import retrain
from lit_attr._save_config import SaveConfig
from lit_attr.attribution import SIGMA
from lit_attr.callbacks import BenchmarkCallback, ExplanationCallback, ExplanationWriter, ReportCallback, SIGMARefresh
from lit_attr.dashboard import main as dashboard
from lit_attr.datamodules import ImageDataModule, SegmentationDataModule, SIGMADataModule
from lit_attr.loggers import WandbLogger
from lit_attr.modules import Classifier, Segmenter
from lit_attr.modules.backbones import load_safely
from lit_attr.report.command import main as report
from lit_attr.report.record import read_records

__all__ = ["LitAttrCLI", "main"]

_WITHOUT_TRAINER = {"report": report, "dashboard": dashboard}  # commands that need neither model nor data
_DEBUG = "JSONARGPARSE_DEBUG"
_KEYWORDS = {"last", "hpc"}  # of `ckpt_path`, that Lightning resolves itself, as it does "registry:..."
# In these functions of Lightning and jsonargparse an error is about what was typed.
_SETTING_UP = {"parse_arguments", "_set_seed", "instantiate_classes"}
_NO_SUCH_SCORE = "_validate_condition_metric"  # EarlyStopping's, for a `monitor` that nothing logs
# Known and harmless; each hides nothing that the reader could act on.
_QUIET = [
    ".*LightningCLI.s args parameter is intended.*",  # the settings of a checkpoint are added to what was typed
    ".*does not have many workers.*",  # the default loads 8x8 images from memory
    ".*The number of training batches .* is smaller than the logging interval.*",
    ".*Experiment logs directory .* exists and is not empty.*",  # CSV logger, when a run is taken up again
    ".*The dirpath has changed from .*",  # a checkpoint of another run is evaluated here
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*will be overridden by `LitAttrCLI.configure_optimizers`.*",  # what --optimizer is for
    ".*Precision .* is not supported by the model summary.*",
    ".*You are trying to `self.log\\(\\)` but `Trainer\\(barebones=True\\)` is configured.*",  # a line above says it
    ".*scores for these classes.*",
    ".*isinstance\\(treespec, LeafSpec\\).*",  # Lightning 2.6 on torch 2.9
]


_SILENT = ("Tip: ", "TPU available: False", "Loading `train_dataloader` to estimate")  # of Lightning's own lines
_ALSO = "Also: `report FOLDER` makes the page of a run that was killed; `dashboard --entity E` a W&B workspace."


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

    def __init__(
        self,
        model_class: Any = None,
        datamodule_class: Any = None,
        *,
        args: Sequence[str] | None = None,
        **settings: Any,
    ) -> None:
        given = sys.argv[1:] if args is None else args
        commands = set(self.subcommands())
        self._asked = commands & set(given) or commands  # all, where only a config can tell
        super().__init__(model_class, datamodule_class, args=list(given), **settings)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parse; the settings of a checkpoint come first, so that what was typed is laid over them."""
        stored = _settings_of_checkpoint(args)
        self._settings_are_below = bool(stored)
        first = 1 + next((i for i, arg in enumerate(args) if arg in self.subcommands()), 0)
        super().parse_arguments(parser, [*args[:first], *stored, *args[first:]])

    def _parse_ckpt_path(self) -> None:
        """Lightning lays the checkpoint's settings over everything else: only for one that a config file names."""
        if not self._settings_are_below:
            super()._parse_ckpt_path()

    def before_instantiate_classes(self) -> None:
        """Refuse what Lightning would find out late, or not at all."""
        config = self.config[self.subcommand]
        path = str(config.get("ckpt_path") or "")
        if path == "best":
            msg = "`ckpt_path` is 'best', which only the process that trained can know; give the file"
            raise ValueError(msg)
        if path and path not in _KEYWORDS and ":" not in path and not Path(path).exists():
            msg = f"`ckpt_path`: there is no file '{path}'"
            raise FileNotFoundError(msg)
        self._require_against(config)
        if config.get("lr_scheduler") and not config.get("optimizer"):
            msg = "`lr_scheduler` has no effect without an `optimizer`; give both"
            raise ValueError(msg)
        if self.subcommand != "fit" and not path and not (config.model.get("init_args") or {}).get("weights"):
            rank_zero_info("No `--ckpt_path`: the model has the weights that it starts with, which may be random.")
        if self.subcommand != "fit":  # the callbacks of training have nothing to restore
            warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint need to be provided.*")

    @staticmethod
    def _require_against(config: Any) -> None:
        """Refuse to compare what cannot be compared."""
        against, path = config.get("against"), config.get("ckpt_path")
        if not against:
            return
        if not path or against == path:
            msg = f"`against` is '{against}', which is compared with `ckpt_path`; give another checkpoint as that"
            raise ValueError(msg)
        if not Path(against).is_file():
            msg = f"`against`: there is no file '{against}'"
            raise FileNotFoundError(msg)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Callbacks with keys of their own, so that each of their settings can be given on the command line."""
        parser.add_lightning_class_args(ExplanationCallback, "explanations")
        parser.add_lightning_class_args(BenchmarkCallback, "benchmark")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.add_lightning_class_args(ExplanationWriter, "writer")
        parser.add_lightning_class_args(SIGMARefresh, "refresh")
        told = "fit, make SIGMA's variants of the best checkpoint, fit again with them, and compare"
        parser.add_argument("--retrain", type=bool, default=False, help=told)
        parser.add_class_arguments(SIGMADataModule, "sigma", skip={"base"}, instantiate=False)

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        if subcommand not in self._asked:  # a name without settings: to read all signatures takes a tenth of a second
            self._subcommand_method_arguments[subcommand] = []
            return self.init_parser(**kwargs)
        parser = super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        if subcommand == "predict":
            parser.set_defaults({"return_predictions": False})  # they are written to files, not kept in memory
        elif subcommand != "fit":
            parser.set_defaults({"verbose": False})  # the table at the end says the same
        if subcommand == "test":
            told = "another checkpoint: test both, and tell how `ckpt_path` differs from it on the same samples"
            parser.add_argument("--against", type=str | None, default=None, help=told)
        return parser

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """The Trainer; without loggers in `predict`, whose results are files, and with nothing of ours in barebones."""
        settings = self._get(self.config_init, "trainer")
        keys = self._parser(self.subcommand).callback_keys
        has_results = self.subcommand != "predict" and not settings.barebones
        if settings.enable_checkpointing is False or settings.fast_dev_run or settings.barebones:
            # Lightning would write last.ckpt, or refuse barebones.
            keys[:] = [key for key in keys if key != "checkpoint"]
        if settings.barebones:
            keys[:] = [key for key in keys if key not in {"explanations", "benchmark"}]
            self.save_config_callback = None
            kwargs["log_every_n_steps"] = None
        if not has_results:
            kwargs["logger"] = False
        trainer = super().instantiate_trainer(**kwargs)
        if self.subcommand == "fit" and not self._get(self.config_init, "retrain"):
            _go_on(trainer, Path(str(self._get(self.config_init, "ckpt_path") or "")))
        # The last ones, when the progress bar has stopped and all files are written.
        last = [*([Results()] if has_results else []), ReportCallback()]
        trainer.callbacks.extend(last)  # type: ignore[attr-defined]  # Lightning declares the list nowhere
        return trainer

    def fit(self, **settings: Any) -> None:
        """Train; with `retrain`, twice."""
        if self._get(self.config_init, "retrain"):
            retrain(self, self._get(self.config_init, "sigma").as_dict(), **settings)
        else:
            self.trainer.fit(**settings)

    def test(self, **settings: Any) -> None:
        """Test; with `against`, two checkpoints."""
        other, path = self._get(self.config_init, "against"), settings["ckpt_path"]
        if not other:
            self.trainer.test(**settings)
            return
        sigma = SIGMA(**{"paths": 1} | self._get(self.config_init, "sigma").sigma)
        told = f"Test of {path} against {other}"
        with ReportCallback.once(self.trainer):
            compare(self.trainer, self.model, self.datamodule, {"against": other, "ckpt_path": path}, sigma, told)

    def before_predict(self) -> None:
        """Tell the writer the checkpoint, so that images that are finished are not even read."""
        warnings.filterwarnings("ignore", ".*Total length of `DataLoader` across ranks is zero.*")  # all is finished
        path = self.config_init.predict.ckpt_path
        if path and Path(path).exists():
            self.config_init.predict.writer.expect(path)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: the arguments without the program's name; None takes those of the process.
    """
    args = list(sys.argv[1:] if args is None else args)
    if args and args[0] in _WITHOUT_TRAINER:
        _WITHOUT_TRAINER[args[0]](args[1:])
        return
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_no_advertisement)
    default = str(files("lit_attr.configs") / "default.yaml")
    common = {"default_config_files": [default], "allow_abbrev": False}
    with warnings.catch_warnings():
        warnings.showwarning = _in_one_line
        for message in _QUIET:
            warnings.filterwarnings("ignore", message)
        try:
            LitAttrCLI(
                L.LightningModule,
                L.LightningDataModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                seed_everything_default=0,
                parser_class=Parser,
                parser_kwargs={
                    "epilog": _ALSO,
                    "version": f"lit_attr {lit_attr.__version__}",
                    "allow_abbrev": False,
                    **{command: dict(common) for command in LitAttrCLI.subcommands()},
                },
                save_config_callback=SaveConfig,
                args=args,
            )
        except (ValueError, TypeError, OSError, RuntimeError, MisconfigurationException) as error:
            told = _told_to_the_user(error)
            if told is None or os.environ.get(_DEBUG):
                raise
            _stop(one_line(_text(told), LightningArgumentParser()))


def _go_on(trainer: L.Trainer, checkpoint: Path) -> None:
    """Take up the W&B run that a checkpoint comes from, where its folder knows it and no other one was asked for."""
    try:
        entries = read_records(checkpoint.parent.parent) if checkpoint.is_file() else []
    except (OSError, ValueError):  # a folder of something else
        return
    runs = [str(entry["wandb"]) for entry in entries if entry.get("stage") == "fit" and entry.get("wandb")]
    for logger in trainer.loggers:
        if runs and isinstance(logger, WandbLogger) and logger.version is None:
            logger.go_on(runs[-1])
            rank_zero_info(f"W&B goes on with the run {runs[-1]}, that the checkpoint comes from.")


def _in_one_line(message: Warning | str, *_: object, **__: object) -> None:
    """What a warning says, without the line of code that it came from."""
    sys.stderr.write(f"warning: {message}\n")


def _no_advertisement(record: logging.LogRecord) -> bool:
    return not any(words in record.getMessage() for words in _SILENT)


def _told_to_the_user(error: Exception) -> Exception | None:
    """The error that is a message about the user's input, or None where it is a fault of the program.

    It is one where this package raised it on purpose, or a class refused its settings as it was made, which
    jsonargparse reports as a value of none of the accepted types.
    """
    functions = {frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)}
    setting_up = bool(_SETTING_UP & functions)
    while isinstance(error.__cause__, Exception) and str(error).startswith("Does not validate against any of the"):
        error = error.__cause__
    if type(error).__module__.startswith("lit_attr.") or isinstance(error, MisconfigurationException):
        return error
    if isinstance(error, RuntimeError):
        return error if _NO_SUCH_SCORE in functions else None
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    on_purpose = linecache.getline(frame.f_code.co_filename, line).lstrip().startswith("raise ")
    ours = str(frame.f_globals.get("__name__", "")).startswith("lit_attr.")
    return error if on_purpose and (ours or (setting_up and isinstance(error, ValueError))) else None


def _text(error: BaseException) -> str:
    """The message; of an error in a data loader's worker, which comes with its traceback, the last line."""
    text = str(error).strip()
    return text.splitlines()[-1].partition(": ")[2] if text.startswith("Caught ") else text


def _settings_of_checkpoint(args: list[str]) -> list[str]:
    """The model's and the data's settings that the checkpoint of `--ckpt_path` was trained with, as arguments."""
    paths = [b if a == "--ckpt_path" else a.partition("=")[2] for a, b in pairwise([*args, ""]) if _is_ckpt_path(a)]
    if not paths or not Path(paths[-1]).is_file():
        return []
    checkpoint = _read_checkpoint(paths[-1])
    found = []
    for option, key, own in [
        ("--model", "hyper_parameters", [Classifier, Segmenter]),
        ("--data", "datamodule_hyper_parameters", [ImageDataModule, SegmentationDataModule]),
    ]:
        settings = {k: v for k, v in checkpoint.get(key, {}).items() if k not in {"_instantiator", "predict_path"}}
        class_path = settings.pop("_class_path", None)
        if class_path is None and settings:  # trained from Python, which stores no class
            known = (c for c in own if settings.keys() <= inspect.signature(c).parameters.keys())
            class_path = next((f"{c.__module__}.{c.__name__}" for c in known), None)
        if class_path is not None:
            found += [option, json.dumps({"class_path": class_path, "init_args": settings})]
    return found


def _is_ckpt_path(arg: str) -> bool:
    return arg == "--ckpt_path" or arg.startswith("--ckpt_path=")


def _read_checkpoint(path: str) -> dict[str, Any]:
    stored = load_safely(Path(path), "ckpt_path")
    if not isinstance(stored, dict) or "state_dict" not in stored:
        msg = f"`ckpt_path`: {path} is no Lightning checkpoint; a file of weights is given as `model.weights`"
        raise ValueError(msg)
    return stored


@rank_zero_only
def _say(line: str) -> None:
    sys.stderr.write(f"error: {line}\n")


def _stop(line: str) -> NoReturn:
    _say(line)
    sys.exit(2)

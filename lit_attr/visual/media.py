"""Pictures, tables and curves to whatever loggers a Trainer has; the one place that knows what each can show.

W&B, TensorBoard and MLflow get them in their own form. Any other logger (CSV, none) gets nothing: the files that the
callbacks write to the run's folder are all there is. Everything here is called on rank zero and waits for nobody.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from lit_attr._checks import ArgumentError
from lit_attr.visual.curves import curves_picture
from lit_attr.visual.images import RGB

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

Cell = str | float | int | bool | None

# The tables of each W&B run by their keys, which grow with every call.
_TABLES: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


def log_images(
    loggers: Iterable["Logger"], key: str, images: Sequence[RGB], captions: Sequence[str], step: int
) -> None:
    """Log pictures under one key.

    Args:
        loggers: `trainer.loggers`.
        key: the name, such as "explain/ig".
        images: uint8 `[H, W, 3]` each, best of one size.
        captions: one per image; TensorBoard and MLflow number the pictures instead.
        step: `trainer.global_step`.

    Raises:
        ArgumentError: where the captions are not as many as the images.
    """
    if len(captions) != len(images):
        raise ArgumentError("captions", f"{len(captions)} captions", f"one per image ({len(images)})")
    if not images:
        return

    def to_wandb(logger: "WandbLogger") -> None:
        logger.log_image(key, list(images), step=step, caption=list(captions))

    def to_tensorboard(logger: "TensorBoardLogger") -> None:
        for number, image in enumerate(images):
            logger.experiment.add_image(f"{key}/{number}", image, step, dataformats="HWC")

    def to_mlflow(logger: "MLFlowLogger") -> None:
        for number, image in enumerate(images):
            logger.experiment.log_image(logger.run_id, image, f"{key}/{step:08d}_{number}.png")

    _send(loggers, to_wandb, to_tensorboard, to_mlflow)


def log_masks(
    loggers: Iterable["Logger"],
    key: str,
    images: Sequence[RGB],
    masks: Sequence[Mapping[str, NDArray[np.uint8]]],
    names: Mapping[int, str],
    captions: Sequence[str],
    step: int,
) -> None:
    """Log pictures with masks that can be switched on and off, to W&B; no other logger has such.

    Args:
        loggers: `trainer.loggers`.
        key: the name, such as "explain/regions".
        images: uint8 `[H, W, 3]` each.
        masks: of each image, by name, the class of each pixel, uint8 `[H, W]`.
        names: of the classes.
        captions: one per image.
        step: `trainer.global_step`.

    Raises:
        ArgumentError: where masks or captions are not as many as the images.
    """
    for what, found in (("masks", masks), ("captions", captions)):
        if len(found) != len(images):
            raise ArgumentError(what, f"{len(found)} {what}", f"one per image ({len(images)})")
    if not images:
        return

    def to_wandb(logger: "WandbLogger") -> None:
        told = [
            {name: {"mask_data": values, "class_labels": dict(names)} for name, values in one.items()} for one in masks
        ]
        logger.log_image(key, list(images), step=step, caption=list(captions), masks=told)

    _send(loggers, to_wandb, _nothing, _nothing)


def _nothing(logger: object) -> None:
    """For a logger that cannot show it."""


def log_table(
    loggers: Iterable["Logger"], key: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]], step: int
) -> None:
    """Log a table; when the key comes again nothing is lost: in W&B the rows are added, elsewhere it is a new table.

    Args:
        loggers: `trainer.loggers`.
        key: the name, such as "explain/scores".
        columns: the names of the columns.
        rows: text and numbers, one per column.
        step: `trainer.global_step`.
    """

    def to_wandb(logger: "WandbLogger") -> None:
        import wandb

        known = _TABLES.setdefault(logger.experiment, {})
        table = known.get(key)
        if table is None or table.columns != list(columns):
            # An ordinary one that is logged again shows its first rows for ever; a score may be missing ("-").
            table = wandb.Table(columns=list(columns), allow_mixed_types=True, log_mode="INCREMENTAL")
            known[key] = table
        for row in rows:
            table.add_data(*row)
        logged: Any = {key: table}
        logger.log_metrics(logged, step)

    def to_tensorboard(logger: "TensorBoardLogger") -> None:
        logger.experiment.add_text(key, _markdown(columns, rows), step)

    def to_mlflow(logger: "MLFlowLogger") -> None:
        data = {column: [row[number] for row in rows] for number, column in enumerate(columns)}
        logger.experiment.log_table(logger.run_id, data, f"{key}/{step:08d}.json")

    _send(loggers, to_wandb, to_tensorboard, to_mlflow)


def log_curves(
    loggers: Iterable["Logger"],
    key: str,
    xs: Sequence[float],
    ys: Mapping[str, Sequence[float]],
    x_name: str,
    step: int,
) -> None:
    """Log named curves over one x axis: a chart in W&B, a picture elsewhere.

    Args:
        loggers: `trainer.loggers`.
        key: the name, such as "explain/insertion".
        xs: the positions, `T` numbers.
        ys: `T` values per name.
        x_name: the label of the x axis.
        step: `trainer.global_step`.
    """

    def to_wandb(logger: "WandbLogger") -> None:
        import wandb

        lines = [list(values) for values in ys.values()]
        chart: Any = wandb.plot.line_series(list(xs), lines, keys=list(ys), title=key, xname=x_name)
        logger.log_metrics({key: chart}, step)

    def to_tensorboard(logger: "TensorBoardLogger") -> None:
        logger.experiment.add_image(key, curves_picture(xs, ys, key, x_name), step, dataformats="HWC")

    def to_mlflow(logger: "MLFlowLogger") -> None:
        logger.experiment.log_image(logger.run_id, curves_picture(xs, ys, key, x_name), f"{key}/{step:08d}.png")

    _send(loggers, to_wandb, to_tensorboard, to_mlflow)


def _send(
    loggers: Iterable["Logger"],
    to_wandb: Callable[["WandbLogger"], None],
    to_tensorboard: Callable[["TensorBoardLogger"], None],
    to_mlflow: Callable[["MLFlowLogger"], None],
) -> None:
    """Call for each logger what fits its class."""
    # Who has loggers has Lightning imported; whoever only draws is spared the wait.
    from lightning.pytorch.loggers import MLFlowLogger, TensorBoardLogger, WandbLogger

    for logger in loggers:
        if isinstance(logger, WandbLogger):
            to_wandb(logger)
        elif isinstance(logger, TensorBoardLogger):
            to_tensorboard(logger)
        elif isinstance(logger, MLFlowLogger):
            to_mlflow(logger)


def _markdown(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    def line(cells: Iterable[Cell]) -> str:
        texts = (f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in cells)
        return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"

    return "\n".join([line(columns), "|" + "---|" * len(columns), *(line(row) for row in rows)])

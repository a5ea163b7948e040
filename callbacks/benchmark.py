"""Methods compared in `validate`: all methods by all metrics on a fixed set of samples, resumed after a kill."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, NamedTuple

import lightning as L
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from rich import get_console
from rich.markup import escape

from lit_attr._checks import ArgumentError, not_negative_int, one_of, positive_int
from lit_attr._files import plain_name
from lit_attr._guard import private_rng
from lit_attr._ranks import on_rank_zero
from lit_attr.attribution import METHODS
from lit_attr.benchmark import (
    CONTROLS,
    Batch,
    Benchmark,
    Comparison,
    Progress,
    Results,
    Store,
    collect,
    compare,
    join_runs,
    model_identity,
    paper_tables,
    place_tables,
    print_tables,
    score_tables,
    write_files,
)
from lit_attr.benchmark.runner import measure
from lit_attr.callbacks._collect import (
    choose_samples,
    class_name,
    gather,
    own_samples,
    require_whole_model,
    samples_of,
    validation_loader,
)
from lit_attr.callbacks._progress import Advance, progress_line
from lit_attr.callbacks._targets import choose_regions
from lit_attr.metrics import METRICS
from lit_attr.regions import RegionChoice
from lit_attr.visual import critical_difference_picture, log_curves, log_images, log_table
from lit_attr.visual.images import RGB

__all__ = ["BenchmarkCallback"]


class BenchmarkCallback(L.Callback):
    """In `validate`, measure methods and control maps by metrics on a fixed set of validation samples.

    Works where `ExplanationCallback` works. Results are written per sample as they come; a run that was killed goes on
    where it was when the same command is given again, with any number of processes. In `folder` are then `table.csv`
    (a row per sample, method and metric), `comparisons.csv` (a row per metric and pair), `summary.json`, `index.html`
    with sortable tables, ranks, curves, plots and panels, and `shards/`, which may be removed when nothing shall be
    added. Tables are printed, those of the papers and the places that the differences leave among them.

    Args:
        methods: names, or a mapping from the name to tell results under to settings or an instance (see
            `Registry.build_all`); none turns the callback off.
        metrics: likewise. The first is drawn against cost; so is the first that explains again, such as
            `max_sensitivity`.
        controls: control maps, likewise: random, uniform, edges; mask, where batches have masks, and of a segmenter;
            oracle, of a segmenter, left out where the third part of batches, what the labels rest on, is missing.
        num_samples: number of samples, of a segmenter of images, at most all that are validated.
        num_images: number of samples that are drawn.
        target: explain the "predicted" class, or the "label".
        confidence_edges: also tell all metrics of the samples of which the model is less and more sure than these.
        batch_size: samples that are explained at once, and at most lost when a run is killed.
        seed: chooses the samples.
        folder: where to write; None is `benchmark/<identity of the model>` in the Trainer's `default_root_dir`.
        regions: of a segmenter, which regions, and by which score (see `lit_attr.regions.RegionChoice`).
        suite: name of a benchmark of several models and data sets: each run writes into a folder of its own in
            `benchmark/<suite>`, and all runs that are there are told together in its `table.csv` and `index.html`. Not
            together with `folder`.
        baseline: of the suite, a method or control map that all others are compared with; "" for none.

    Raises:
        ValueError: for an unknown name or setting, a number out of range, or a folder with results of another model.

    Example:
        >>> callback = BenchmarkCallback(methods={"ig": {"steps": 16}}, metrics=["insertion"], num_samples=32)
        >>> list(callback.methods), list(callback.controls)
        (['ig'], ['random', 'uniform', 'edges'])
    """

    def __init__(  # noqa: PLR0913, PLR0917 - settings of a config
        self,
        methods: list[str] | dict[str, Any] = [],  # noqa: B006 - never changed; None would hide it from --help
        metrics: list[str] | dict[str, Any] = ["insertion", "deletion", "gap"],  # noqa: B006
        controls: list[str] | dict[str, Any] = ["random", "uniform", "edges"],  # noqa: B006
        num_samples: int = 256,
        num_images: int = 4,
        target: Literal["predicted", "label"] = "predicted",
        confidence_edges: list[float] = [0.7],  # noqa: B006
        batch_size: int = 32,
        seed: int = 0,
        folder: str | None = None,
        regions: RegionChoice = RegionChoice(),  # noqa: B008 - it is frozen
        suite: str | None = None,
        baseline: str = "",
    ) -> None:
        super().__init__()
        positive_int("num_samples", num_samples)
        not_negative_int("num_images", num_images)
        positive_int("batch_size", batch_size)
        one_of("target", target, ["predicted", "label"])
        self.methods, self.metrics = METHODS.build_all(methods), METRICS.build_all(metrics)
        self.controls = CONTROLS.build_all(controls)
        for metric in METRICS.build_all(metrics).values():
            metric.split_by_confidence(*confidence_edges)  # refuses what are no edges, before any work
        self.num_samples, self.num_images, self.target = num_samples, num_images, target
        self.confidence_edges, self.batch_size, self.seed = tuple(confidence_edges), batch_size, seed
        self.folder, self.regions = None if folder is None else Path(folder), regions
        if baseline and baseline not in {*self.methods, *self.controls}:
            raise ArgumentError("baseline", baseline, "one of the methods and controls")
        if suite is not None and (not suite or Path(suite).name != suite):
            raise ArgumentError("suite", suite, "a name for a folder, without a slash")
        if suite is not None and folder is not None:
            raise ArgumentError(
                "folder", folder, f"left out where there is a suite ({suite}), which has folders of its own"
            )
        self.suite, self.baseline = suite, baseline
        self.written: Path | None = None  # the folder of the last results, on rank zero

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Refuse a strategy that splits the model."""
        if self.methods and stage == TrainerFn.VALIDATING:
            require_whole_model(trainer)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure, write, log and print; with `fast_dev_run`, try everything on one sample and keep nothing."""
        if not self.methods or trainer.state.fn != TrainerFn.VALIDATING:
            return
        with private_rng(pl_module.device):  # loading, drawing and loggers may draw random numbers
            if getattr(trainer, "fast_dev_run", False):
                chosen = choose_samples(trainer, trainer.world_size, self.seed)
                with TemporaryDirectory() as folder:
                    work = self._work(trainer, pl_module, chosen, Path(folder), self.regions.of_any_size())
                    for batch in work.batches():
                        measure(work.benchmark, pl_module, batch)
                    trainer.strategy.barrier()  # the folder is of rank zero
                return
            self._run(trainer, pl_module)

    def _work(
        self, trainer: L.Trainer, module: L.LightningModule, chosen: list[int], folder: Path, choice: RegionChoice
    ) -> "_Work":
        """What there is to do with the chosen samples."""
        each = samples_of(trainer, module, chosen, range(len(chosen)), 1, dense=True)
        named, first = class_name(trainer), next(each, None)  # the first that is finite
        if first is None or first.labels.dim() == 1:
            benchmark = Benchmark(self.methods, self.metrics, self.controls, named)
            keys = [str(number) for number in chosen]
            mine = keys[trainer.global_rank :: trainer.world_size]
            return _Work(benchmark, lambda: self._batches(trainer, module, chosen), keys, mine, {"target": self.target})
        known = first.masks is not None
        controls = {name: control for name, control in self.controls.items() if known or not control.NEEDS_CAUSES}
        regions = choose_regions(trainer, module, chosen, choice, folder, self.batch_size)
        return _Work(
            Benchmark(self.methods, self.metrics, controls, named),
            lambda: regions.batches(trainer, module, chosen, self.batch_size, self.num_images),
            regions.keys(chosen),
            regions.keys(chosen[trainer.global_rank :: trainer.world_size]),
            {"target": f"{choice.region}, {choice.score}", "regions": regions.told},
        )

    def _run(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        store = self._claim(trainer, module)
        chosen = choose_samples(trainer, self.num_samples, self.seed)
        work = self._work(trainer, module, chosen, store.folder, self.regions)
        if not work.keys:
            msg = "no region of the chosen images is to be explained; `benchmark.regions` says what is asked of them"
            raise ValueError(msg)
        with ExitStack() as stack:
            report = _Line(trainer, stack)
            found = work.benchmark.run(module, work.batches(), work.mine, store, report)
        every = dict(gather(list(found.items())))  # waits until all have written
        if trainer.is_global_zero:
            samples = {key: every[key] for key in work.keys if key in every}
            results = collect(work.benchmark, store, samples, self.confidence_edges)
            self._tell(trainer, results, store.folder, work.about)

    def _claim(self, trainer: L.Trainer, module: L.LightningModule) -> Store:
        """The store, the same on all ranks; a refusal reaches all of them."""
        identity = model_identity(module)
        folder = Path(trainer.default_root_dir) / "benchmark"
        if self.suite is not None:
            model, data = _names(trainer)
            folder = folder / self.suite / plain_name(f"{model}_{data}_{identity[:8]}")
        else:
            folder = folder / identity
        store = Store(trainer.strategy.broadcast(self.folder or folder), {"model": identity})
        on_rank_zero(store.claim)
        return store

    def _batches(self, trainer: L.Trainer, module: L.LightningModule, chosen: list[int]) -> Iterator[Batch]:
        """This rank's samples."""
        named = class_name(trainer)
        for samples in own_samples(trainer, module, chosen, self.batch_size):
            yield Batch(
                samples.images,
                [str(number) for number in samples.numbers],
                samples.labels if self.target == "label" else None,
                samples.masks,
                [named(label) for label in samples.labels.tolist()],
                [order < self.num_images for order in samples.order],
            )

    def _tell(self, trainer: L.Trainer, results: Results, folder: Path, about: dict[str, str]) -> None:
        """Files, loggers and terminal; on rank zero."""
        model, data = _names(trainer)
        scores, papers = score_tables(results), paper_tables(results, model, data)
        told = {"model": model, "data": data, **about, "seed": self.seed}
        comparisons = compare(results, seed=self.seed)
        pictures = write_files(folder, results, scores, papers, told, comparisons)
        self.written = folder
        drawn = list(results.maps)[: len(pictures)]
        log_images(trainer.loggers, "benchmark/panels", pictures, [f"sample {key}" for key in drawn], 0)
        for table in scores[:1]:
            rows = [[cell.text if i == 0 else cell.value for i, cell in enumerate(row)] for row in table.rows]
            log_table(trainer.loggers, "benchmark/scores", table.columns, rows, 0)
        for label, metric in results.benchmark.metrics.items():
            curves = {
                name: groups["all"].curve.tolist()
                for (name, of), groups in results.summaries.items()
                if of == label and groups["all"].curve is not None
            }
            if curves:
                points = len(next(iter(curves.values())))
                places = [i / max(1, points - 1) for i in range(points)]
                log_curves(trainer.loggers, f"benchmark/curves/{label}", places, curves, metric.ALONG, 0)
        if trainer.loggers:
            named = {one.metric: _ranks_picture(one) for one in comparisons if one.ranks.samples}
            log_images(trainer.loggers, "benchmark/ranks", list(named.values()), list(named), 0)
        _print(results, [*scores, *papers, *place_tables(results, comparisons)], folder)
        if self.suite is not None:
            path = join_runs(folder.parent, self.baseline)
            rank_zero_info(f"All runs of the suite together: {path}")


class _Work(NamedTuple):
    """What a run has to do: the comparison, this rank's batches, the names of all samples and of this rank's."""

    benchmark: Benchmark
    batches: Callable[[], Iterator[Batch]]
    keys: list[str]
    mine: list[str]
    about: dict[str, str]


class _Line:
    """The line of the progress display, opened when it is known how much there is to do."""

    def __init__(self, trainer: L.Trainer, stack: ExitStack) -> None:
        self._trainer, self._stack = trainer, stack
        self._advance: Advance | None = None
        self._shown = 0

    def __call__(self, progress: Progress) -> None:
        if self._advance is None:
            line = progress_line(self._trainer, "Benchmark", round(progress.total))
            self._advance = self._stack.enter_context(line)
        left = progress.seconds_left
        note = "" if left is None else f", {timedelta(seconds=round(left))} left after {progress.at}"
        self._advance(round(progress.done) - self._shown, note)
        self._shown = round(progress.done)


def _names(trainer: L.Trainer) -> tuple[str, str]:
    """What the model and the data are called in their settings, else their classes; a folder by its own name."""
    module, data = trainer.lightning_module, getattr(trainer, "datamodule", None)
    model, dataset = getattr(module, "hparams", {}).get("model"), getattr(data, "hparams", {}).get("dataset")
    root = getattr(data, "root", None)
    if dataset == "folder" and root is not None:  # as all folders are called
        dataset = Path(root).resolve().name or dataset
    known = type(data or validation_loader(trainer).dataset).__name__
    return model if isinstance(model, str) else type(module).__name__, dataset if isinstance(dataset, str) else known


def _ranks_picture(comparison: Comparison) -> RGB:
    ranks, names = comparison.ranks, comparison.names
    cliques = [[names[i] for i in clique] for clique in ranks.cliques]
    mean = dict(zip(names, ranks.ranks.tolist(), strict=True))
    return critical_difference_picture(mean, cliques, ranks.distance, comparison.metric)


@rank_zero_only
def _print(results: Results, tables: list[Any], folder: Path) -> None:
    console = get_console()  # that of the progress display, so that neither writes over the other
    print_tables(tables, console)
    console.print(
        f"{len(results.samples)} samples; table, summary and page: [bold]{escape(str(folder))}[/bold]", soft_wrap=True
    )

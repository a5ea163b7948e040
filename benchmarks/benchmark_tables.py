"""All methods on two ImageNet networks: scores with intervals, places, the papers' tables, and what it took.

    python benchmarks/benchmark_tables.py FOLDER --images 50 --markdown docs/results/benchmark.md

FOLDER is that of `transfer.py`. The predicted class is explained. Results are kept in --out, so that the same command
goes on where it was stopped; each network's page, long table and pairs are there, too. The time left is told once a
minute. Methods whose cost can be chosen have the cheaper settings that `lit_attr.benchmark.CANDIDATES` lists first,
unless --full is given.
"""

import argparse
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import torch
from _measure import show
from torch import Tensor, nn
from transfer import load

from lit_attr.attribution import METHODS, Method
from lit_attr.benchmark import (
    CANDIDATES,
    CONTROLS,
    Batch,
    Benchmark,
    Progress,
    Store,
    collect,
    compare,
    model_identity,
    paper_tables,
    place_tables,
    score_tables,
    write_files,
)
from lit_attr.benchmark.tables import Table
from lit_attr.metrics import METRICS

NAMES = {"SqueezeNet": "squeezenet1_1", "MobileNet": "mobilenet_v2"}


def methods(names: list[str], *, full: bool) -> dict[str, Method]:
    """By name, with the settings that they come with or cheaper ones."""
    settings = {name: {} if full else CANDIDATES.get(name, ({},))[0] for name in names}
    return METHODS.build_all(settings)


def metrics(steps: int, infidelity: int, draws: int) -> dict[str, dict[str, object]]:
    """Those of the papers; and stability, each draw of which costs another explanation."""
    curves = {"steps": steps}
    named = {"gap": curves, "insertion": curves, "deletion": curves, "infidelity": {"samples": infidelity}}
    fair = {f"f_{name}": {"class": name, "fill": "confusion", **curves} for name in ("insertion", "deletion", "gap")}
    kl = dict.fromkeys(("kl_insertion", "kl_deletion", "kl_gap"), curves)
    stability = {"max_sensitivity": {"draws": draws}} if draws else {}
    return {**named, **stability, **fair, **kl}


def batches(images: Tensor, labels: Tensor, size: int, pictures: int) -> Iterator[Batch]:
    """The images with their numbers for names."""
    for start in range(0, len(images), size):
        rows = range(start, min(len(images), start + size))
        yield Batch(
            images[rows.start : rows.stop],
            [str(row) for row in rows],
            labels=[str(label) for label in labels[rows.start : rows.stop].tolist()],
            drawn=[row < pictures for row in rows],
        )


class Told:
    """Prints how far it is when a method is done, at most once in some seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.last = seconds, -seconds

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.seconds_left is not None and now - self.last >= self.seconds:
            self.last = now
            left = timedelta(seconds=round(progress.seconds_left))
            print(f"{progress.done / progress.total:.1%} of {progress.total:,.0f} passes, {left} left", flush=True)


def told(table: Table, name: str, markdown: Path | None) -> None:
    """Print a table, and append it to the file with its notes."""
    rows = [[cell.text for cell in row] for row in table.rows]
    show(f"{name}. {table.title}", table.columns, rows, markdown)
    if markdown is not None and table.notes:
        with markdown.open("a") as file:
            file.write("\n" + " ".join(table.notes) + "\n")


def measure(name: str, model: nn.Module, benchmark: Benchmark, images: Tensor, options: argparse.Namespace) -> None:
    """One network: run, write, tell."""
    begin, keys = time.perf_counter(), [str(row) for row in range(len(images))]
    store = Store(options.out / NAMES[name], {"model": model_identity(model)})
    store.claim()
    parts = batches(images, options.labels, options.batch, options.pictures)
    samples = benchmark.run(model, parts, keys, store, Told(60))
    results = collect(benchmark, store, samples, (0.7,))
    comparisons = compare(results)
    scores, papers = score_tables(results), paper_tables(results, NAMES[name], "imagenet")
    about = {"model": NAMES[name], "data": "NIPS 2017 adversarial-competition images", "target": "predicted"}
    write_files(store.folder, results, scores, papers, about, comparisons)
    seconds = timedelta(seconds=round(time.perf_counter() - begin))
    for table in [*scores, *place_tables(results, comparisons)]:
        told(table, name, options.markdown)
    for table in papers:
        told(table, name, None)
    line = f"{name}: {len(images)} images, {seconds} on {images.device}, {torch.get_num_threads()} threads"
    print(line, store.folder)
    if options.markdown is not None:
        with options.markdown.open("a") as file:
            file.write(f"\n{line}.\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--networks", nargs="+", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--methods", nargs="+", default=METHODS.names(), choices=METHODS.names())
    parser.add_argument("--full", action="store_true", help="all methods with the settings that they come with")
    parser.add_argument("--steps", type=int, default=32, help="of the curves")
    parser.add_argument("--infidelity", type=int, default=100, help="perturbations")
    parser.add_argument("--draws", type=int, default=1, help="noisy copies for stability; 0 leaves it out")
    parser.add_argument("--batch", type=int, default=1, help="images at once, and lost when it is stopped")
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark_tables"))
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    models, images, options.labels = load(options.folder, options.images)
    benchmark = Benchmark(
        methods(options.methods, full=options.full),
        METRICS.build_all(metrics(options.steps, options.infidelity, options.draws)),
        CONTROLS.build_all(["random", "uniform", "edges"]),
    )
    for name in options.networks:
        model = models[name].to(options.device, memory_format=torch.channels_last)  # twice as fast on CPUs
        measure(name, model, benchmark, images.to(options.device), options)


if __name__ == "__main__":
    main()

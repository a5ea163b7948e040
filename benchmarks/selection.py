"""Does the choice of a method agree with the truth?

    python benchmarks/selection.py --markdown docs/results/selection.md

On scenes whose label rests on a disc and on a key outside of it (`lit_attr.ground_truth.keyed_scenes`), with networks
that are verified, or designed, to use both and nothing else, `lit_attr.select` chooses among the candidates that it
comes with. Their true order is known: by the share of the disc's and key's area that a method ranks highest (relevance
rank), on other scenes than those that the choice sees. Told are Kendall's tau between the order of the table and the
true one; the share of the pairs in the same order, of those whose true order the paired intervals show; the true place
of the choice; and how much relevance rank it lacks to the best.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from _measure import show
from scipy import stats
from torch import nn

from lit_attr import select
from lit_attr.attribution import METHODS, Method
from lit_attr.benchmark import Selection, candidates, ranking
from lit_attr.ground_truth import Designed, keyed_scenes, train_keyed
from lit_attr.metrics import METRICS, Evaluation

WEIGHTS = {"faithfulness alone": {"stability": 0.0, "cost": 0.0}, "as it comes": {}}


def networks(seeds: list[int], steps: int) -> Iterator[tuple[str, int, nn.Module]]:
    """Name, seed of the scenes and network; without those whose training fails the verification."""
    yield "designed", 0, Designed()
    for seed in seeds:
        try:
            yield f"trained, seed {seed}", seed, train_keyed(steps, seed)
        except RuntimeError as error:
            print(f"seed {seed} is left out: {error}", file=sys.stderr)


def truth(network: nn.Module, methods: dict[str, Method], count: int, seed: int) -> np.ndarray:
    """The relevance rank by method and scene, `[M, N]`; 0 of a map that is the same everywhere."""
    scenes = keyed_scenes(count, seed=seed, complete=True)
    evaluation = Evaluation(network, scenes.images, scenes.labels, scenes.truth)
    metric = METRICS.build("relevance_rank")
    found = []
    for method in methods.values():
        explained = evaluation.of(method(network, scenes.images, scenes.labels))
        found.append(metric.per_sample(explained).masked_fill(explained.constant, 0.0).nan_to_num(nan=0.0))
    return torch.stack(found).numpy()


def compare(selection: Selection, names: list[str], exact: np.ndarray) -> list[str]:
    """The figures of a row of the table."""
    mean, better = exact.mean(1), ranking(exact).better
    place = {row.name: number for number, row in enumerate(selection.table)}
    found = np.array([-place[name] for name in names])
    tau = stats.kendalltau(mean, found).statistic
    above, below = np.nonzero(better)
    right = float((found[above] > found[below]).mean())
    chosen = names.index(selection.name)
    rank = 1 + int((mean > mean[chosen] + 1e-9).sum())
    seen = max(row.samples for row in selection.table)
    figures = [f"{tau:.2f}", f"{right:.0%} of {len(above)}", selection.name, f"{rank} of {len(names)}"]
    return [*figures, f"{mean.max() - mean[chosen]:.2f}", f"{seen}", f"{selection.passes:,}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[1, 2, 4], help="of the networks that are trained")
    parser.add_argument("--steps", type=int, default=1200, help="of training")
    parser.add_argument("--scenes", type=int, default=16, help="at most, of the choice; as many others for the truth")
    parser.add_argument("--budget", type=int, default=150_000)
    parser.add_argument("--verbose", action="store_true", help="print the tables of the choices")
    parser.add_argument("--markdown", type=Path, help="append the table to this file")
    args = parser.parse_args()
    rows = []
    for name, seed, network in networks(args.seeds, args.steps):
        scenes = keyed_scenes(args.scenes, seed=100 + seed, complete=True)
        exact: dict[str, np.ndarray] = {}
        for label, weights in WEIGHTS.items():
            found = select(network, scenes.images, args.budget, weights=weights, samples=args.scenes)
            tried = {name: method for name, method in candidates().items() if name in _tried(found)}
            missing = {name: method for name, method in tried.items() if name not in exact}
            made = truth(network, missing, args.scenes, seed=200 + seed) if missing else []
            exact |= dict(zip(missing, made, strict=True))
            rows.append([name, label, *compare(_only(found, tried), list(tried), np.stack([exact[n] for n in tried]))])
            print(rows[-1], file=sys.stderr)
            if args.verbose:
                print(found, file=sys.stderr)
    columns = ["network", "weights", "tau", "pairs right", "choice", "its true place", "lacks", "scenes", "passes"]
    title = f"at most {args.scenes} scenes and {args.budget:,} passes, of {len(METHODS.names())} methods"
    show(title, columns, rows, args.markdown)


def _tried(selection: Selection) -> list[str]:
    return [row.name for row in selection.table if row.verdict != "not tried"]


def _only(selection: Selection, kept: dict[str, Method]) -> Selection:
    table = tuple(row for row in selection.table if row.name in kept)
    return Selection(selection.method, selection.name, table, selection.weights, selection.passes)


if __name__ == "__main__":
    main()

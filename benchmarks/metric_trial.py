"""Trial of the faithfulness metrics: does a metric know a true explanation from a false one?

    python benchmarks/metric_trial.py --markdown docs/results/metrics.md

On scenes whose label rests on a disc and on a key outside of it (`lit_attr.ground_truth.keyed_scenes`), and a network
that is verified to use both and nothing else, each metric scores the oracle (disc and key), the mask of the disc alone,
an edge filter, noise, and oracles mixed with more and more noise. A metric that cannot put the oracle above the mask
measures where things are, not what the network uses. Then it scores attribution methods, whose true order is known: by
the share of the disc's and key's area that a method ranks highest (relevance rank). Kendall's tau compares the orders.
"""

import argparse
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from _measure import show
from scipy import stats
from torch import Tensor

from lit_attr.attribution import METHODS
from lit_attr.ground_truth import Designed, keyed_scenes, train_keyed
from lit_attr.ground_truth.scenes import Scenes
from lit_attr.metrics import METRICS, AttributionMetric, Evaluation

LEVELS = [0.0, 0.55, 0.65, 0.75, 0.85, 1.0]  # share of noise in a degraded oracle; below 1/2 its order is the same
RIVALS = ["mask", "edges", "noise"]
TRIED = {
    "insertion, black": {"class": "insertion"},
    "insertion, mean": {"class": "insertion", "fill": "mean"},
    "insertion, blur": {"class": "insertion", "fill": "blur"},
    "insertion, confusion": {"class": "insertion", "fill": "confusion"},
    "deletion, black": {"class": "deletion"},
    "deletion, mean": {"class": "deletion", "fill": "mean"},
    "deletion, blur": {"class": "deletion", "fill": "blur"},
    "deletion, confusion": {"class": "deletion", "fill": "confusion"},
    "gap, black": {"class": "gap"},
    "KL insertion": {"class": "kl_insertion"},
    "KL deletion": {"class": "kl_deletion"},
    "infidelity": {"class": "infidelity"},
    "infidelity, relative": {"class": "infidelity", "relative": True},
    "subset correlation": {"class": "subset_correlation"},
    "ROAD, most relevant": {"class": "road_morf"},
    "ROAD, least relevant": {"class": "road_lerf"},
    "ROAD, combined": {"class": "road"},
    "SIC": {"class": "sic", "min_score": 0.5},
    "average drop": {"class": "average_drop"},
    "average gain": {"class": "average_gain"},
}
# A few passes each: what is compared is how metrics order them.
METHODS_ = {
    "fast_ig": {},
    "saliency": {},
    "smoothgrad": {"samples": 20},
    "ig": {"steps": 20},
    "guided_ig": {"steps": 20},
    "deep_lift": {},
    "mfaba": {"steps": 20},
    "grad_cam": {},
    "rise": {"masks": 500},
    "isa": {"rounds": 8},
    "laai": {"explorations": 2, "steps": 10},
    "expected_gradients": {"samples": 20},
}


def edges(images: Tensor) -> Tensor:
    """Magnitude of the Sobel filter, `[B, H, W]`."""
    grey = images.mean(1, keepdim=True)
    across = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]])
    found = F.conv2d(grey, torch.stack([across, across.T])[:, None], padding=1)
    return found.square().sum(1).sqrt()


def candidates(scenes: Scenes) -> dict[str, Tensor]:
    """Maps `[B, H, W]`; a little noise everywhere, so that the order inside a region is no matter of its index."""
    generator = torch.Generator().manual_seed(0)
    noise, tie = torch.rand(2, *scenes.disc.shape, generator=generator)
    oracle = scenes.truth.float()
    maps = {"mask": scenes.disc.float(), "edges": edges(scenes.images), "noise": noise}
    maps |= {f"oracle {level:g}": (1 - level) * oracle + level * noise for level in LEVELS}
    return {name: values + 1e-3 * tie for name, values in maps.items()}


def scores(metric: AttributionMetric, evaluation: Evaluation, maps: dict[str, Tensor]) -> dict[str, Tensor]:
    """Per sample, larger is better, float64 `[B]`; NaN where the metric has no value."""
    sign = 1.0 if metric.higher_is_better else -1.0
    return {name: sign * metric.per_sample(evaluation.of(values)).double() for name, values in maps.items()}


def above(one: Tensor, other: Tensor) -> str:
    """Whether the mean of the paired differences is above zero by 95 %, with its size in standard deviations."""
    difference = (one - other)[(one - other).isfinite()]
    mean, error = float(difference.mean()), float(difference.std() / len(difference) ** 0.5)
    verdict = "yes" if mean > 1.96 * error else "no" if mean < -1.96 * error else "even"
    effect = mean / float(difference.std()) if error else 0.0
    return f"{verdict} ({effect:+.1f})"


def trial(network: torch.nn.Module, scenes: Scenes) -> list[list[str]]:
    evaluation = Evaluation(network, scenes.images, scenes.labels)
    maps = candidates(scenes)
    made = {name: METHODS.build(name, s)(network, scenes.images, scenes.labels) for name, s in METHODS_.items()}
    truth = METRICS.build("relevance_rank")
    marked = Evaluation(network, scenes.images, scenes.labels, scenes.truth)
    exact = [float(truth.per_sample(marked.of(values)).mean()) for values in made.values()]
    for name, value in sorted(zip(made, exact, strict=True), key=lambda pair: -pair[1]):
        print(f"  {name}: {value:.2f} of disc and key ranked first", file=sys.stderr)
    rows = []
    for label, settings in TRIED.items():
        start = time.perf_counter()
        metric = METRICS.build(settings["class"], {k: v for k, v in settings.items() if k != "class"})
        found = scores(metric, evaluation, maps)
        verdicts = [above(found["oracle 0"], found[rival]) for rival in RIVALS]
        means = [float(found[f"oracle {level:g}"].nanmean()) for level in LEVELS]
        fall = stats.spearmanr(LEVELS, means).statistic
        by_method = [float(values.nanmean()) for values in scores(metric, evaluation, made).values()]
        tau = stats.kendalltau(exact, by_method).statistic
        good = [v.startswith("yes") for v in verdicts]
        can = (
            "faithfulness" if all(good) and fall <= -0.9 else "localisation only" if good[1] and good[2] else "neither"
        )
        rows.append([label, *verdicts, f"{fall:.2f}", f"{tau:.2f}", can])
        print(f"{label}: {verdicts} {fall:.2f} {tau:.2f}, {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--designed", action="store_true", help="the network designed by hand, not the trained one")
    parser.add_argument("--markdown", type=Path, help="append the table to this file")
    args = parser.parse_args()
    network = Designed() if args.designed else train_keyed()
    rows = trial(network, keyed_scenes(args.scenes, seed=1, complete=True))
    columns = ["metric", *(f"above {r}" for r in RIVALS), "with noise", "tau", "measures"]
    title = f"{'designed' if args.designed else 'trained'} network, {args.scenes} scenes"
    show(title, columns, rows, args.markdown)


if __name__ == "__main__":
    main()

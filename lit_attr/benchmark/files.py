"""The files of a benchmark: the long table, a summary, the panels and the page."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from lit_attr._files import plain_name, write_csv, write_whole
from lit_attr.benchmark.comparisons import COLUMNS, Comparison
from lit_attr.benchmark.identity import described
from lit_attr.benchmark.page import page
from lit_attr.benchmark.results import Results
from lit_attr.benchmark.tables import Table
from lit_attr.metrics import Deletion, Insertion, RegionDeletion, RegionInsertion, Summary
from lit_attr.visual import Panel, draw, save_png
from lit_attr.visual.images import RGB

_CURVES = Insertion | Deletion | RegionInsertion | RegionDeletion  # in [0, 1], over the share of the image

__all__ = ["draw_panels", "summary", "write_files"]


def write_files(
    folder: Path,
    results: Results,
    scores: Sequence[Table],
    papers: Sequence[Table],
    about: Mapping[str, Any],
    comparisons: Sequence[Comparison] = (),
) -> list[RGB]:
    """Write `table.csv`, `comparisons.csv`, `summary.json`, `panels/` and `index.html`, each whole or not at all.

    Args:
        folder: of the store.
        results: to write.
        scores: tables of the page.
        papers: likewise, with the columns of papers.
        about: what was measured.
        comparisons: of the methods; a row per metric, group and pair.

    Returns:
        The panels.
    """
    rows = list(results.rows())
    write_csv(folder / "table.csv", list(rows[0]), rows)
    pairs = (pair for comparison in comparisons for pair in comparison.pairs())
    write_csv(folder / "comparisons.csv", COLUMNS, pairs)
    write_whole(
        folder / "summary.json", json.dumps(summary(results, about, comparisons), indent=1, allow_nan=False).encode()
    )
    panels, named = draw_panels(results), []
    for key, (picture, told) in panels.items():
        name = f"panels/sample_{plain_name(key)}.png"
        save_png(folder / name, picture)
        named.append((name, told))
    line = ", ".join(f"{key}: {value}" for key, value in about.items())
    about_all = f"{len(results.samples)} samples; {line}"
    write_whole(folder / "index.html", page(results, scores, papers, named, about_all, comparisons).encode())
    return [picture for picture, _ in panels.values()]


def summary(results: Results, about: Mapping[str, Any], comparisons: Sequence[Comparison] = ()) -> dict[str, Any]:
    """All but the single samples, as plain data; what does not exist is None."""
    benchmark = results.benchmark
    every = {**benchmark.methods, **benchmark.controls}
    return {
        **about,
        "samples": len(results.samples),
        "methods": {
            name: {
                "kind": "method" if name in benchmark.methods else "control",
                "settings": described(item),
                "passes": results.passes[name]._asdict(),
                "samples_per_second": _number(results.speed[name].per_second),
                "peak_memory": results.speed[name].peak_memory,
                "timed_in": results.speed[name].told,
            }
            for name, item in every.items()
        },
        "metrics": {
            label: {"higher_is_better": metric.higher_is_better, "protocol": metric.protocol}
            for label, metric in benchmark.metrics.items()
        },
        "scores": [
            {"method": method, "metric": metric, "group": group, **_plain(found)}
            for (method, metric), groups in results.summaries.items()
            for group, found in groups.items()
        ],
        "comparisons": [_compared(comparison) for comparison in comparisons],
    }


def _compared(comparison: Comparison) -> dict[str, Any]:
    """Intervals, ranks and places of one metric."""
    means, ranks = comparison.bootstrap.means, comparison.ranks
    methods = {}
    for i, name in enumerate(comparison.names):
        first, last = comparison.place(name) or (None, None)
        numbers = {"mean": means.value[i], "low": means.low[i], "high": means.high[i], "mean_rank": ranks.ranks[i]}
        found = {key: _number(float(value)) for key, value in numbers.items()}
        methods[name] = {**found, "first": first, "last": last, "samples": int(means.samples[i])}
    return {
        "metric": comparison.metric,
        "group": comparison.group,
        "level": comparison.level,
        "friedman_p": _number(ranks.p),
        "critical_difference": _number(ranks.distance),
        "ranked_samples": ranks.samples,
        "methods": methods,
    }


def draw_panels(results: Results) -> dict[str, tuple[RGB, str]]:
    """By key, the panel of each drawn sample that is an image, and a line about it."""
    place = {sample.key: i for i, sample in enumerate(results.samples)}
    found = {}
    for key, (image, maps) in results.maps.items():
        if image.dim() == 3:
            sample = results.samples[place[key]]
            label = f", label {sample.label}" if sample.label else ""
            told = f"sample {key}: {sample.prediction} ({sample.confidence:.0%}){label}"
            found[key] = draw(_panel(results, place[key], image.float(), maps)), told
    return found


def _panel(results: Results, place: int, image: Tensor, maps: Mapping[str, Tensor]) -> Panel:
    sample = results.samples[place]
    number = sample.key.partition("_")[0]  # of a region the image's
    curves: dict[str, dict[str, Tensor]] = {name: {} for name in maps}
    scores: dict[str, dict[str, float]] = {name: {} for name in maps}
    for (name, label), found in results.found.items():
        scores[name][label] = float(found.reading.value[place])
        drawn = isinstance(results.benchmark.metrics[label], _CURVES)
        if drawn and found.reading.curve is not None and name in results.benchmark.methods:
            curves[name][label] = found.reading.curve[place]
    return Panel(
        image=image,
        index=int(number) if number.isdecimal() else place,
        prediction=sample.prediction,
        confidence=sample.confidence,
        maps={name: values.float() for name, values in maps.items()},
        label=sample.label or None,
        curves={name: found for name, found in curves.items() if found},
        scores=scores,
        outline=results.regions.get(sample.key),
    )


def _plain(found: Summary) -> dict[str, Any]:
    return {
        "value": _number(float(found.value)),
        "standard_error": _number(float(found.standard_error)),
        "samples": found.samples,
        "undefined": found.undefined,
        "invalid": found.invalid,
        "curve": None if found.curve is None else [_number(value) for value in found.curve.tolist()],
    }


def _number(value: float) -> float | None:
    return value if abs(value) < float("inf") else None

"""The page of a benchmark: one HTML file without anything from elsewhere, beside a folder of panels."""

from collections.abc import Iterator, Sequence
from html import escape

from lit_attr.benchmark.comparisons import Comparison
from lit_attr.benchmark.results import Results
from lit_attr.benchmark.tables import ARROWS, Table, pair_table, place_tables, rank_table
from lit_attr.visual.charts import Point, curves_svg, line_sample, ranks_svg, scatter_svg
from lit_attr.visual.html import document, figures, notes, section, sortable

__all__ = ["page", "table_section"]

_BACKWARD = 2  # forward passes that a backward pass takes the time of
_RANKS = (
    "Mean ranks over the samples, 1 is the best. Methods beside one bar are not shown to differ by Nemenyi's critical "
    "difference. Places rest on the paired differences, which tell more about two methods than their ranks do."
)


def page(
    results: Results,
    scores: Sequence[Table],
    papers: Sequence[Table],
    panels: Sequence[tuple[str, str]],
    about: str,
    comparisons: Sequence[Comparison] = (),
) -> str:
    """The HTML.

    Args:
        results: of a benchmark.
        scores: shown at the top, sortable by each column.
        papers: likewise, at the end.
        panels: path from the page and a line of text, per picture.
        about: what was measured, in a line.
        comparisons: places, after the scores of all samples, and below the pictures ranks and pairs of each metric.
    """
    numbers = {name: i for i, name in enumerate(results.benchmark.methods)}
    parts = [table_section(table) for table in [*scores[:1], *place_tables(results, comparisons), *scores[1:]]]
    parts += [section("Faithfulness, cost and stability", figures(_scatters(results, numbers)))]
    curves = list(_curves(results, numbers))
    if curves:
        legend = "".join(_key(name, numbers.get(name)) for name in results.names)
        parts.append(section("Mean curves", f'<div class="legend">{legend}</div>{figures(curves)}'))
    if panels:
        shown = "".join(
            f'<figure><a href="{escape(path)}"><img src="{escape(path)}" alt="{escape(text)}" loading="lazy"></a>'
            f"<figcaption>{escape(text)}</figcaption></figure>"
            for path, text in panels
        )
        parts.append(section("Samples", f'<div class="panels">{shown}</div>'))
    if comparisons:
        shown = "".join(_comparison(results, comparison, numbers) for comparison in comparisons)
        parts.append(section("Ranks and differences", f'<p class="notes">{escape(_RANKS)}</p>{shown}'))
    parts += [table_section(table) for table in papers]
    return document("lit_attr benchmark", "Attribution methods, compared", about, "\n".join(parts))


def table_section(table: Table) -> str:
    """A table under its title, with its notes."""
    return section(table.title, _sortable(table) + notes(table.notes))


def _sortable(table: Table) -> str:
    return sortable(table.title, table.columns, table.rows)


def _comparison(results: Results, comparison: Comparison, numbers: dict[str, int]) -> str:
    """The diagram of a metric beside its ranks; all pairs on demand."""
    found, ranks, pairs = comparison.ranks, rank_table(results, comparison), pair_table(comparison)
    title = comparison.metric + ARROWS[comparison.higher_is_better]
    title += "" if comparison.group == "all" else f", {comparison.group.replace('_', ' ')}"
    diagram = "<p>No sample has a value of every method.</p>"
    if found.samples:
        cliques = [[comparison.names[i] for i in clique] for clique in found.cliques]
        mean = dict(zip(comparison.names, found.ranks.tolist(), strict=True))
        diagram = ranks_svg(mean, numbers, cliques, found.distance, f"Mean ranks of {title}")
    figure = f"<figure><figcaption>{escape(title)}</figcaption>{diagram}</figure>"
    more = f"<details><summary>{escape(pairs.title)}</summary>{_sortable(pairs)}</details>"
    return f'<div class="ranks">{figure}<div>{_sortable(ranks)}{notes(ranks.notes)}{more}</div></div>'


def _key(name: str, number: int | None) -> str:
    inside = line_sample(number) + escape(name)
    return f'<button type="button" aria-pressed="true" data-toggle="{escape(name)}">{inside}</button>'


def _curves(results: Results, numbers: dict[str, int]) -> Iterator[tuple[str, str]]:
    for label, metric in results.benchmark.metrics.items():
        curves = {
            name: curve.tolist()
            for name in results.names
            if (name, label) in results.summaries and (curve := results.summaries[name, label]["all"].curve) is not None
        }
        if curves:
            yield label, curves_svg(curves, numbers, f"Mean curves of {label}", metric.ALONG)


def _scatters(results: Results, numbers: dict[str, int]) -> Iterator[tuple[str, str]]:
    """The first metric against cost; the first that explains again, as those of stability do, against cost and it."""
    metrics = results.benchmark.metrics
    first = next(iter(metrics))
    stable = next((label for label, metric in metrics.items() if metric.explanations and label != first), None)
    every = {name: p.forward + _BACKWARD * p.backward for name, p in results.passes.items()}
    cost = {name: passes for name, passes in every.items() if passes > 0}
    for label in filter(None, (first, stable)):
        yield _scatter(results, numbers, cost, ("passes per sample, in forward passes", label))
    if stable is not None:
        found = {name: value[stable] for name, value in _values(results, stable).items()}
        likeness = bool(metrics[stable].higher_is_better)  # near 1, or below 0; a change may be of any size above 0
        known = {name: value for name, value in found.items() if likeness or value > 0}
        yield _scatter(results, numbers, known, (stable, first), log=not likeness)


def _scatter(
    results: Results, numbers: dict[str, int], xs: dict[str, float], names: tuple[str, str], *, log: bool = True
) -> tuple[str, str]:
    x_name, label = names
    ys = {name: float(s[label]) for name, s in _values(results, label).items()}
    points = [Point(name, xs[name], ys[name], numbers[name]) for name in numbers if name in xs and name in ys]
    levels = {name: ys[name] for name in results.benchmark.controls if name in ys} if "passes" in x_name else {}
    text = f"{label} against {x_name}"
    if not points:
        return text, "<p>Nothing to draw.</p>"
    return text, scatter_svg(points, levels, text, x_name, label, log=log)


def _values(results: Results, label: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name in results.names:
        if (name, label) in results.summaries:
            value = float(results.summaries[name, label]["all"].value)
            if value == value:  # noqa: PLR0124 - not NaN
                found[name] = {label: value}
    return found

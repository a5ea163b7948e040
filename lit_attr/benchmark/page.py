"""The page of a benchmark: one HTML file without anything from elsewhere, beside a folder of panels."""

from collections.abc import Iterator, Sequence
from html import escape

from lit_attr.benchmark.results import Results
from lit_attr.benchmark.tables import Table
from lit_attr.visual.charts import Point, curves_svg, scatter_svg, style
from lit_attr.visual.html import document, figures, notes, section, sortable

__all__ = ["page"]

_BACKWARD = 2  # forward passes that a backward pass takes the time of


def page(
    results: Results, scores: Sequence[Table], papers: Sequence[Table], panels: Sequence[tuple[str, str]], about: str
) -> str:
    """The HTML.

    Args:
        results: of a benchmark.
        scores: shown at the top, sortable by each column.
        papers: likewise, at the end.
        panels: path from the page and a line of text, per picture.
        about: what was measured, in a line.
    """
    numbers = {name: i for i, name in enumerate(results.benchmark.methods)}
    parts = [_table(table) for table in scores]
    parts += [section("Faithfulness, cost and stability", figures(_scatters(results, numbers)))]
    curves = list(_curves(results, numbers))
    if curves:
        legend = "".join(_key(name, numbers.get(name)) for name in results.names)
        parts.append(section("Mean curves", f'<div class="legend">{legend}</div>{figures(curves)}'))
    if panels:
        shown = "".join(
            f'<figure><img src="{escape(path)}" alt="{escape(text)}" loading="lazy"><figcaption>{escape(text)}'
            "</figcaption></figure>"
            for path, text in panels
        )
        parts.append(section("Samples", f'<div class="panels">{shown}</div>'))
    parts += [_table(table) for table in papers]
    return document("lit_attr benchmark", "Attribution methods, compared", about, "\n".join(parts))


def _table(table: Table) -> str:
    return section(table.title, sortable(table.title, table.columns, table.rows) + notes(table.notes))


def _key(name: str, number: int | None) -> str:
    sample = f'<svg viewBox="0 0 22 8" aria-hidden="true"><polyline class="{style(number)}" points="1,4 21,4"/></svg>'
    return f'<button type="button" aria-pressed="true" data-toggle="{escape(name)}">{sample}{escape(name)}</button>'


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
    cost = {name: p.forward + _BACKWARD * p.backward for name, p in results.passes.items()}
    for label in filter(None, (first, stable)):
        yield _scatter(results, numbers, cost, ("passes per sample, in forward passes", label))
    if stable is not None:
        found = {name: float(results.summaries[name, stable]["all"].value) for name in results.benchmark.methods}
        positive = {name: value for name, value in found.items() if value > 0}
        yield _scatter(results, numbers, positive, (stable, first))


def _scatter(
    results: Results, numbers: dict[str, int], xs: dict[str, float], names: tuple[str, str]
) -> tuple[str, str]:
    x_name, label = names
    ys = {name: float(s[label]) for name, s in _values(results, label).items()}
    points = [Point(name, xs[name], ys[name], numbers[name]) for name in numbers if xs.get(name, 0) > 0 and name in ys]
    levels = {name: ys[name] for name in results.benchmark.controls if name in ys} if "passes" in x_name else {}
    text = f"{label} against {x_name}"
    if not points:
        return text, "<p>Nothing to draw.</p>"
    return text, scatter_svg(points, levels, text, x_name, label)


def _values(results: Results, label: str) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name in results.names:
        if (name, label) in results.summaries:
            value = float(results.summaries[name, label]["all"].value)
            if value == value:  # noqa: PLR0124 - not NaN
                found[name] = {label: value}
    return found

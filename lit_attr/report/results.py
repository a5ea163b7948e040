"""Of a run's folder, what is neither explanations at validation nor attacks: a comparison, a benchmark, predictions."""

import json
from collections import Counter
from glob import escape as escaped
from html import escape
from pathlib import Path
from urllib.parse import quote

from lit_attr.report.faults import fault
from lit_attr.report.pictures import embedded, figure
from lit_attr.report.reading import known, number, rows, with_error
from lit_attr.visual.html import sortable

__all__ = ["benchmark", "comparison", "predictions"]

_PICTURES = 24
_LINES = 500
_BESIDE = {
    "noise.png": "accuracy in noise, of both",
    "samples.png": "samples, and variants of them in which the first model has lost its confidence",
}


def benchmark(folder: Path, link: str) -> str:
    """The scores of a benchmark and the way to its page.

    Args:
        folder: that `BenchmarkCallback` has written.
        link: the way to it from the page.

    Raises:
        OSError: for files that cannot be read.
        ValueError: for files that hold something else.
    """
    found = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    scores = {(s["method"], s["metric"]): s for s in found["scores"] if s["group"] == "all"}
    metrics = dict.fromkeys(metric for _, metric in scores)
    body = []
    for method in found["methods"]:
        cells: list[tuple[str, object]] = [(method, None)]
        for metric in metrics:
            score = scores.get((method, metric)) or {"value": None, "standard_error": None}
            value, error = score["value"], score["standard_error"]
            cells.append((with_error(value, error), value))
        body.append(cells)
    told = f"{found.get('samples', '?')} samples, with one standard error. "
    address = escape(quote(f"{link}/index.html"))
    table = sortable("Benchmark", ["method", *metrics], body)
    return f'{table}<p class="notes">{escape(told)}<a href="{address}">The whole benchmark</a></p>'


def comparison(path: Path) -> str:
    """Two models on the same samples: their measures, the differences with intervals, and pictures.

    Args:
        path: of `comparison.csv`; pictures lie beside it.

    Raises:
        OSError: for a file that cannot be read.
        ValueError: for one that holds something else.
    """
    found = rows(path, "measure", "difference", "low", "high", "samples")
    if not found:
        return ""
    first, second = [name for name in found[0] if name not in {"measure", "difference", "low", "high", "samples"}]
    body = []
    for row in found:
        values = [number(row[name]) for name in (first, second, "difference", "low", "high", "samples")]
        _, _, difference, low, high, samples = values
        shown = f"{difference:+.4f}" + (" *" if low > 0 or high < 0 else "")
        texts = [*(f"{value:.4f}" for value in values[:2]), shown, f"{low:+.4f} to {high:+.4f}", f"{samples:.0f}"]
        sorted_by = [known(value) for value in (*values[:4], samples)]
        body.append([(row["measure"], None), *zip(texts, sorted_by, strict=True)])
    columns = ["measure", first, second, "difference", "95 % interval", "samples"]
    told = f"{second} minus {first}, on the same samples, with paired bootstrap intervals; * has no zero in it."
    beside = [(path.with_name(name), about) for name, about in _BESIDE.items()]
    pictures = "".join(figure(picture, about) for picture, about in beside if picture.is_file())
    table = sortable("Comparison", columns, body)
    return f'{table}<p class="notes">{escape(told)}</p><div class="pictures">{pictures}</div>'


def predictions(path: Path) -> str:
    """The predictions that `ExplanationWriter` has written: counts, the least sure as pictures, and a table.

    Of a segmenter each class is counted for itself, and the pictures are masks and the maps of the explained classes.
    Predictions alone, without a method, have no pictures but masks.

    Raises:
        OSError: for files that cannot be read.
        ValueError: for files that hold something else.
    """
    found = rows(path, "name", "class_name", "confidence", "error")
    good = sorted((row for row in found if not row["error"]), key=lambda row: number(row["confidence"]))
    bad = [row for row in found if row["error"]]
    masks = [_mask(path.parent, row) for row in good]
    counts = Counter(
        name for row, mask in zip(good, masks, strict=True) for name in _classes(row, dense=mask.is_file())
    )
    parts = [f"<p>{len(good)} images predicted, {len(bad)} unreadable.</p>"]
    parts += [f'<p class="fault">{escape(row["name"])}: {escape(row["error"])}</p>' for row in bad[:_PICTURES]]
    body: list[list[tuple[str, object]]]
    body = [[(name, None), (str(count), count), (f"{count / len(good):.1%}", count)] for name, count in counts.items()]
    parts.append(sortable("Predicted classes", ["class", "images", "share"], body))
    files = [(file, row) for row in good for file in _files(path.parent, row)]
    if any(file.is_file() for file, _ in files):
        pictures = [_picture(*one) for one in files[:_PICTURES]]
        told = "The least sure" if len(files) > _PICTURES else "All, the least sure first"
        parts.append(f'<h3>{told}</h3><div class="gallery">{"".join(pictures)}</div>')
    body = [
        [(r["name"], None), (r["class_name"], r["class_name"]), (f"{number(r['confidence']):.3f}", r["confidence"])]
        for r in good[:_LINES]
    ]
    more = f" (the {_LINES} least sure of {len(good)})" if len(good) > _LINES else ""
    table = sortable("Predictions", ["image", "class", "confidence"], body)
    return "".join(parts) + f"<details><summary>Every prediction{more}</summary>{table}</details>"


def _mask(folder: Path, row: dict[str, str]) -> Path:
    """Of a segmenter the classes of the pixels."""
    return folder / f"{row['name']}.mask.png"


def _classes(row: dict[str, str], *, dense: bool) -> list[str]:
    """The names of what is predicted; of a segmenter the numbers where names have commas."""
    if not dense:
        return [row["class_name"]]
    numbers, names = row["prediction"].split(), row["class_name"].split(", ")
    return names if len(names) == len(numbers) else numbers


def _files(folder: Path, row: dict[str, str]) -> list[Path]:
    """The pictures of an image: its map; of a segmenter its mask, and a map of each class that is explained."""
    mask, single = _mask(folder, row), folder / f"{row['name']}.png"
    if not mask.is_file():
        return [single]
    start = escaped(single.stem)
    maps = (sorted(mask.parent.glob(f"{start}.{index}_*.png")) for index in row["prediction"].split())
    return [mask, *(path for found in maps for path in found)]


def _picture(path: Path, row: dict[str, str]) -> str:
    """A picture with what is told of its image; a map of one class tells that class itself."""
    alone = path.name in {f"{Path(row['name']).name}.png", f"{Path(row['name']).name}.mask.png"}
    told = escape(f"{row['name']}: {row['class_name']} ({number(row['confidence']):.0%})" if alone else path.stem)
    try:
        source, _ = embedded(path)
    except (OSError, SyntaxError) as error:  # Pillow's PNG reader raises SyntaxError for a broken file
        return fault(path.name, error)
    return f'<figure><img src="{source}" alt="{told}"><figcaption>{told}</figcaption></figure>'

"""What the benchmarks share: the time of passes, timing, and tables."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from lit_attr._chunks import default_chunk


class Passes:
    """The model's times per image: forward without a graph, forward and backward, a second backward."""

    def __init__(self, model: nn.Module, inputs: Tensor) -> None:
        self.model, self.inputs = model, inputs
        largest = default_chunk(inputs)
        small = {size for size in (1, 2, 4, 8, 16, 32, largest) if size <= 2 * largest}
        self.sizes = sorted(small if inputs.device.type == "cpu" else {largest, 2 * largest})
        self.best: dict[str, int] = {}

    def time(self, kind: str) -> float:
        """Seconds per image, at the batch size that was the fastest when first asked."""
        if kind not in self.best:
            times = {size: min(self._run(kind, size) for _ in range(2)) for size in self.sizes}
            self.best[kind] = min(times, key=times.__getitem__)
        return self._run(kind, self.best[kind])

    def _run(self, kind: str, size: int) -> float:
        batch = self.inputs[torch.arange(size) % len(self.inputs)].clone().requires_grad_(kind != "forward")
        synchronise(batch)
        start = time.perf_counter()
        if kind == "forward":
            with torch.no_grad():
                self.model(batch)
        else:
            score = self.model(batch)[:, 0].sum()
            torch.autograd.grad(score, batch, retain_graph=kind == "again")
            if kind == "again":
                synchronise(batch)
                start = time.perf_counter()
                torch.autograd.grad(score, batch)
        synchronise(batch)
        return (time.perf_counter() - start) / size

    def bound(self, forward: float, backward: float) -> float:
        """Seconds per image for so many passes."""
        both = min(forward, backward)
        again = backward - both
        seconds = both * self.time("both") + (forward - both) * (self.time("forward") if forward > both else 0)
        return seconds + (again * self.time("again") if again else 0)


def synchronise(tensor: Tensor) -> None:
    if tensor.device.type == "cuda":
        torch.cuda.synchronize()


def timed(work: Callable[[], object], tensor: Tensor) -> float:
    synchronise(tensor)
    start = time.perf_counter()
    work()
    synchronise(tensor)
    return time.perf_counter() - start


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], markdown: Path | None) -> None:
    """Print a table, and append it to a Markdown file."""
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="left" if column == columns[0] else "right")
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.width = max(console.width, 140)
    console.print(table)
    if markdown is not None:
        lines = ["| " + " | ".join(row) + " |" for row in [columns, ["---"] * len(columns), *rows]]
        with markdown.open("a") as file:
            file.write(f"\n**{title}**\n\n" + "\n".join(lines) + "\n")

"""What starting costs: `lit-attr --help` beside `import lightning.pytorch.cli`, and light imports, in processor time.

    python benchmarks/imports.py [--repeat 5]

Each runs in a process of its own, in turn, and the smallest time counts: the work is the same every time, and all else
that a machine does only adds to it. The bound for the help is 1.3 times Lightning's own command line.
"""

import argparse
import resource
import subprocess
import sys

from rich.console import Console
from rich.table import Table

RUNS = {
    "import torch": "import torch",
    "import lit_attr.attribution": "import lit_attr.attribution",
    "import lightning.pytorch.cli": "import lightning.pytorch.cli",
    "import lit_attr.cli": "import lit_attr.cli",
    "lit-attr --help": "from lit_attr.cli import main; main(['--help'])",
    "lit-attr fit --help": "from lit_attr.cli import main; main(['fit', '--help'])",
}
BASE = "import lightning.pytorch.cli"


def seconds(code: str) -> float:
    """Processor time of a new process that runs the code."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-P", "-c", code], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    repeat = parser.parse_args().repeat
    found = {name: float("inf") for name in RUNS}
    for _ in range(repeat):
        for name, code in RUNS.items():
            found[name] = min(found[name], seconds(code))
    table = Table("", "seconds of processor", "by Lightning's", title=f"Starting, the best of {repeat}")
    for name, value in found.items():
        table.add_row(name, f"{value:.2f}", f"{value / found[BASE]:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()

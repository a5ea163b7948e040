"""Speed of the attacks: against torchattacks at equal settings, and against the time of their passes.

    python benchmarks/attacks.py --markdown docs/results/robustness.md

All are measured in turns; the ratio is that of the medians, theirs over ours. Efficiency is the time of as many forward
and backward passes as an attack declares, at the best batch size, over the measured time. torchattacks is called with
the whole batch, as it is documented, and with batches of the size at which a pass is the fastest.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torchattacks
from _measure import Passes, show, timed
from torch import Tensor, nn

from lit_attr.attacks import BIM, DIFGSM, FGSM, MIFGSM, NIFGSM, PGD, SINIFGSM, SSA, TIFGSM, Attack
from lit_attr.modules.backbones import build_backbone

EPS, ALPHA, STEPS = 8 / 255, 2 / 255, 10
PAIRS: dict[str, tuple[Attack, Callable[[nn.Module], torchattacks.attack.Attack]]] = {
    "FGSM": (FGSM(), lambda model: torchattacks.FGSM(model, EPS)),
    "BIM": (BIM(), lambda model: torchattacks.BIM(model, EPS, ALPHA, STEPS)),
    "PGD": (PGD(), lambda model: torchattacks.PGD(model, EPS, ALPHA, STEPS)),
    "MIFGSM": (MIFGSM(), lambda model: torchattacks.MIFGSM(model, EPS, ALPHA, STEPS)),
    "NIFGSM": (NIFGSM(), lambda model: torchattacks.NIFGSM(model, EPS, ALPHA, STEPS)),
    "DIFGSM": (DIFGSM(), lambda model: torchattacks.DIFGSM(model, EPS, ALPHA, STEPS)),
    "TIFGSM": (TIFGSM(), lambda model: torchattacks.TIFGSM(model, EPS, ALPHA, STEPS)),
    "SINIFGSM": (SINIFGSM(), lambda model: torchattacks.SINIFGSM(model, EPS, ALPHA, STEPS)),
}
ALONE: dict[str, Attack] = {"SSA, 5 copies": SSA(copies=5)}


def in_batches(attack: Callable[[Tensor, Tensor], Tensor], images: Tensor, labels: Tensor, size: int) -> None:
    for first in range(0, len(images), size):
        attack(images[first : first + size], labels[first : first + size])


def measure(name: str, attack: Attack, model: nn.Module, images: Tensor, repeats: int) -> list[str]:
    """One row: seconds of ours, efficiency, and the ratios."""
    labels = model(images).argmax(1)
    passes = Passes(model, images)
    passes.time("both")
    works = {"ours": lambda: attack(model, images, labels)}
    if name in PAIRS:
        theirs = PAIRS[name][1](model)
        works["whole"] = lambda: theirs(images, labels)
        works["best"] = lambda: in_batches(theirs, images, labels, passes.best["both"])
    seconds: dict[str, list[float]] = {key: [] for key in works}
    bounds = []
    for turn in range(repeats + 1):
        for key, work in works.items():
            found = timed(work, images)
            if turn:
                seconds[key].append(found)
        bound = passes.bound(*attack.passes) * len(images)
        if turn:
            bounds.append(bound)
    median = {key: statistics.median(values) for key, values in seconds.items()}
    ratios = [f"{median[key] / median['ours']:.2f}" if key in median else "" for key in ("whole", "best")]
    row = [name, f"{median['ours']:.2f}", f"{statistics.median(bounds) / median['ours']:.2f}", *ratios]
    print(*row, file=sys.stderr)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--attacks", nargs="*", default=[*PAIRS, *ALONE])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = build_backbone(options.model, num_classes=1000, in_channels=3).eval().to(device)
    images = torch.rand(options.images, 3, options.size, options.size, device=device)
    every = {name: attack for name, (attack, _) in PAIRS.items()} | ALONE
    rows = [measure(name, every[name], model, images, options.repeats) for name in options.attacks]
    columns = ["attack", "seconds", "efficiency", "torchattacks, whole batch", "torchattacks, best batch"]
    title = f"{options.model}, {options.images} images of {options.size} px, {device}: times as long as ours"
    show(title, columns, rows, options.markdown)


if __name__ == "__main__":
    main()

"""Attacks on a network some of whose predictions are proven: no attack may flip these.

    python benchmarks/certified.py FOLDER --markdown docs/results/robustness.md

FOLDER holds `robust_linf_eps0.1.pt` (weights of a small MNIST network, trained with a convex relaxation), the images
`test_0_2000.npz` and, for the first 500, whether no change of at most 0.1 per pixel can flip them,
`test_0_2000_certified_eps0.1_first500.npz`. A flip of a certified image is a bug; a good attack leaves few that are
right and neither certified nor flipped.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from _measure import show
from torch import nn

from lit_attr.attacks import (
    BIM,
    CW,
    DIFGSM,
    FGSM,
    GRA,
    MIFGSM,
    MIG,
    NIFGSM,
    PGD,
    SIA,
    SINIFGSM,
    SSA,
    TIFGSM,
    Attack,
    AutoAttack,
    get_attack,
)

EPS = 0.1
STEPS = {"eps": EPS, "alpha": EPS / 10, "steps": 20}
ATTACKS: dict[str, Attack] = {
    "FGSM": FGSM(eps=EPS),
    "BIM-20": BIM(**STEPS),
    "PGD-20": PGD(**STEPS),
    "PGD-20, 10 restarts": PGD(**STEPS, restarts=10, early_stop=True),
    "PGD-20, margin, 10 restarts": PGD(**STEPS, restarts=10, early_stop=True, loss="margin"),
    "MIFGSM": MIFGSM(**STEPS),
    "NIFGSM": NIFGSM(**STEPS),
    "DIFGSM": DIFGSM(**STEPS),
    "TIFGSM": TIFGSM(**STEPS, diversity=0.0, smoothing=3),
    "SINIFGSM": SINIFGSM(**STEPS),
    "SSA": SSA(**STEPS, copies=5),
    "SIA": SIA(**STEPS, copies=5),
    "MIG": MIG(**STEPS, copies=5, score="logprob"),
    "GRA": GRA(**STEPS, copies=5),
    "VMIFGSM of torchattacks": get_attack("VMIFGSM", **STEPS),
    "AutoAttack": AutoAttack(eps=EPS, queries=1000),
}


def load(folder: Path) -> tuple[nn.Module, torch.Tensor, torch.Tensor, torch.Tensor]:
    """The network, 500 images, their labels, and which are certified."""
    layers = [nn.Conv2d(1, 16, 4, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 4, 2, 1), nn.ReLU(), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(1568, 100), nn.ReLU(), nn.Linear(100, 10)).eval()
    model.load_state_dict(torch.load(folder / "robust_linf_eps0.1.pt", weights_only=True))
    data = np.load(folder / "test_0_2000.npz")
    certified = np.load(folder / "test_0_2000_certified_eps0.1_first500.npz")["certified"]
    images = torch.from_numpy(data["images"][:500]).float().view(-1, 1, 28, 28) / 255
    return model, images, torch.from_numpy(data["labels"][:500]).long(), torch.from_numpy(certified).bool()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    model, images, labels, certified = load(options.folder)
    right = model(images).argmax(1) == labels
    rows = [["none", f"{right.float().mean():.1%}", "", f"{int((right & ~certified).sum())}", "", ""]]
    for name, attack in ATTACKS.items():
        begin = time.perf_counter()
        found = attack.run(model, images, labels)
        assert found.success is not None
        flipped, far = found.success, (found.adversarial - images).abs().max()
        left = int((right & ~certified & ~flipped).sum())
        seconds = time.perf_counter() - begin
        rows.append(
            [
                *(name, f"{1 - flipped.float().mean():.1%}", f"{int((flipped & certified).sum())}", f"{left}"),
                *(f"{far:.4f}", f"{seconds:.0f}"),
            ]
        )
        print(rows[-1], flush=True)
    found = CW(c=1.0, steps=100, search_steps=4).run(model, images[:100], labels[:100])
    assert found.success is not None
    away = (found.adversarial - images[:100]).flatten(1).norm(dim=1)[found.success & right[:100]]
    columns = ["attack", "accuracy", "certified, flipped", "neither certified nor flipped", "largest change", "seconds"]
    title = f"MNIST, 500 images, {int(certified.sum())} certified at {EPS}"
    show(title, columns, rows, options.markdown)
    line = f"CW (L2, 4 steps of the search for c), 100 images: {len(away)} fooled, median distance {away.median():.2f}"
    print(line)
    if options.markdown is not None:
        with options.markdown.open("a") as file:
            file.write(f"\n{line}.\n")


if __name__ == "__main__":
    main()

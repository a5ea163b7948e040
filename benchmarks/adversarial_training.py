"""The digits, trained clean and adversarially: accuracy on clean images, in noise and under attack.

    python benchmarks/adversarial_training.py --markdown docs/results/robustness.md

Each recipe is `python train.py fit --config configs/overlays/adversarial.yaml` with other settings, of one seed after
another; the table has the mean over seeds and, in brackets, the least and the most. All validation images are used.
AutoAttack runs the published number of iterations, its Square attack fewer queries.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch
from _measure import show
from torch import Tensor

from lit_attr.attacks import PGD, Attack, AutoAttack
from lit_attr.cli import main as command
from lit_attr.corruptions import GaussianNoise
from lit_attr.datamodules import ImageDataModule
from lit_attr.modules import Classifier

EPS = 0.1
OVERLAY = ["--config", str(Path(__file__).parents[1] / "configs" / "overlays" / "adversarial.yaml")]
QUIET = ["--trainer.logger", "false", "--explanations.methods", "[]", "--trainer.num_sanity_val_steps", "0"]
RECIPES = {
    "clean": ["--model.adversarial", "null"],
    "PGD-AT": ["--model.adversarial.class", "pgd_at"],
    "TRADES": ["--model.adversarial.class", "trades"],
}
ATTACKS: dict[str, Attack] = {
    "PGD-50, 5 restarts": PGD(eps=EPS, alpha=EPS / 8, steps=50, restarts=5, early_stop=True),
    "AutoAttack": AutoAttack(eps=EPS, queries=1000),
}


def trained(recipe: str, seed: int, folder: Path) -> tuple[Classifier, float]:
    """The last weights, and the seconds of training."""
    begin = time.perf_counter()
    where = folder / f"{recipe}_{seed}"
    command(
        [
            *("fit", *OVERLAY, *RECIPES[recipe], *QUIET),
            *("--seed_everything", str(seed), "--trainer.default_root_dir", str(where)),
        ]
    )
    (last,) = where.rglob("last.ckpt")
    return Classifier.load_from_checkpoint(last, map_location="cpu").eval(), time.perf_counter() - begin


def scores(model: Classifier, images: Tensor, labels: Tensor) -> list[float]:
    """Accuracies on clean images, in noise, and under each attack."""
    noisy = GaussianNoise(sigma=0.2)(images)
    found = [(model(x).argmax(1) == labels).float().mean().item() for x in (images, noisy)]
    for attack in ATTACKS.values():
        success = attack.run(model, images, labels).success
        assert success is not None
        found.append(1 - success.float().mean().item())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--recipes", nargs="*", default=list(RECIPES))
    parser.add_argument("--folder", type=Path, default=Path("runs/adversarial_training"))
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    data = ImageDataModule("digits", size=8)
    data.setup("validate")
    batches = list(data.val_dataloader())
    images, labels = (torch.cat([batch[place] for batch in batches]) for place in (0, 1))
    rows = []
    for recipe in options.recipes:
        every = []
        for seed in range(options.seeds):
            model, seconds = trained(recipe, seed, options.folder)
            every.append([*scores(model, images, labels), seconds])
            print(recipe, seed, *(f"{value:.3f}" for value in every[-1]), file=sys.stderr)
        columns = list(zip(*every, strict=True))
        shown = [f"{statistics.mean(c):.3f} [{min(c):.3f}, {max(c):.3f}]" for c in columns[:-1]]
        rows.append([recipe, *shown, f"{statistics.mean(columns[-1]):.0f}"])
    columns = ["training", "clean", "noise, sigma 0.2", *ATTACKS, "seconds"]
    show(f"Digits, {len(labels)} images, eps {EPS}, {options.seeds} seeds: accuracy", columns, rows, options.markdown)


if __name__ == "__main__":
    main()

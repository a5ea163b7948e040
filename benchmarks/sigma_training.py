"""Does training with SIGMA's variants help? Against the same training, a longer one, noise, and adversarial training.

    python benchmarks/sigma_training.py --markdown docs/results/sigma.md
    python benchmarks/sigma_training.py --data mnist fashion_mnist cifar10 --root data --seeds 3

Every training begins with the weights of its seed; with `cifar_resnet20`, with the published ones of that network. The
baseline sees each image once in an epoch; "baseline, as long" trains for as many images as SIGMA's two trainings
together; "noise" has a noisy copy beside each image; "SIGMA" a variant of which the baseline of that seed has lost its
confidence, with the label of its source, beside each (its seconds are those of all three parts); PGD-AT attacks every
batch. The last weights are measured, on images that no training has seen.

Tables: means over the seeds with the least and the most, and the difference to the baseline on the same images, with a
paired bootstrap interval (BCa, 95 %) over the images, of what each image has in the mean over the seeds. That interval
is about other images, not other seeds; of these, how many agree in sign with the mean is told. Insertion and deletion
are of the true class, from black. With `--sweep`, further settings are compared with "noise".

Every result is written as it comes: what was finished is not computed again.
"""

import argparse
import json
import logging
import statistics
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import show
from _sigma_trainings import SETS, SWEEP, TRAININGS, Parts, Setting, read, trained
from torch import Tensor, nn

from lit_attr._files import write_whole
from lit_attr.attacks import PGD, Attack, AutoAttack
from lit_attr.attribution import IntegratedGradients, Method, Saliency
from lit_attr.benchmark import paired_bootstrap
from lit_attr.corruptions import ALEXNET, GaussianNoise, get_corruption
from lit_attr.metrics.functional import deletion, insertion, robust_accuracy

Found = dict[str, Any]
GROUPS = {
    "noise and corruptions": {"clean", "noise", "corruption"},
    "attacks": {"PGD", "AutoAttack"},
    "insertion and deletion": {"INS", "DEL"},
}
CORRUPTED = [kind for kind in ALEXNET if kind != "frost"]  # which needs photographs
METHODS: dict[str, Method] = {"IG": IntegratedGradients(steps=16), "saliency": Saliency()}


def measures(setting: Setting, parts: Parts, options: argparse.Namespace, *, brief: bool) -> dict[str, Any]:
    """What is asked of a model: by name, a function that gives a value per image."""
    images, labels = parts.test, parts.test_labels

    def right(changed: Tensor) -> Callable[[nn.Module], Tensor]:
        return lambda model: _right(model, changed, labels)

    def under(attack: Attack, count: int) -> Callable[[nn.Module], Tensor]:
        return lambda model: robust_accuracy(model, images[:count], labels[:count], attack).robust.float()

    corrupted = [
        get_corruption(kind, severity=severity, variant="cifar")(images) for kind in CORRUPTED for severity in (1, 3, 5)
    ]

    def errors(model: nn.Module) -> Tensor:
        return 1 - torch.stack([_right(model, changed, labels) for changed in corrupted]).mean(0)

    def curves(metric: Any, method: Method) -> Callable[[nn.Module], Tensor]:
        x, y = images[: options.explained], labels[: options.explained]
        return lambda model: metric(model, x, y, method(model, x, y), steps=32).float()

    found: dict[str, Callable[[nn.Module], Tensor]] = {"clean": right(images)}
    found |= {f"noise {sigma:g}": right(GaussianNoise(sigma=sigma)(images)) for sigma in setting.sigmas}
    radii = setting.radii[1:2] if brief else setting.radii
    found |= {f"PGD {_radius(eps)}": under(_pgd(eps), options.attacked) for eps in radii}
    if not brief:
        auto = {eps: AutoAttack(eps=eps, steps=options.steps, queries=options.queries) for eps in radii[:2]}
        found |= {f"AutoAttack {_radius(eps)}": under(attack, options.auto) for eps, attack in auto.items()}
    found["corruption error"] = errors
    if not brief:
        for name, method in METHODS.items():
            found |= {f"INS {name}": curves(insertion, method), f"DEL {name}": curves(deletion, method)}
    return found


def result(
    name: str, training: str, seed: int, parts: Parts, options: argparse.Namespace, asked: Mapping[str, Any]
) -> Found:
    """Values per image by measure, seconds and facts: from the file of an earlier run, or trained and measured now."""
    recipe, folder = {**TRAININGS, **SWEEP}[training], options.folder / name
    path = folder / f"{training}_{seed}.json"
    settings = {"recipe": asdict(recipe), "setting": asdict(SETS[name]), "auto": options.auto}
    settings |= {
        "attacked": options.attacked,
        "explained": options.explained,
        "queries": options.queries,
        "steps": options.steps,
    }
    settings = json.loads(json.dumps(settings))
    if path.is_file():
        known: Found = json.loads(path.read_text())
        if known["settings"] == settings and asked.keys() <= known["values"].keys():
            return known
    folder.mkdir(parents=True, exist_ok=True)
    made = trained(name, recipe, parts, seed, root=options.root, folder=folder)
    values = {what: measure(made.model).tolist() for what, measure in asked.items()}
    found = {"settings": settings, "values": values, "seconds": made.seconds, "facts": made.facts}
    write_whole(path, json.dumps(found).encode())
    means = {what: statistics.fmean(each) for what, each in values.items()}
    print(name, training, seed, f"{made.seconds:.0f} s", *(f"{k} {v:.3f}" for k, v in means.items()), file=sys.stderr)
    return found


def levels(found: Mapping[str, Sequence[Found]], asked: Sequence[str]) -> list[list[str]]:
    """Per training, mean and range over the seeds of each measure, and of the seconds."""
    rows = []
    for training, seeds in found.items():
        cells = [training]
        for what in asked:
            means = [statistics.fmean(one["values"][what]) for one in seeds]
            cells.append(f"{statistics.fmean(means):.3f} [{min(means):.3f}, {max(means):.3f}]")
        rows.append([*cells, f"{statistics.fmean(one['seconds'] for one in seeds):.0f}"])
    return rows


def differences(found: Mapping[str, Sequence[Found]], asked: Sequence[str], base: str) -> list[list[str]]:
    """Per training, what it is above the base on the same images, its interval, and how many seeds agree in sign."""
    names = list(found)
    rows = [[name] for name in names if name != base]
    for what in asked:
        values = np.array(
            [[one["values"][what] for one in found[name]] for name in names]
        )  # [trainings, seeds, images]
        intervals = paired_bootstrap(values.mean(1)).differences
        for row in rows:
            i, j = names.index(row[0]), names.index(base)
            value, low, high = (float(part[i, j]) for part in intervals[:3])
            signs = np.sign(values[i].mean(1) - values[j].mean(1)) == np.sign(value)
            sure = "**" if low > 0 or high < 0 else ""
            row.append(
                f"{sure}{_signed(value)}{sure} [{_signed(low)}, {_signed(high)}] {int(signs.sum())}/{len(signs)}"
            )
    return rows


def facts(found: Mapping[str, Sequence[Found]]) -> list[list[str]]:
    """Of the trainings with variants: what these are like."""
    rows = []
    for name, seeds in found.items():
        if seeds[0]["facts"]:
            shown = [statistics.fmean(one["facts"][fact] for one in seeds) for fact in ("reached", "steps", "rms")]
            rows.append([name, f"{shown[0]:.1%}", f"{shown[1]:.0f}", f"{shown[2]:.3f}"])
    return rows


def compare(name: str, options: argparse.Namespace) -> None:
    """All trainings of one set of images, and its tables."""
    parts = read(name, options.root)
    asked = measures(SETS[name], parts, options, brief=False)
    trainings = [one for one in (*TRAININGS, *SWEEP) if one in options.trainings]
    found: dict[str, list[Found]] = {one: [] for one in trainings}
    for seed in range(options.seeds):
        for training in trainings:
            found[training].append(result(name, training, seed, parts, options, asked))
    title = f"{name}, {len(parts.train)} images to train on, {len(parts.test)} to measure, {options.seeds} seeds"
    for group, first in GROUPS.items():
        some = [what for what in asked if what.split()[0] in first]
        told = f"{title}: {group}"
        show(told, ["training", *some, "seconds"], levels(found, some), options.markdown)
        if "baseline" in found:
            columns = ["training", *some]
            show(f"{told}, above the baseline", columns, differences(found, some, "baseline"), options.markdown)
    show(f"{title}: variants", ["training", "reached", "steps", "rms distance"], facts(found), options.markdown)


def sweep(name: str, options: argparse.Namespace) -> None:
    """Other settings, beside noise."""
    parts = read(name, options.root)
    asked = measures(SETS[name], parts, options, brief=True)
    found: dict[str, list[Found]] = {one: [] for one in ("noise", "baseline", "SIGMA", *SWEEP)}
    for seed in range(options.seeds):
        for training, seeds in found.items():
            seeds.append(result(name, training, seed, parts, options, asked))
    for seeds in found.values():
        for one in seeds:  # one number for the curve: its mean over the strengths
            curve = [values for what, values in one["values"].items() if what.startswith("noise ")]
            one["values"]["all noise"] = np.mean(curve, axis=0).tolist()
    told = ["clean", "all noise", *(what for what in asked if what != "clean" and not what.startswith("noise "))]
    title = f"{name}, {options.seeds} seeds: other settings"
    show(title, ["training", *told, "seconds"], levels(found, told), options.markdown)
    show(f"{title}, above noise", ["training", *told], differences(found, told, "noise"), options.markdown)
    show(f"{title}: variants", ["training", "reached", "steps", "rms distance"], facts(found), options.markdown)


def _right(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    with torch.no_grad():
        return (model(images).argmax(1) == labels).float()


def _pgd(eps: float) -> PGD:
    return PGD(eps=eps, alpha=eps / 8, steps=20)


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"  # never -0.000


def _radius(eps: float) -> str:
    levels = round(eps * 255)
    return f"{levels}/255" if abs(levels - eps * 255) < 1e-6 else f"{eps:g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="*", default=["digits"], choices=list(SETS))
    parser.add_argument("--root", type=Path, default=Path("data"), help="folders of npz files, one for each set")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--trainings", nargs="*", default=list(TRAININGS), choices=[*TRAININGS, *SWEEP])
    parser.add_argument("--sweep", action="store_true", help="the other settings, instead")
    parser.add_argument("--attacked", type=int, default=200, help="images for PGD")
    parser.add_argument("--auto", type=int, default=32, help="images for AutoAttack")
    parser.add_argument("--steps", type=int, default=50, help="of AutoAttack's gradient attacks; published are 100")
    parser.add_argument("--queries", type=int, default=200, help="of AutoAttack's Square")
    parser.add_argument("--explained", type=int, default=100, help="images for insertion and deletion")
    parser.add_argument("--folder", type=Path, default=Path("runs/sigma_training"))
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", ".*does not have many workers.*|.*have no `val_dataloader`.*|.*LeafSpec.*")
    for name in options.data:
        (sweep if options.sweep else compare)(name, options)


if __name__ == "__main__":
    main()

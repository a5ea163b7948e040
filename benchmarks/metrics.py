"""Speed of the metrics: insertion and deletion against Quantus and against their passes, infidelity against Captum.

    pip install --no-deps quantus pandas opencv-python-headless cachetools  # the peer, for this script alone
    python benchmarks/metrics.py --markdown docs/results/metrics.md

Deletion removes the same values in the same order as Quantus' PixelFlipping does, infidelity uses as many perturbations
of the same kind as Captum's. Both sides are measured in turns; the table gives the ratio of the medians, theirs over
ours. Efficiency is the time of the forward passes at their best batch size over the measured time.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import captum.metrics
import numpy as np
import torch
from _measure import Passes, show, timed
from torch import Tensor, nn

from lit_attr.metrics import METRICS, MetricSuite
from lit_attr.modules.backbones import build_backbone

STEPS, DRAWS, SIGMA = 48, 50, 0.1


def tiny(classes: int = 10) -> nn.Module:
    """Three convolutions."""
    layers: list[nn.Module] = []
    for before, after in [(3, 16), (16, 32), (32, 32)]:
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, classes))


def in_turns(works: dict[str, Callable[[], object]], tensor: Tensor, repeats: int) -> dict[str, float]:
    """Median seconds of each, measured one after the other `repeats` times, after one round to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            found = timed(work, tensor)
            if turn:
                seconds[name].append(found)
    return {name: statistics.median(values) for name, values in seconds.items()}


def compared(what: str, whose: str, seconds: dict[str, float]) -> list[list[str]]:
    """A row for each way to call the peer."""
    ours = seconds.pop("ours")
    return [[what, f"{whose}, {how}", f"{s:.3f}", f"{ours:.3f}", f"{s / ours:.1f}"] for how, s in seconds.items()]


def flipping(model: nn.Module, images: Tensor, target: Tensor, maps: Tensor, batch_size: int) -> Callable[[], object]:
    """Quantus' deletion curve of single values, replaced by black, `STEPS` at a time."""
    if not hasattr(np, "trapz"):
        np.trapz = np.trapezoid  # Quantus 0.6 calls the old name
    import quantus

    metric = quantus.PixelFlipping(
        features_in_step=images[0].numel() // STEPS,
        perturb_baseline="black",
        abs=False,
        normalise=False,
        return_auc_per_sample=True,
        disable_warnings=True,
        display_progressbar=False,
    )
    x, y, a = images.numpy(), target.numpy(), maps.numpy()
    return lambda: metric(model=model, x_batch=x, y_batch=y, a_batch=a, device="cpu", batch_size=batch_size)


def perturb(inputs: Tensor) -> tuple[Tensor, Tensor]:
    noise = torch.randn_like(inputs) * SIGMA
    return noise, inputs - noise


def against_quantus(name: str, model: nn.Module, images: Tensor, repeats: int) -> list[list[str]]:
    target, maps = model(images).argmax(1), torch.randn_like(images)

    def ours() -> None:
        metric = METRICS.build("deletion", {"rank": "element", "steps": STEPS})
        metric.update(model, images, target, maps)

    theirs = {f"batch size {size}": flipping(model, images, target, maps, size) for size in (1, 64, 256)}
    seconds = in_turns({"ours": ours, **theirs}, images, repeats)
    return compared(f"deletion, {name}", "Quantus PixelFlipping", seconds)


def against_captum(name: str, model: nn.Module, images: Tensor, repeats: int) -> list[list[str]]:
    target, maps = model(images).argmax(1), torch.randn_like(images)

    def ours() -> None:
        metric = METRICS.build("infidelity", {"perturbation": "gaussian", "amount": SIGMA, "samples": DRAWS})
        metric.update(model, images, target, maps)

    def captums(together: int | None) -> Callable[[], object]:
        return lambda: captum.metrics.infidelity(
            model,
            perturb,
            images,
            maps,
            target=target,
            n_perturb_samples=DRAWS,
            max_examples_per_batch=together,
            normalize=True,
        )

    theirs = {"all at once": captums(None), "64 at once": captums(64)}
    seconds = in_turns({"ours": ours, **theirs}, images, repeats)
    return compared(f"infidelity, {name}", "Captum", seconds)


def efficiency(repeats: int) -> list[list[str]]:
    """Insertion and deletion with all read-outs, ResNet-18 at 224 px."""
    model = build_backbone("resnet18", num_classes=1000, in_channels=3).eval().requires_grad_(False)
    images = torch.rand(4, 3, 224, 224)
    maps, passes = torch.randn_like(images), Passes(model, images)

    def ours() -> None:
        MetricSuite(["insertion", "deletion", "gap"]).update(model, images, None, maps)

    count = 2 * 63 + 2
    passes.time("forward")
    seconds = in_turns({"ours": ours}, images, 1)["ours"]
    times, bounds = [seconds], [passes.time("forward")]
    for _ in range(repeats - 1):
        bounds.append(passes.time("forward"))
        times.append(timed(ours, images))
    bound, measured = statistics.median(bounds) * count * len(images), statistics.median(times)
    row = ["insertion + deletion, ResNet-18, 224 px", f"{count} forward passes per image"]
    return [[*row, f"{bound:.3f}", f"{measured:.3f}", f"{bound / measured:.2f}"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--markdown", type=Path, help="append the table to this file")
    args = parser.parse_args()
    torch.manual_seed(0)
    rows: list[list[str]] = []
    networks = {"tiny CNN": tiny(), "ResNet-18": build_backbone("resnet18", num_classes=10, in_channels=3)}
    for name, model in networks.items():
        model.eval().requires_grad_(False)
        images = torch.rand(16, 3, 64, 64)
        for compare in (against_quantus, against_captum):
            rows += compare(f"{name}, 16 images, 64 px", model, images, args.repeats)
            print(rows[-1], file=sys.stderr)
    rows += efficiency(args.repeats)
    columns = ["what", "against", "theirs or bound, s", "ours, s", "ratio"]
    show(f"CPU, {torch.get_num_threads()} threads, medians of {args.repeats}", columns, rows, args.markdown)


if __name__ == "__main__":
    main()

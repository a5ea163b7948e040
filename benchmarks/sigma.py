"""Speed of banks: SIGMA's variants of many images against the published loop, and against the time of their passes.

    python benchmarks/sigma.py --markdown docs/results/sigma.md

The published loop is restated: one image of [0, 255] and one walk at a time, with a gradient in every step, as the
authors' code has it; "without gradient" is the same loop without what a bank does not need. Ours is `build_bank` with
everything in it: reading, walks, distances, writing, checking. Both go equally many steps ("all steps"), or until the
confidence is gone ("until 0.05"), where walks end one after the other. Efficiency is the time of as many forward passes
as were made, 3 T + 1 a walk of T steps, at the best batch size, over the measured time.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from _measure import Passes, show, synchronise
from torch import Tensor, nn

from lit_attr.attribution import SIGMA
from lit_attr.bank import Bank, build_bank
from lit_attr.datamodules import ImageDataModule
from lit_attr.modules import Classifier


def published(model: nn.Module, image: Tensor, label: int, steps: int, epsilon: float, *, gradient: bool) -> int:
    """One walk from one image `[C, H, W]` in [0, 255]; the number of its steps."""
    alpha, beta = 0.5, 0.1

    def stretched(x: Tensor) -> Tensor:
        return 255 * (x - x.min()) / (x.max() - x.min())

    def confidence(*points: Tensor) -> Tensor:
        with torch.no_grad():
            return model(torch.stack(points) / 255).softmax(1)[:, label]

    x, total = image.clone(), torch.zeros_like(image)
    now = confidence(stretched(x))[0]
    for step in range(steps):
        if now <= epsilon:
            return step
        pattern = torch.randint(0, 2, x.shape, device=x.device) * 255.0
        ahead, behind = confidence(stretched(x + beta * pattern), stretched(x - beta * pattern))
        x = x - alpha * (ahead - behind) / (2 * beta) * pattern
        point = stretched(x)
        before, now = now, confidence(point)[0]
        if gradient:
            point = point.requires_grad_()
            (slope,) = torch.autograd.grad(model(point[None] / 255)[0, label], point)
            total += slope * (before - now) / (slope.sum() + 1e-10)
    return steps


def trained(batches: int, size: int, device: str, name: str) -> tuple[nn.Module, list[tuple[Tensor, int]]]:
    """A classifier that is sure of the embedded digits, in colour, and these."""
    data = ImageDataModule("digits", size=size, channels=3, batch_size=128)
    data.setup("fit")
    model = Classifier(name, num_classes=10, mean=[0.3] * 3, std=[0.3] * 3).to(device)
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    done = 0
    while done < batches:
        for images, labels in data.train_dataloader():
            optimiser.zero_grad()
            F.cross_entropy(model(images.to(device)), labels.to(device)).backward()
            optimiser.step()
            done += 1
            if done == batches:
                break
    return model.eval(), [data.train_dataset[i] for i in range(len(data.train_dataset))]


def build(model: nn.Module, samples: list[tuple[Tensor, int]], sigma: SIGMA, precision: str) -> tuple[float, Bank]:
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        bank = build_bank(folder, model, samples, sigma=sigma, precision=precision)
        return time.perf_counter() - start, bank


def measure(
    name: str, sigma: SIGMA, model: nn.Module, samples: list[tuple[Tensor, int]], options: argparse.Namespace
) -> list[str]:
    """One row: images per second, ratios to the published loop by the time of a step, efficiency."""
    device = next(model.parameters()).device
    images = torch.stack([image for image, _ in samples]).to(device)
    passes = Passes(model, images)
    passes.time("forward")
    ours, bounds, theirs = [], [], {True: [], False: []}
    for turn in range(options.repeats + 1):
        seconds, bank = build(model, samples, sigma, options.precision)
        steps = bank.columns["steps"].sum().item()
        bound = passes.bound((3 * steps + len(bank)) / len(bank), 0) * len(bank)
        for gradient, times in theirs.items():
            walked = 0
            synchronise(images)
            start = time.perf_counter()
            for image, label in samples[: options.published]:
                walked += published(
                    model, image.to(device) * 255, label, options.steps, sigma.epsilon, gradient=gradient
                )
            synchronise(images)
            if turn:
                times.append((time.perf_counter() - start) / max(1, walked))
        if turn:
            ours.append(seconds)
            bounds.append(bound)
    median = statistics.median(ours)
    step = median / max(1, steps)
    ratios = [f"{statistics.median(times) / step:.1f}" for times in theirs.values()]
    reached = f"{bank.columns['reached'].float().mean():.0%}"
    speed, efficiency = f"{len(bank) / median:.1f}", f"{statistics.median(bounds) / median:.2f}"
    return [name, f"{steps / len(bank):.0f}", reached, speed, *ratios, efficiency]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--published", type=int, default=4, help="images for the published loop")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--model", default="cifar_resnet20")
    parser.add_argument("--train-batches", type=int, default=40)
    parser.add_argument("--precision", default="32")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, samples = trained(options.train_batches, options.size, device, options.model)
    samples = samples[: options.images]
    rows = [
        measure(name, SIGMA(paths=1, steps=options.steps, epsilon=epsilon), model, samples, options)
        for name, epsilon in [("all steps", 0.0), ("until 0.05", 0.05)]
    ]
    columns = ["walks", "steps", "reached", "images/s", "published / ours", "without gradient / ours", "efficiency"]
    title = f"{options.model}, {len(samples)} images of {options.size} pixels, {device}, precision {options.precision}"
    show(title, columns, rows, options.markdown)


if __name__ == "__main__":
    main()

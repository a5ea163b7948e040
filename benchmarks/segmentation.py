"""Speed of every method and of the whole benchmark on a segmenter, against the time that their passes take.

    python benchmarks/segmentation.py --model lraspp_mobilenet_v3_large
    python benchmarks/segmentation.py --model deeplabv3_resnet50 --batch 16 --device cuda

Random weights, random images, a disc in each as the region. A method's bound is the time of the passes that it made,
each at the batch size at which it is cheapest; that of the benchmark is the time of the passes that all methods and
metrics declare, what they share counted once. Bound and work are measured in turns; the table gives medians, and
efficiency is bound over measured time.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from _measure import Passes, show, timed
from torch import Tensor, nn

from lit_attr.attribution import METHODS
from lit_attr.benchmark import CONTROLS, Batch, Benchmark, Store
from lit_attr.metrics import METRICS
from lit_attr.modules import Segmenter
from lit_attr.targets import RegionTarget

# Few steps: the ratio does not depend on them.
SETTINGS: dict[str, dict[str, Any]] = {
    "saliency": {},
    "smoothgrad": {"samples": 8},
    "ig": {"steps": 8},
    "grad_cam": {},
    "hires_cam": {},
    "xres_cam": {},
    "occlusion": {"grid": 4},
    "rise": {"masks": 32},
    "dea": {"grid": 4},
}
MEASURED: dict[str, dict[str, Any]] = {
    "region_deletion": {"steps": 10, "fill": "blur"},
    "region_insertion": {"steps": 10, "fill": "blur"},
    "target_drop": {"fill": "blur"},
    "off_target_drop": {"fill": "blur"},
    "leakage_ratio": {"fill": "blur"},
    "off_target_mass": {},
    "region_robustness": {},
}


def discs(inputs: Tensor) -> RegionTarget:
    """A disc in the middle of each image, and all that is far from it."""
    size = inputs.shape[-1]
    place = torch.arange(size, device=inputs.device) - size / 2
    distance = (place[:, None].square() + place.square()).sqrt().expand(len(inputs), -1, -1)
    return RegionTarget(1, distance < size / 5, distance > size / 4)


def measure(args: argparse.Namespace, model: nn.Module, inputs: Tensor) -> list[list[str]]:
    target, passes, rows = discs(inputs), Passes(model, inputs), []
    for name in args.methods:
        method = METHODS.build(name, SETTINGS[name])
        made = method.explain(model, inputs, target).passes  # also warms up
        plain = method.passes(inputs.shape[1:], args.classes)
        if made is None or made.backward != plain.backward:
            sys.exit(f"{name}: {made} passes made, {plain} declared")
        ours, bounds = [], []
        for _ in range(args.repeats):
            ours.append(timed(lambda: method(model, inputs, target), inputs) / len(inputs))  # noqa: B023
            bounds.append(passes.bound(*plain))
        rows.append(told(name, plain, bounds, ours))
    benchmark = Benchmark(
        METHODS.build_all({name: SETTINGS[name] for name in args.methods}),
        METRICS.build_all(MEASURED),
        CONTROLS.build_all(["random", "mask", "edges"]),
    )
    every = [benchmark.passes(name, inputs.shape[1:], args.classes) for name in benchmark.identities]
    every.append(benchmark.common(MEASURED))
    forward, backward = (sum(one[way] for one in every) for way in (0, 1))
    ours, bounds = [], []
    for _ in range(args.repeats):
        ours.append(timed(lambda: run(benchmark, model, inputs, target), inputs) / len(inputs))
        bounds.append(passes.bound(forward, backward))
    return [*rows, told("the whole benchmark", (forward, backward), bounds, ours)]


def run(benchmark: Benchmark, model: nn.Module, inputs: Tensor, target: RegionTarget) -> None:
    """Everything, into a new store."""
    keys = [str(i) for i in range(len(inputs))]
    with tempfile.TemporaryDirectory() as folder:
        benchmark.run(model, [Batch(inputs, keys, target, target.mask)], keys, Store(folder, {}))


def told(name: str, passes: tuple[float, float], bounds: list[float], ours: list[float]) -> list[str]:
    time_, bound = statistics.median(ours), statistics.median(bounds)
    print(f"{name}: efficiency {bound / time_:.2f}", file=sys.stderr)
    counted = f"{passes[0]:g} + {passes[1]:g}"
    return [name, counted, f"{bound * 1e3:.1f}", f"{time_ * 1e3:.1f}", f"{bound / time_:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="lraspp_mobilenet_v3_large")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=list(SETTINGS), choices=list(SETTINGS))
    parser.add_argument("--markdown", type=Path, help="append the table to this file")
    args = parser.parse_args()
    torch.manual_seed(0)
    model = Segmenter(args.model, num_classes=args.classes, aux_weight=0.0).to(args.device).eval()
    model.requires_grad_(False)
    inputs = torch.rand(args.batch, 3, args.size, args.size, device=args.device)
    rows = measure(args, model, inputs)
    title = f"{args.model}, {args.size} px, batch {args.batch}, {args.device}, {torch.get_num_threads()} threads"
    show(title, ["method", "passes", "bound, ms/image", "measured, ms/image", "efficiency"], rows, args.markdown)


if __name__ == "__main__":
    main()

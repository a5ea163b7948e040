"""Insertion, deletion and their gap of every attribution method, on a trained network and a folder or file of images.

    python benchmarks/faithfulness.py --model squeezenet1_1 --weights squeezenet1_1.pt --images folder/ --number 100
    python benchmarks/faithfulness.py --model cifar_resnet20 --weights resnet20.pt --images test.npz --classes 10 \
        --size 32 --out results

Images are scaled to --size on the shorter side and cropped; an `.npz` file holds uint8 `images` [N, H, W, 3]. The
predicted class is explained. Prints means with 95 % intervals (1.96 standard errors), and writes them as Markdown and a
panel per image of the first --pictures to --out.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from _measure import show
from torch import Tensor
from torchvision.transforms import v2

from lit_attr.attribution import METHODS
from lit_attr.datamodules import read_image
from lit_attr.metrics import METRICS, Evaluation
from lit_attr.modules import Classifier
from lit_attr.visual import Panel, draw, save_png

METRIC_NAMES = ["insertion", "deletion", "gap"]


def batches(path: Path, number: int, size: int, batch: int) -> Iterator[Tensor]:
    """Images [B, 3, size, size] in [0, 1]."""
    if path.suffix == ".npz":
        stored = torch.from_numpy(np.load(path)["images"][:number]).movedim(-1, 1) / 255
        images = list(stored)
    else:
        crop = v2.Compose([v2.Resize(size), v2.CenterCrop(size)])
        files = sorted(p for p in path.iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"})[:number]
        images = [crop(read_image(file, channels=3)) / 255 for file in files]
    for start in range(0, len(images), batch):
        yield torch.stack(images[start : start + batch])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--mean", type=float, nargs="+", default=[0.485, 0.456, 0.406])
    parser.add_argument("--std", type=float, nargs="+", default=[0.229, 0.224, 0.225])
    parser.add_argument("--number", type=int, default=100)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--steps", type=int, default=32, help="of the curves")
    parser.add_argument("--methods", nargs="+", default=METHODS.names(), choices=METHODS.names())
    parser.add_argument(
        "--set", action="append", default=[], metavar="METHOD.SETTING=NUMBER", help="e.g. rise.masks=500"
    )
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=Path("results"))
    return parser.parse_args()


def main() -> None:
    args = arguments()
    settings: dict[str, dict[str, str]] = {name: {} for name in args.methods}
    for item in args.set:
        key, _, value = item.partition("=")
        name, _, setting = key.partition(".")
        settings[name][setting] = value
    methods = METHODS.build_all(settings)
    network = Classifier(args.model, args.classes, mean=args.mean, std=args.std, weights=args.weights)
    network = network.to(args.device, memory_format=torch.channels_last).eval()  # twice as fast on CPUs
    metrics = {name: METRICS.build_all({key: {"steps": args.steps} for key in METRIC_NAMES}) for name in methods}
    seconds, done = dict.fromkeys(methods, 0.0), 0
    args.out.mkdir(parents=True, exist_ok=True)
    for images in batches(args.images, args.number, args.size, args.batch):
        images = images.to(args.device)  # noqa: PLW2901
        evaluation = Evaluation(network, images)
        confidence, prediction = evaluation.evidence.softmax(1).max(1)
        maps, scores = {}, {}
        for name, method in methods.items():
            begin = time.perf_counter()
            maps[name] = method(network, images, evaluation.target)
            seconds[name] += time.perf_counter() - begin
            for key, metric in metrics[name].items():
                metric.update(network, images, None, maps[name], evaluation=evaluation)
                scores[name, key] = metric.per_sample(evaluation.of(maps[name]))
        for i in range(min(len(images), args.pictures - done)):
            panel = Panel(
                image=images[i].cpu(),
                index=done + i,
                prediction=str(int(prediction[i])),
                confidence=float(confidence[i]),
                maps={name: values[i].float().cpu() for name, values in maps.items()},
                scores={name: {key: float(scores[name, key][i]) for key in METRIC_NAMES} for name in methods},
            )
            save_png(args.out / f"image_{done + i:03d}.png", draw(panel))
        done += len(images)
        print(f"{done} images, {sum(seconds.values()):.0f} s of attribution", flush=True)
    columns = ["method", *METRIC_NAMES, "s/image"]
    rows = []
    for name in sorted(methods, key=lambda name: -float(metrics[name]["gap"].compute())):
        cells = [f"{float(m.compute()):.3f} ± {1.96 * float(m.standard_error()):.3f}" for m in metrics[name].values()]
        rows.append([name, *cells, f"{seconds[name] / done:.2f}"])
    title = f"{args.model}, {done} images, {args.size} px, {args.steps} steps"
    show(title, columns, rows, args.out / "table.md")


if __name__ == "__main__":
    main()

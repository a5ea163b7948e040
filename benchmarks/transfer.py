"""Which attacks of one ImageNet network fool another: made on the first, tried on both.

    python benchmarks/transfer.py FOLDER --markdown docs/results/robustness.md

FOLDER holds `squeezenet1_1.pt` and `mobilenet_v2.pt` (torchvision's architectures; the second takes images in [-1, 1],
225 pixels), `nips2017_labels.csv` (columns file and label) and the images. Success is over images that both networks
classify correctly. eps is 16/255, ten steps of 1.6/255, as in the papers.
"""

import argparse
import csv
import time
from pathlib import Path

import torch
import torchvision
from _measure import show
from torch import Tensor, nn
from torchvision.io import decode_image
from torchvision.transforms.v2.functional import center_crop, to_dtype

from lit_attr.attacks import BIM, DIFGSM, FGSM, GRA, MIFGSM, MIG, NAA, NIFGSM, SIA, SINIFGSM, SSA, TIFGSM, Attack
from lit_attr.modules.normalize import Normalize

FAR = {"eps": 16 / 255, "alpha": 1.6 / 255, "steps": 10}
SIZE = 225  # MobileNet's weights want an odd one


def attacks(copies: int) -> dict[str, Attack]:
    """With momentum, as the literature has them."""
    return {
        "FGSM": FGSM(eps=FAR["eps"]),
        "BIM": BIM(**FAR),
        "MIM": MIFGSM(**FAR),
        "NIM": NIFGSM(**FAR),
        "DIM": DIFGSM(**FAR, momentum=1.0),
        "TIM": TIFGSM(**FAR, momentum=1.0, diversity=0.0, smoothing=7),
        "SINIM": SINIFGSM(**FAR),
        "SSA": SSA(**FAR, copies=copies, diversity=0.0, smoothing=1),
        "SIA": SIA(**FAR, copies=copies),
        "MIG": MIG(**FAR, copies=copies),
        "GRA": GRA(**FAR, copies=copies),
        "NAA": NAA(**FAR, copies=copies, layer="1.features.7"),
    }


def load(folder: Path, count: int) -> tuple[dict[str, nn.Module], Tensor, Tensor]:
    """Both networks, images and labels."""
    squeeze, mobile = torchvision.models.squeezenet1_1(), torchvision.models.mobilenet_v2()
    for name, model in (("squeezenet1_1", squeeze), ("mobilenet_v2", mobile)):
        model.load_state_dict(torch.load(folder / f"{name}.pt", weights_only=True))
    models = {
        "SqueezeNet": nn.Sequential(Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]), squeeze).eval(),
        "MobileNet": nn.Sequential(Normalize([128 / 255] * 3, [128 / 255] * 3), mobile).eval(),
    }
    with (folder / "nips2017_labels.csv").open() as file:
        rows = list(csv.DictReader(file))[:count]
    images = [to_dtype(center_crop(decode_image(folder / row["file"]), [SIZE, SIZE]), scale=True) for row in rows]
    return models, torch.stack(images), torch.tensor([int(row["label"]) for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--copies", type=int, default=10)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    models, images, labels = load(options.folder, options.images)
    right = {
        name: torch.cat([model(x).argmax(1) for x in images.split(10)]) == labels for name, model in models.items()
    }
    both = torch.stack(list(right.values())).all(0)
    data = list(zip(images[both].split(10), labels[both].split(10), strict=True))
    rows = []
    for name, attack in attacks(options.copies).items():
        begin = time.perf_counter()
        fooled = dict.fromkeys(models, 0)
        for x, y in data:
            adversarial = attack(models["SqueezeNet"], x, y)
            for target, model in models.items():
                fooled[target] += int((model(adversarial).argmax(1) != y).sum())
        seconds = time.perf_counter() - begin
        rows.append([name, *(f"{fooled[target] / int(both.sum()):.0%}" for target in models), f"{seconds:.0f}"])
        print(rows[-1], flush=True)
    title = f"{int(both.sum())} images right in both networks, made on SqueezeNet, {options.copies} copies: fooled"
    show(title, ["attack", *models, "seconds"], rows, options.markdown)


if __name__ == "__main__":
    main()

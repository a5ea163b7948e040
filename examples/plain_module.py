"""Explain, score and attack a plain `nn.Module`, without Lightning.

    python examples/plain_module.py

Trains a small network on scikit-learn's handwritten digits (some seconds on a CPU, no download), compares four
attribution methods on 32 images that it has not seen, and writes `plain_module.png`.
"""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import Tensor, nn

from lit_attr.attacks import PGD
from lit_attr.attribution import METHODS
from lit_attr.metrics import MetricSuite
from lit_attr.visual import Panel, draw, save_png


def digits() -> tuple[Tensor, Tensor]:
    """Images `[1797, 1, 8, 8]` in [0, 1], and their classes."""
    found = load_digits()
    return torch.tensor(found.images).float().unsqueeze(1) / 16, torch.tensor(found.target)


def trained(images: Tensor, labels: Tensor) -> nn.Module:
    """A network that knows the digits."""
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 10),
    )
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(6):
        for rows in torch.randperm(len(images)).split(64):
            optimiser.zero_grad()
            F.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimiser.step()
    return model


def main() -> None:
    """The whole example."""
    torch.manual_seed(0)
    images, labels = digits()
    model = trained(images[:1500], labels[:1500])
    images, labels = images[1500:1532], labels[1500:1532]
    prediction = model(images).detach().softmax(1).max(1)

    # Methods are settings: the same ones explain any model, and can be written in a config as they stand here.
    methods = METHODS.build_all({"saliency": {}, "ig": {"steps": 32}, "mfaba": {}, "occlusion": {"grid": 4}})
    maps, scores = {}, {}
    for name, method in methods.items():
        maps[name] = method(model, images)  # of the predicted class, like the images, signed
        suite = MetricSuite({"insertion": {"steps": 16}, "deletion": {"steps": 16}})
        suite.update(model, images, attribution=maps[name])
        scores[name] = {metric: float(value) for metric, value in suite.compute().items()}
        print(f"{name:>9}: insertion {scores[name]['insertion']:.3f}, deletion {scores[name]['deletion']:.3f}")

    attacked = PGD(eps=0.1, steps=10)(model, images, labels)
    for what, inputs in {"clean": images, "attacked": attacked}.items():
        print(f"accuracy, {what}: {(model(inputs).argmax(1) == labels).float().mean():.3f}")

    panel = Panel(
        image=images[0],
        index=1500,
        prediction=str(int(prediction.indices[0])),
        confidence=float(prediction.values[0]),
        label=str(int(labels[0])),
        maps={name: values[0] for name, values in maps.items()},
    )
    save_png("plain_module.png", draw(panel))


if __name__ == "__main__":
    main()

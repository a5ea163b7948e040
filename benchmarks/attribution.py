"""Speed of every attribution method against the time that its passes take, and against Captum.

    python benchmarks/attribution.py --model resnet18 --size 224
    python benchmarks/attribution.py --model vit_b_16 --size 224
    python benchmarks/attribution.py --model cifar_resnet8 --size 32 --batch 64
    python benchmarks/attribution.py --model resnet18 --size 224 --device cuda --batch 64 --peers

A method's bound is the time of the passes that it made, each at the batch size at which it is cheapest: a forward pass
without a graph, a forward and a backward pass, a second backward pass of the same graph. Bound, method and (with
--peers) Captum at equal passes are measured in turns; the table gives medians. Efficiency is bound over measured time:
above 1 where a backward pass ends early, as Grad-CAM's does.
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torchvision
from _measure import Passes, show, timed
from torch import Tensor, nn

from lit_attr._chunks import default_chunk
from lit_attr.attribution import METHODS, Method
from lit_attr.modules.backbones import build_backbone

# Few steps: the ratio does not depend on them, and walks go all of theirs.
SETTINGS: dict[str, dict[str, Any]] = {
    "agi": {"classes": 4, "steps": 3, "alpha": 1e-9},
    "attexplore": {"steps": 2, "copies": 8},
    "big": {"steps": 8, "search_steps": 8, "alpha": 1e-9, "bisections": 0},
    "expected_gradients": {"samples": 16},
    "fundamental": {"steps": 15},
    "guided_ig": {"steps": 15},
    "ig": {"steps": 16},
    "isa": {"rounds": 3, "ascent_steps": 3, "descent_steps": 3},
    "la": {"classes": 4, "steps": 3},
    "laai": {"explorations": 4, "steps": 3},
    "mfaba": {"steps": 15, "early_stop": False},
    "rise": {"masks": 64},
    "sigma": {"paths": 4, "steps": 4, "epsilon": 0.0},
    "smoothgrad": {"samples": 16},
}


def peer(name: str, method: Method, model: nn.Module, inputs: Tensor, target: Tensor) -> Callable[[], object] | None:
    """Captum's method at equal passes and the same batch size, where it has one that accepts this model."""
    import captum.attr

    most = default_chunk(inputs)
    if name == "saliency":
        return lambda: captum.attr.Saliency(model).attribute(inputs, target)
    if name == "smoothgrad":
        noisy = captum.attr.NoiseTunnel(captum.attr.Saliency(model))
        together = max(1, most // len(inputs))
        samples, sigma = method.samples, method.sigma  # type: ignore[attr-defined]
        return lambda: noisy.attribute(
            inputs, nt_samples=samples, nt_samples_batch_size=together, stdevs=sigma, target=target, abs=False
        )
    if name == "ig":
        gradients = captum.attr.IntegratedGradients(model)
        steps = method.steps  # type: ignore[attr-defined]
        return lambda: gradients.attribute(
            inputs, target=target, n_steps=steps, method="gausslegendre", internal_batch_size=max(most, len(inputs))
        )
    if name == "deep_lift":
        lift = captum.attr.DeepLift(distinct_activations(model))
        return lambda: lift.attribute(inputs, target=target)
    return None


def distinct_activations(model: nn.Module) -> nn.Module:
    """A copy of a residual network that Captum accepts: one ReLU module, not in place, per use."""
    import copy

    model = copy.deepcopy(model)
    for block in model.modules():
        if isinstance(block, torchvision.models.resnet.BasicBlock):
            block.second = nn.ReLU()

            def forward(x: Tensor, block: Any = block) -> Tensor:
                short = x if block.downsample is None else block.downsample(x)
                return block.second(block.bn2(block.conv2(block.relu(block.bn1(block.conv1(x))))) + short)

            block.forward = forward
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    return model


def measure(args: argparse.Namespace) -> list[list[str]]:
    torch.manual_seed(0)
    model = build_backbone(args.model, num_classes=args.classes, in_channels=3).to(args.device).eval()
    model.requires_grad_(False)
    for module in model.modules():
        if isinstance(module, nn.Linear) and not module.weight.any():  # the head of a new ViT
            nn.init.normal_(module.weight, std=0.02)
    inputs = torch.rand(args.batch, 3, args.size, args.size, device=args.device)
    target = model(inputs).argmax(1)
    passes, rows = Passes(model, inputs), []
    for name in args.methods:
        method = METHODS.build(name, SETTINGS.get(name, {}))
        made = method.explain(model, inputs, target).passes  # also warms up
        plain = method.passes((3, args.size, args.size), args.classes)
        other = peer(name, method, model, inputs, target) if args.peers else None
        ours, bounds, theirs = [], [], []
        for _ in range(args.repeats):
            ours.append(timed(lambda: method(model, inputs, target), inputs) / len(inputs))  # noqa: B023
            bounds.append(passes.bound(*plain))
            if other is not None:
                theirs.append(timed(other, inputs) / len(inputs))
        time_, bound = statistics.median(ours), statistics.median(bounds)
        ratio = f"{statistics.median(theirs) / time_:.2f}" if theirs else ""
        assert made is not None
        if made.backward != plain.backward:
            sys.exit(f"{name}: {made} passes made, {plain} declared: its walks ended early")
        counted = f"{plain.forward:g} + {plain.backward:g}"
        rows.append([name, counted, f"{bound * 1e3:.1f}", f"{time_ * 1e3:.1f}", f"{bound / time_:.2f}", ratio])
        print(f"{name}: efficiency {bound / time_:.2f} {ratio}", file=sys.stderr)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=METHODS.names(), choices=METHODS.names())
    parser.add_argument("--peers", action="store_true", help="measure Captum too")
    parser.add_argument("--markdown", type=Path, help="append the table to this file")
    args = parser.parse_args()
    columns = ["method", "passes", "bound, ms/image", "measured, ms/image", "efficiency", "Captum's time / ours"]
    rows = measure(args)
    title = f"{args.model}, {args.size} px, batch {args.batch}, {args.device}, {torch.get_num_threads()} threads"
    show(title, columns, rows, args.markdown)


if __name__ == "__main__":
    main()

"""The small residual networks of the CIFAR experiments.

Paper: He et al., "Deep Residual Learning for Image Recognition", 2016, section 4.2: 16-32-64 channels, parameter-free
shortcuts (option A). Submodules carry the names of the common public checkpoints, so their weights load as they are.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from lit_attr._checks import ArgumentError

__all__ = ["CifarResNet"]


class _Block(nn.Module):
    """Two 3x3 convolutions and a shortcut that subsamples and pads with zero channels where the size changes."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.stride, self.padding = stride, (outside - inside) // 2

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        shortcut = F.pad(shortcut, (0, 0, 0, 0, self.padding, self.padding))
        return F.relu(out + shortcut)


class CifarResNet(nn.Module):
    """A residual network of 6n + 2 layers for small images, `[B, C, H, W]` to logits `[B, num_classes]`.

    Args:
        depth: 8, 14, 20, 32, 44, 56, ...: two more than a multiple of six.
        num_classes: number of logits.
        in_channels: channels of the input.

    Example:
        >>> import torch
        >>> CifarResNet(depth=8, num_classes=10, in_channels=1)(torch.rand(2, 1, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, depth: int, num_classes: int, in_channels: int = 3) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ArgumentError("depth", depth, "6 n + 2 with n >= 1")
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(in_channels, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = nn.Sequential(*(_Block(16, 16, 1) for _ in range(blocks)))
        self.layer2 = nn.Sequential(_Block(16, 32, 2), *(_Block(32, 32, 1) for _ in range(blocks - 1)))
        self.layer3 = nn.Sequential(_Block(32, 64, 2), *(_Block(64, 64, 1) for _ in range(blocks - 1)))
        self.linear = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of a batch of images."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.layer3(self.layer2(self.layer1(out)))
        logits: Tensor = self.linear(out.mean((2, 3)))
        return logits

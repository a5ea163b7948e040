"""A small segmenter and regions, for the tests of metrics of segmentation."""

import torch
import torch.nn.functional as F
from torch import nn

from lit_attr.targets import RegionTarget

SIZE = (10, 8)
INDEX = torch.tensor([1, 0, 2, 3])


class Segmenter(nn.Module):
    """Half the resolution, four classes, context from the whole image."""

    def __init__(self, scale=12.0):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.Tanh())
        self.head = nn.Conv2d(6, 4, 1)
        self.scale = scale
        self.double()

    def forward(self, images):
        found = self.net(images)
        return {"out": self.scale * self.head(found + found.mean((2, 3), keepdim=True))}


def probabilities(net, images):
    """Of each pixel, `[B, K, H, W]`."""
    return F.interpolate(net(images)["out"], images.shape[2:], mode="bilinear", align_corners=False).softmax(1).detach()


def images():
    generator = torch.Generator().manual_seed(3)
    coarse, fine = (torch.rand(4, 3, *size, dtype=torch.float64, generator=generator) for size in ((3, 3), SIZE))
    return 0.8 * F.interpolate(coarse, SIZE, mode="bilinear") + 0.2 * fine


def region():
    masks = torch.zeros(4, *SIZE, dtype=torch.bool)
    masks[0, :3, :4] = masks[1, 8, 2] = masks[2, :, 5:7] = masks[3, 4:7, 1:3] = True
    near = F.max_pool2d(masks[:, None].float(), 3, 1, 1)[:, 0] > 0
    return RegionTarget(INDEX, masks, ~near)


def maps(steps=None):
    """Signed maps; with `steps`, of few values."""
    found = torch.randn(4, *SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    return found if steps is None else (found * steps).round() / steps

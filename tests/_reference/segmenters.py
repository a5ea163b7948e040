"""Segmenters of which it is known what a region rests on, from the strongest to the weakest kind of truth."""

from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from lit_attr.ground_truth import Designed, keyed_scenes, swap_distractors, swap_keys

KEPT = Path(__file__).with_suffix(".safetensors")


class AdditiveSegmenter(nn.Module):
    """A: s(p) is linear in a window around p, read as two classes (s, -s), so that the mean over a region is affine."""

    def __init__(self, channels=3, kernel=5, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = torch.randn(1, channels, kernel, kernel, generator=generator, dtype=torch.float64)
        self.reach = kernel // 2

    def forward(self, images):
        score = F.conv2d(images, self.weight.to(images), padding=self.reach)
        return torch.cat([score, -score], dim=1)

    def contributions(self, images, target, baseline=0.0):
        """Of every value to the mean logit over the region: at once Shapley value, path integral and effect."""
        share = (target.mask / target.mask.sum((1, 2), keepdim=True))[:, None].to(images)
        slope = F.conv_transpose2d(share, self.weight.to(images), padding=self.reach)
        sign = (1 - 2 * target.index).view(-1, 1, 1, 1).to(images)
        return sign * slope * (images - baseline)


class TiledSegmenter(nn.Module):
    """B: any segmenter, applied to each of n x n tiles by itself: what is in one tile cannot depend on another."""

    def __init__(self, network, tiles=2):
        super().__init__()
        self.network, self.tiles = network, tiles

    def forward(self, images):
        rows = images.chunk(self.tiles, dim=2)
        return torch.cat([torch.cat([self.network(t) for t in row.chunk(self.tiles, dim=3)], 3) for row in rows], 2)


class DesignedSegmenter(nn.Module):
    """C: marks the disc of `keyed_scenes` by the key's class, with weights set by hand: AND(white, key anywhere)."""

    def __init__(self):
        super().__init__()
        self.detectors = Designed().detectors

    def forward(self, images):
        found = 1 - (1 - 2 * self.detectors(images).relu()).relu()  # at most 1
        white, keys = found[:, :1], found[:, 1:].amax((2, 3), keepdim=True)
        keyed = 8 * (white + keys - 1).relu()
        return torch.cat([torch.full_like(white, 4.0), keyed], dim=1)


class KeyedSegmenter(nn.Module):
    """D: features of half the resolution, and their largest values over the image as context."""

    def __init__(self):
        super().__init__()
        layers = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU()]
        self.encoder = nn.Sequential(*layers)
        self.decoder = nn.Sequential(nn.Conv2d(64, 24, 1), nn.ReLU(), nn.Conv2d(24, 3, 1))

    def forward(self, images):
        found = self.encoder(images)
        context = found.amax((2, 3), keepdim=True).expand_as(found)
        return {"out": self.decoder(torch.cat([found, context], 1))}


def labels_of(scenes):
    """The class of each pixel: that of the key on the disc, else 0."""
    return scenes.disc * scenes.labels.view(-1, 1, 1)


def predicted(net, images):
    return F.interpolate(net(images)["out"], images.shape[2:], mode="bilinear", align_corners=False).argmax(1)


def shares(net):
    """How often the disc is called as it should be: as it is, with its key changed, with the distractors changed."""
    scenes = keyed_scenes(200, seed=7, complete=True)
    changed = {
        "plain": (scenes.images, scenes.labels),
        "keys": (swap_keys(scenes), 3 - scenes.labels),
        "distractors": (swap_distractors(scenes), scenes.labels),
    }
    found = {}
    for name, (images, labels) in changed.items():
        called = predicted(net, images)
        most = torch.stack([called[i][scenes.disc[i]].mode().values for i in range(len(images))])
        found[name] = float((most == labels).float().mean())
    return found


def train(steps=200):
    """How the kept network was made. Half of all seeds stay at one answer for both keys: `shares` tells."""
    torch.manual_seed(0)
    net = KeyedSegmenter()
    optimiser = torch.optim.AdamW(net.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=steps)
    weight = torch.tensor([0.2, 1.0, 1.0])
    for step in range(steps):
        scenes = keyed_scenes(32, seed=1000 + step)
        optimiser.zero_grad()
        logits = F.interpolate(net(scenes.images)["out"], 32, mode="bilinear", align_corners=False)
        F.cross_entropy(logits, labels_of(scenes), weight=weight).backward()
        optimiser.step()
        schedule.step()
    return net


@lru_cache
def keyed_segmenter():
    """The kept network, 27 kB."""
    net = KeyedSegmenter()
    net.load_state_dict(load_file(KEPT))
    return net.eval().requires_grad_(False)


if __name__ == "__main__":
    trained = train()
    assert min(shares(trained).values()) >= 0.99, shares(trained)
    save_file(trained.state_dict(), KEPT)

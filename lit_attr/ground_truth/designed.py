"""Ground truth by design: a network whose weights were set by hand, so that it uses what it is meant to use.

Source: the idea of Zhou, Lin et al., "AttributionLab: Faithfulness of Feature Attribution Under Controllable
Environments", 2023: training does not prove what a network uses, setting its weights does.
"""

import torch
from torch import Tensor, nn

__all__ = ["Designed"]

# Detectors of a colour: relu(w rgb + b), 1 for the colour and 0 for the ground and all others of `keyed_scenes`.
_WEIGHTS = [[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, -1.0, 1.0]]  # white, red, blue
_BIASES = [-2.5, -0.35, -0.35]
_SCALES = [0.5, 0.5, 0.5]


class Designed(nn.Module):
    """Classifies `keyed_scenes` without any training: AND(disc, key) over the whole image.

    Detectors of white, red and blue (a 1x1 convolution and a ReLU), the largest answer of each anywhere, at most 1, and
    relu(white + key - 1) for each key. So a class rests on the disc and its key, exactly: either taken away leaves
    nothing, and no other pixel has any effect as long as it has none of the three colours.

    Example:
        >>> from lit_attr.ground_truth import keyed_scenes
        >>> scenes = keyed_scenes(200)
        >>> bool((Designed()(scenes.images).argmax(1) == scenes.labels).all())
        True
    """

    def __init__(self) -> None:
        super().__init__()
        self.detectors = nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            self.detectors.weight.copy_(torch.tensor(_WEIGHTS)[:, :, None, None])
            self.detectors.bias.copy_(torch.tensor(_BIASES))  # type: ignore[union-attr]  # there is one by default
        self.detectors.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[B, 3]` of images `[B, 3, H, W]` in [0, 1]."""
        found = self.detectors(images).relu() / images.new_tensor(_SCALES).view(-1, 1, 1)
        white, red, blue = (1 - (1 - found.amax((2, 3))).relu()).unbind(1)
        keyed = torch.stack([(white + key - 1).relu() for key in (red, blue)], dim=1)
        nothing = torch.full_like(white, 4.0)
        return torch.cat([nothing[:, None], 8 * keyed], dim=1)

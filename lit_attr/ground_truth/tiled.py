"""Ground truth by construction: classes that cannot depend on most of the image.

Source: the DiFull setting of Rao, Boehle, Schiele, "Towards Better Understanding Attribution Methods", 2022.
"""

import torch
from torch import Tensor, nn

from lit_attr._checks import ArgumentError, positive_int
from lit_attr.targets import logits_of

__all__ = ["Tiled"]


class Tiled(nn.Module):
    """Any classifier, applied to each of n x n tiles by itself: the classes of one tile depend on that tile alone.

    Of K classes per tile, class c of the tile in row r and column q has the index (r n + q) K + c. Attribution outside
    the tile is false, whatever the network: random weights serve.

    Args:
        network: a classifier of the tiles.
        tiles: n.

    Example:
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 4, 10))
        >>> model = Tiled(network, tiles=2)
        >>> model(torch.rand(5, 3, 8, 8)).shape, model.tile_of(torch.tensor([0, 39]), 8, 8)[1].sum()
        (torch.Size([5, 40]), tensor(16))
    """

    def __init__(self, network: nn.Module, tiles: int = 2) -> None:
        super().__init__()
        positive_int("tiles", tiles)
        self.network, self.tiles = network, tiles
        self._classes = 0

    def forward(self, images: Tensor) -> Tensor:
        """Logits `[B, n n K]` of images `[B, C, H, W]`.

        Raises:
            ValueError: for sides that n does not divide.
        """
        batch, channels, height, width = images.shape
        n = self.tiles
        if height % n or width % n:
            raise ArgumentError("images", f"{height} x {width}", f"of sides that {n} divides")
        tiles = images.view(batch, channels, n, height // n, n, width // n).permute(0, 2, 4, 1, 3, 5)
        logits = logits_of(self.network(tiles.flatten(0, 2)))
        self._classes = logits.shape[1]
        return logits.reshape(batch, -1)

    def tile_of(self, index: Tensor, height: int, width: int) -> Tensor:
        """Where the tile of each class is, bool `[B, H, W]`; after a forward pass, which tells the number of classes.

        Raises:
            RuntimeError: before any forward pass.
        """
        if not self._classes:
            msg = "run the model first: it learns the number of classes per tile from its network"
            raise RuntimeError(msg)
        tile = index // self._classes
        rows = torch.arange(height, device=index.device) // (height // self.tiles)
        columns = torch.arange(width, device=index.device) // (width // self.tiles)
        found: Tensor = (rows[:, None] * self.tiles + columns) == tile.view(-1, 1, 1)
        return found

"""Off-target mass: how much of a map lies where the explained region is not. Nothing is asked of the model.

Localisation, not faithfulness: what a region rests on may well lie elsewhere, as a network that pools over the image
looks everywhere. Tell it beside `OffTargetDrop`.
"""

from torch import Tensor

from lit_attr._checks import ArgumentError
from lit_attr._view import Passes
from lit_attr.metrics._base import METRICS, AttributionMetric, Reading
from lit_attr.metrics._evaluation import Explained
from lit_attr.metrics._region import others_of
from lit_attr.metrics.localisation import relevance_mass
from lit_attr.targets import RegionTarget

__all__ = ["OffTargetMass", "off_target_mass"]


def off_target_mass(maps: Tensor, target: RegionTarget, normalize: bool = False) -> Tensor:
    """The off-target mass of each map, `[B]`; see `OffTargetMass`.

    Args:
        maps: `[B, H, W]` or `[B, 1, H, W]`; sum channels first (`lit_attr.metrics.ranking.position_map`).
        target: the region, with its off-target pixels.
        normalize: see `OffTargetMass`.

    Returns:
        Float64; NaN where there is no off-target pixel, nothing positive on either, or the map is not finite.

    Raises:
        ValueError: for a target without off-target pixels, and one of another size than the maps.

    Example:
        >>> import torch
        >>> mask = torch.tensor([[[True, False, False, False]]])
        >>> others, maps = torch.tensor([[[False, False, True, True]]]), torch.tensor([[[3.0, 9.0, 1.0, -4.0]]])
        >>> target = RegionTarget(0, mask, others)
        >>> off_target_mass(maps, target).tolist(), off_target_mass(maps, target, normalize=True).tolist()
        ([0.25], [0.375])
    """
    others = others_of(target).to(maps.device)
    scope = others | target.mask.to(maps.device)
    if maps.numel() != scope.numel() or maps.shape[-2:] != scope.shape[1:]:
        got = f"{tuple(maps.shape)} for masks {tuple(target.mask.shape)}"
        raise ArgumentError("maps", got, "of the size of the target's masks")
    values = maps.reshape(scope.shape)
    found = relevance_mass(values.where(scope | ~values.isfinite(), 0), others)
    return found * scope.sum((1, 2)) / others.sum((1, 2)) if normalize else found


@METRICS.register("off_target_mass")
class OffTargetMass(AttributionMetric):
    r"""Share of a map's positive mass on the off-target pixels instead of on the region, lower is better.

    .. math:: \text{OTM} = \frac{\sum_{p \in O} A_p^+}{\sum_{p \in O \cup M} A_p^+}

    with the region M and the off-target pixels O of a `RegionTarget`, and the map A summed over channels, of which what
    is positive counts. In [0, 1]. Undefined where there is no off-target pixel or nothing positive on either.

    Args:
        normalize: divide by the share of O in O and M: 1 for a uniform map, in [0, |O or M| / |O|].

    Raises:
        ValueError: on update, for a target that is no `RegionTarget` with off-target pixels.

    Example:
        >>> import torch
        >>> mask = torch.zeros(1, 4, 4, dtype=torch.bool)
        >>> mask[:, 0] = True
        >>> metric, model, images = OffTargetMass(), torch.nn.Conv2d(3, 2, 1), torch.rand(1, 3, 4, 4)
        >>> metric.update(model, images, RegionTarget(1, mask, ~mask), torch.ones(1, 4, 4))
        >>> metric.compute()
        tensor(0.7500)
    """

    higher_is_better = False
    UNDEFINED = "there is no off-target pixel, or nothing positive on it nor on the region"

    def __init__(self, normalize: bool = False) -> None:
        super().__init__({"map": "signed sum over channels, positive part", "normalize": normalize}, Passes(0, 0))
        self.normalize = normalize

    def measure(self, explained: Explained) -> Reading:
        """The share of each sample."""
        value = off_target_mass(explained.positions, explained.evaluation.region, self.normalize)
        return Reading(value, defined=value.isfinite())

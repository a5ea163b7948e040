import pytest
import torch

from _reference.dense import INDEX, SIZE, Segmenter, images, maps, region
from lit_attr.metrics import OffTargetMass
from lit_attr.metrics.functional import off_target_mass
from lit_attr.targets import RegionTarget


def plain(values, mask, others):
    off = on = 0.0
    for y in range(SIZE[0]):
        for x in range(SIZE[1]):
            value = max(float(values[y, x]), 0)
            off += value * bool(others[y, x])
            on += value * bool(mask[y, x])
    return off / (off + on)


def test_a_plain_loop():
    target = region()
    expected = [plain(*parts) for parts in zip(maps(), target.mask, target.others, strict=True)]
    assert off_target_mass(maps(), target).tolist() == pytest.approx(expected)
    sizes = target.others.sum((1, 2)) / (target.others | target.mask).sum((1, 2))
    normalised = off_target_mass(maps(), target, normalize=True)
    assert normalised.tolist() == pytest.approx((torch.tensor(expected) / sizes).tolist(), rel=1e-6)


def test_known_maps():
    target = region()
    assert off_target_mass(target.mask.float(), target).tolist() == [0] * 4
    assert off_target_mass(target.others.float(), target).tolist() == [1] * 4
    uniform = off_target_mass(torch.ones(4, *SIZE), target, normalize=True)
    torch.testing.assert_close(uniform, torch.ones(4, dtype=torch.float64))
    rim = ~(target.mask | target.others)
    assert off_target_mass((target.mask | rim).float(), target).tolist() == [0] * 4  # it belongs to neither


@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_only_proportions_count(size):
    torch.testing.assert_close(off_target_mass(size * maps(), region()), off_target_mass(maps(), region()))


def test_undefined():
    target = region()
    others = target.others.clone()
    others[0] = False
    values = maps()
    values[1] = -1.0
    found = off_target_mass(values, RegionTarget(INDEX, target.mask, others))
    assert found.isnan().tolist() == [True, True, False, False]


def test_nothing_is_asked_of_the_model():
    net = Segmenter()
    net.register_forward_hook(lambda *_: pytest.fail("a forward pass"))
    metric = OffTargetMass(normalize=True)
    metric.update(net, images(), region(), maps())
    assert metric.count == 4
    torch.testing.assert_close(metric.compute().double(), off_target_mass(maps(), region(), normalize=True).mean())


def test_refused():
    with pytest.raises(ValueError, match="`maps` must be of the size of the target's masks, got"):
        off_target_mass(maps()[:, 1:], region())
    with pytest.raises(ValueError, match="`target` must be one with its off-target pixels, `others`"):
        off_target_mass(maps(), RegionTarget(1, region().mask))

import pytest
import torch
from scipy import ndimage

from lit_attr._segments import largest_part, superpixels


def quarters(height=12, width=16):
    """An image of four colours, and which is where."""
    parts = torch.zeros(height, width, dtype=torch.long)
    parts[:, width // 2 :] += 1
    parts[height // 2 :] += 2
    return torch.eye(4)[parts, :3].movedim(-1, 0) * 0.8 + 0.1, parts


def test_superpixels_follow_the_colours():
    image, parts = quarters()
    found = superpixels(image, 4)
    assert found.dtype == torch.long
    assert torch.equal(found, parts)


@pytest.mark.parametrize("count", [1, 2, 5, 9, 30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_no_more_superpixels_than_asked_for_and_no_gap(count, dtype):
    smooth = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(2))
    image = torch.nn.functional.interpolate(smooth, 24, mode="bilinear")[0].to(dtype)
    found = superpixels(image, count)
    names = found.unique()
    assert names.tolist() == list(range(len(names)))
    assert 1 <= len(names) <= count
    assert len(names) > 1 or count < 5


def test_grey_images_have_superpixels_too():
    image, parts = quarters()
    grey = (image * torch.tensor([0.2, 0.5, 0.9]).view(3, 1, 1)).sum(0, keepdim=True)
    assert torch.equal(superpixels(grey, 4), parts)


@pytest.mark.parametrize("seed", range(4))
def test_the_largest_part_is_scipys(seed):
    mask = torch.rand(9, 11, generator=torch.Generator().manual_seed(seed)) < 0.55
    parts, count = ndimage.label(mask.numpy())
    sizes = [int((parts == i).sum()) for i in range(1, count + 1)]
    assert count > 2
    expected = torch.from_numpy(parts == 1 + sizes.index(max(sizes)))
    assert torch.equal(largest_part(mask), expected)


def test_nothing_has_no_part():
    assert not largest_part(torch.zeros(3, 4, dtype=torch.bool)).any()

"""Sizes of the small network, and how far it sees."""

import pytest
import torch

from lit_attr.modules.small_segmenter import SmallSegmenter


@pytest.mark.parametrize("size", [(64, 64), (33, 50), (4, 7)])
def test_output_has_the_size_of_the_input(size):
    net = SmallSegmenter(num_classes=5, in_channels=1).eval()
    assert net(torch.rand(2, 1, *size)).shape == (2, 5, *size)


def test_every_output_can_depend_on_the_whole_image():
    net = SmallSegmenter(num_classes=2).eval()
    images = torch.rand(1, 3, 64, 64, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(images)[0, 0, 0, 0], images)
    far = gradient[..., 40:, 40:]  # beyond what 3 x 3 windows reach from the corner
    assert far.abs().max() > 0

"""The CIFAR residual networks: their size in the paper, and their function restated."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lit_attr.modules.cifar_resnet import CifarResNet


@pytest.mark.parametrize(("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85)])
def test_number_of_weights_is_that_of_the_paper(depth, millions):
    """Table 6 of He et al. 2016."""
    with torch.device("meta"):
        net = CifarResNet(depth, num_classes=10)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.006)


def test_layers_with_weights_are_the_depth():
    net = CifarResNet(14, num_classes=3)
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in net.modules()) == 14


def test_function():
    """One block per stage, each written out; the shortcut as a 1x1 convolution whose weights are given."""
    net = CifarResNet(8, num_classes=4, in_channels=2).double().eval()
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    x = torch.rand(3, 2, 16, 12, dtype=torch.float64)
    out = F.relu(net.bn1(net.conv1(x)))
    for stage, (inside, outside, stride) in zip(
        (net.layer1, net.layer2, net.layer3), [(16, 16, 1), (16, 32, 2), (32, 64, 2)], strict=True
    ):
        block = stage[0]
        identity = torch.zeros(outside, inside, 1, 1, dtype=torch.float64)
        identity[(outside - inside) // 2 :][:inside, :, 0, 0] = torch.eye(inside)
        shortcut = F.conv2d(out, identity, stride=stride)
        inner = block.bn2(block.conv2(F.relu(block.bn1(block.conv1(out)))))
        out = F.relu(inner + shortcut)
    assert out.shape == (3, 64, 4, 3)
    torch.testing.assert_close(net(x), net.linear(F.avg_pool2d(out, (4, 3)).flatten(1)))


@pytest.mark.parametrize("depth", [2, 7, 10, 18])
def test_other_depths_are_refused(depth):
    with pytest.raises(ValueError, match=rf"`depth` must be 6 n \+ 2 with n >= 1, got {depth}"):
        CifarResNet(depth, num_classes=10)

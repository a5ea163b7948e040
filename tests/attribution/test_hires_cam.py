import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from _reference.architectures import architecture
from lit_attr.attribution import GradCAM, HiResCAM
from lit_attr.targets import RegionTarget

TARGETS = torch.tensor([2, 0])


def hooked(net, x, layer, score):
    """Output and gradient of a layer, by a hook."""
    kept = []
    handle = net.get_submodule(layer).register_forward_hook(lambda module, inputs, output: kept.append(output))
    value = score(net(x))
    handle.remove()
    (gradient,) = torch.autograd.grad(value, kept)
    return kept[0].detach(), gradient


def enlarged(weighted, size):
    return F.interpolate(weighted.sum(1, keepdim=True).relu(), size, mode="bilinear", align_corners=False)


@pytest.mark.parametrize(("name", "layer"), [("resnet", "layer4"), ("resnet", "layer2"), ("mobilenet", "features.4")])
def test_it_is_gradient_times_layer(name, layer):
    net, x = architecture(name), torch.rand(2, 3, 64, 64, dtype=torch.float64)
    a, gradient = hooked(net, x, layer, lambda logits: logits[[0, 1], TARGETS].sum())
    expected = enlarged(a * gradient, (64, 64))
    found = HiResCAM(layer=layer).explain(net, x, TARGETS)
    torch.testing.assert_close(found.attribution, expected)
    assert found.info == {"layer": layer}
    same = torch.allclose(found.attribution, GradCAM(layer=layer)(net, x, TARGETS))
    assert same == (layer == "layer4")  # of which the mean is read, so that its gradient is the same everywhere


def test_of_a_network_with_a_mean_over_space_it_is_grad_cam():
    """The property of the paper: there, both are the contribution of each place."""
    layers = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)]
    net, x = nn.Sequential(*layers).double(), torch.rand(2, 3, 10, 8, dtype=torch.float64)
    found = HiResCAM()(net, x, TARGETS)
    assert found.any()
    torch.testing.assert_close(found, GradCAM()(net, x, TARGETS))


def masks(size=32):
    found = torch.zeros(2, size, size, dtype=torch.bool)
    found[0, 4:12, 6:20] = found[1, 20:, 20:] = True
    return found


SEGMENTERS = {"fcn_resnet50": "backbone.layer4", "lraspp_mobilenet_v3_large": "backbone.16"}


@pytest.mark.slow
@pytest.mark.parametrize("name", SEGMENTERS)
@pytest.mark.parametrize("method", [GradCAM, HiResCAM])
def test_the_encoder_of_a_segmenter_of_torchvision_is_found(name, method):
    """Of the published segmentation methods; the last spatial layer would be the scores themselves."""
    net = getattr(torchvision.models.segmentation, name)(weights=None, weights_backbone=None, num_classes=5).eval()
    x, target = torch.rand(2, 3, 32, 32), RegionTarget(TARGETS, masks())
    found = method().explain(net, x, target)
    assert found.info == {"layer": SEGMENTERS[name]}
    assert found.passes == (1, 1)

    def score(output):
        return sum(output["out"][i, TARGETS[i]][masks()[i]].mean() for i in range(2))

    a, gradient = hooked(net, x, SEGMENTERS[name], score)
    weights = gradient.mean((2, 3), keepdim=True) if method is GradCAM else gradient
    torch.testing.assert_close(found.attribution, enlarged(weights * a, (32, 32)), rtol=1e-3, atol=1e-6)


def test_before_a_classifier_of_one_pixel_it_is_zero_outside_of_the_region():
    """So that leakage there says nothing."""
    net = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 3, 1)).double()
    found = HiResCAM(layer="1")(net, torch.rand(2, 3, 32, 32, dtype=torch.float64), RegionTarget(TARGETS, masks()))
    assert not found[:, 0][~masks()].any()
    assert found[:, 0][masks()].any()


def test_only_images():
    with pytest.raises(ValueError, match=r"`inputs` must be images \[B, C, H, W\]"):
        HiResCAM()(nn.Linear(6, 2), torch.rand(2, 6), 0)

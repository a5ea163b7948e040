"""torchvision's architectures, thin, in float64: the same modules in the same order as the large ones."""

from torch import nn
from torchvision.models import DenseNet, MobileNetV2, ResNet, SqueezeNet, SwinTransformer, VisionTransformer
from torchvision.models.resnet import BasicBlock


def vit():
    """On 32x32 pixels; its head, which torchvision starts from zeros, starts from random values."""
    net = VisionTransformer(
        image_size=32, patch_size=8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32, num_classes=5
    )
    nn.init.normal_(net.heads.head.weight)
    return net


BUILDERS = {
    "resnet": lambda: ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5),
    "densenet": lambda: DenseNet(8, (2, 2, 2, 2), num_init_features=16, bn_size=2, num_classes=5),
    "mobilenet": lambda: MobileNetV2(num_classes=5, width_mult=0.25),
    "squeezenet": lambda: SqueezeNet("1_1", num_classes=5),
    "vit": vit,
    "swin": lambda: SwinTransformer([4, 4], 16, [2, 2], [2, 2], [2, 2], num_classes=5),
}


def architecture(name):
    return BUILDERS[name]().double().eval()

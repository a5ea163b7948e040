"""torchvision's architectures, thin, in float64: the same modules in the same order as the large ones."""

from torchvision.models import DenseNet, MobileNetV2, ResNet, SqueezeNet
from torchvision.models.resnet import BasicBlock

BUILDERS = {
    "resnet": lambda: ResNet(BasicBlock, [1, 1, 1, 1], num_classes=5),
    "densenet": lambda: DenseNet(8, (2, 2, 2, 2), num_init_features=16, bn_size=2, num_classes=5),
    "mobilenet": lambda: MobileNetV2(num_classes=5, width_mult=0.25),
    "squeezenet": lambda: SqueezeNet("1_1", num_classes=5),
}


def architecture(name):
    return BUILDERS[name]().double().eval()

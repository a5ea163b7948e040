"""The data sets that an `ImageDataModule` knows by name, with the means and deviations that the field uses."""

from torchvision import datasets

from lit_attr.datamodules._folders import Folder, ImageNet
from lit_attr.datamodules._sources import Digits, Downloaded, Source

_TEN_DIGITS = tuple("0123456789")
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_CIFAR100 = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle "
    "caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant "
    "flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man "
    "maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree "
    "plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper "
    "snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger tractor train "
    "trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)

SOURCES: dict[str, Source] = {
    "digits": Digits(32, (0.306,), (0.323,)),  # measured on the training images at 32 pixels
    "mnist": Downloaded(28, (0.1307,), (0.3081,), cls=datasets.MNIST, names=_TEN_DIGITS),
    "fashion_mnist": Downloaded(28, (0.2860,), (0.3530,), cls=datasets.FashionMNIST, names=_FASHION),
    "cifar10": Downloaded(32, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), cls=datasets.CIFAR10, names=_CIFAR10),
    "cifar100": Downloaded(
        32, (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), cls=datasets.CIFAR100, names=tuple(_CIFAR100.split())
    ),
    "imagenet": ImageNet(224, _IMAGENET_MEAN, _IMAGENET_STD, margin=True),
    "folder": Folder(224, _IMAGENET_MEAN, _IMAGENET_STD, margin=True),
}

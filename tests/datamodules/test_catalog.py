"""The table of data sets is consistent."""

import pytest

from lit_attr.datamodules._catalog import SOURCES

CLASSES = {"digits": 10, "mnist": 10, "fashion_mnist": 10, "cifar10": 10, "cifar100": 100, "imagenet": 1000}


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_statistics(name):
    source = SOURCES[name]
    assert len(source.mean) == len(source.std) == (1 if name in {"digits", "mnist", "fashion_mnist"} else 3)
    for channels in (1, 3):
        mean, std = source.statistics(channels)
        assert len(mean) == len(std) == channels
        assert min(source.mean) <= min(mean) <= max(mean) <= max(source.mean)
        assert min(source.std) <= min(std) <= max(std) <= max(source.std)


@pytest.mark.parametrize(("name", "count"), CLASSES.items())
def test_class_names(tmp_path, name, count):
    names = SOURCES[name].class_names(tmp_path)
    assert len(names) == count
    if name != "imagenet":  # which has two cranes and two maillots
        assert len(set(names)) == count


def test_order_of_the_classes(tmp_path):
    names = {name: SOURCES[name].class_names(tmp_path) for name in CLASSES}
    assert list(names["cifar100"]) == sorted(names["cifar100"])
    assert list(names["cifar10"]) == sorted(names["cifar10"])
    assert names["fashion_mnist"] == tuple(SOURCES["fashion_mnist"].cls.classes)
    assert (names["imagenet"][0], names["imagenet"][999]) == ("tench", "toilet tissue")

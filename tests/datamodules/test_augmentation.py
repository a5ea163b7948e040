"""Known pixels through both transforms, and every random operation on grey and on colour."""

import dataclasses

import pytest
import torch
from torchvision.transforms import v2

from lit_attr.datamodules import Augmentation
from lit_attr.datamodules.augmentation import as_augmentation, evaluation_transform, train_transform

MEAN = {1: (0.25,), 3: (0.25, 0.5, 0.75)}


def noise(channels, height=40, width=56):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (channels, height, width), dtype=torch.uint8, generator=generator)


def train(augment, channels, size=32, **settings):
    return train_transform(augment, size, mean=MEAN[channels], **{"margin": False, **settings})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"flip": 1.5}, r"`flip` must be in \[0, 1\], got 1.5"),
        ({"erasing": -0.1}, r"`erasing` must be in \[0, 1\], got -0.1"),
        ({"crop": "padd"}, "`crop` is 'padd'; accepted: none, pad, resized; did you mean 'pad'"),
        ({"policy": "rand"}, "`policy` is 'rand'; accepted: none, randaugment, trivialaugment"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**settings)


def test_from_a_mapping():
    augment = Augmentation(flip=0.5, crop="pad")
    assert as_augmentation(dataclasses.asdict(augment)) == augment
    assert as_augmentation(augment) is augment
    with pytest.raises(ValueError, match="`augment` is 'flp'; accepted: crop, erasing, flip, policy; did you mean 'fl"):
        as_augmentation({"flp": 0.5})
    with pytest.raises(ValueError, match="`augment` must be an Augmentation or a mapping of its fields, got 3"):
        as_augmentation(3)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("margin", [False, True])
def test_evaluation_is_fixed_and_in_range(channels, margin):
    transform = evaluation_transform(32, margin=margin)
    image = transform(noise(channels))
    assert image.dtype == torch.float32
    assert image.shape == (channels, 32, 32)
    assert 0 <= image.min() <= image.max() <= 1
    assert torch.equal(image, transform(noise(channels)))


@pytest.mark.parametrize("margin", [False, True])
def test_evaluation_at_its_own_size_is_a_division_by_255(margin):
    image = noise(3, 32, 32)
    torch.testing.assert_close(evaluation_transform(32, margin=margin)(image), image / 255)


def test_evaluation_cuts_the_centre():
    image = torch.zeros(1, 32, 96, dtype=torch.uint8)
    image[:, :, 32:64] = 255
    assert evaluation_transform(32, margin=False)(image).min() == 1


def test_margin_is_imagenets_256_to_224():
    image = torch.zeros(1, 256, 256, dtype=torch.uint8)
    image[:, 16:240, 16:240] = 255
    assert evaluation_transform(224, margin=True)(image).min() == 1
    image[:, 16:240, 16] = 0
    assert evaluation_transform(224, margin=True)(image)[0, :, 0].max() == 0


def test_the_default_does_what_evaluation_does():
    image = noise(3)
    assert torch.equal(train(Augmentation(), 3, margin=True)(image), evaluation_transform(32, margin=True)(image))


def test_flip():
    image = noise(3, 32, 32)
    torch.testing.assert_close(train(Augmentation(flip=1.0), 3)(image), image.flip(-1) / 255)


def test_pad_shifts_by_up_to_an_eighth_over_black():
    torch.manual_seed(0)
    transform = train(Augmentation(crop="pad"), 1)
    border = torch.stack([transform(torch.full((1, 32, 32), 255, dtype=torch.uint8)) for _ in range(200)])
    assert set(border.unique().tolist()) == {0.0, 1.0}
    columns, rows = (border == 0).all(dim=-2).sum(-1), (border == 0).all(dim=-1).sum(-1)
    assert set(columns.flatten().tolist()) == set(rows.flatten().tolist()) == {0, 1, 2, 3, 4}


def test_erasing_fills_with_the_mean():
    torch.manual_seed(0)
    image = train(Augmentation(erasing=1.0), 3)(torch.zeros(3, 32, 32, dtype=torch.uint8))
    erased = image[:, image.any(dim=0)]
    assert erased.shape[1] > 0
    assert (erased == torch.tensor(MEAN[3])[:, None]).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("crop", ["none", "pad", "resized"])
@pytest.mark.parametrize("policy", ["none", "randaugment", "trivialaugment"])
def test_all_together(channels, crop, policy):
    torch.manual_seed(0)
    transform = train(Augmentation(flip=0.5, crop=crop, policy=policy, erasing=0.5), channels)
    images = torch.stack([transform(noise(channels)) for _ in range(8)])
    assert images.shape == (8, channels, 32, 32)
    assert images.dtype == torch.float32
    assert 0 <= images.min() <= images.max() <= 1
    assert not torch.equal(images[0], images[1])


@pytest.mark.parametrize("operation", sorted(v2.TrivialAugmentWide._AUGMENTATION_SPACE))
@pytest.mark.parametrize("policy", ["randaugment", "trivialaugment"])
def test_every_operation_works_on_grey(monkeypatch, policy, operation):
    monkeypatch.setattr(v2.RandAugment, "_get_random_item", lambda self, table: (operation, table[operation]))
    monkeypatch.setattr(v2.TrivialAugmentWide, "_get_random_item", lambda self, table: (operation, table[operation]))
    image = train(Augmentation(policy=policy), 1)(noise(1))
    assert image.shape == (1, 32, 32)
    assert 0 <= image.min() <= image.max() <= 1

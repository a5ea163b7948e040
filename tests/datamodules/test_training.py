"""Samples without augmentation, and variants with it, of data sets of several kinds."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset
from torchvision import datasets
from torchvision.transforms import v2

from lit_attr.datamodules import Augmentation, ImageDataModule
from lit_attr.datamodules._masked import MaskedDataset, MaskedImages
from lit_attr.datamodules._training import AugmentedVariants, PlainSamples
from lit_attr.datamodules.joint import JointAugmentation, joint_evaluation_transform, joint_train_transform

TO_FLOAT = v2.Compose([v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)])
INVERT = v2.Compose([v2.PILToTensor(), v2.RandomInvert(1.0), v2.ToDtype(torch.float32, scale=True)])
CHANCE = v2.Compose([v2.PILToTensor(), v2.RandomInvert(0.5), v2.ToDtype(torch.float32, scale=True)])


class Pictures(Dataset):
    """Of a kind, under a transform."""

    def __init__(self, kind, transform=None):
        self.kind, self.transform = kind, transform
        self.pixels = torch.randint(0, 256, (20, 3, 4, 5), generator=torch.Generator().manual_seed(0)).to(torch.uint8)

    def __len__(self):
        return 20

    def __getitem__(self, index):
        image = self.kind(self.pixels[index])
        return {"image": image if self.transform is None else self.transform(image), "label": index % 3, "name": index}


def as_array(pixels):
    return pixels.permute(1, 2, 0).numpy()


def as_picture(pixels):
    return Image.fromarray(as_array(pixels))


KINDS = {
    "tensor": (lambda pixels: pixels, v2.ToDtype(torch.float32, scale=True)),
    "float": (lambda pixels: pixels / 255, v2.Identity()),
    "array": (as_array, v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])),
    "picture": (as_picture, TO_FLOAT),
}


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_plain_and_variants_augmented(kind):
    make, plain = KINDS[kind]
    seen = []

    def augment(image):
        seen.append(image)
        return 1 - plain(image)

    training, validation = Pictures(make, augment), Pictures(make, plain)
    samples = PlainSamples(training, validation)
    image, label = samples[4]
    torch.testing.assert_close(image, training.pixels[4] / 255)
    assert type(image) is torch.Tensor
    assert (label, len(samples)) == (1, 20)
    assert seen == []

    stored = torch.randint(0, 256, (2, 3, 4, 5)).to(torch.uint8)
    variants = AugmentedVariants(training, lambda i: stored[i], [1, 0], [7, 4])
    assert len(variants) == 2
    item = variants[0]
    torch.testing.assert_close(item["image"], 1 - stored[1] / 255)
    assert (item["label"], item["name"]) == (1, 7)
    assert type(seen[0]) is type(training.kind(training.pixels[0]))
    halves = AugmentedVariants(training, lambda i: (stored[i] / 255).half(), [1], [7])
    torch.testing.assert_close(halves[0]["image"], item["image"], atol=1e-3, rtol=0)


def test_below_subsets():
    training = Subset(Subset(Pictures(as_picture, INVERT), range(10, 20)), [3, 5])
    samples = PlainSamples(training, Subset(Pictures(as_picture, TO_FLOAT), [0]))
    torch.testing.assert_close(samples[1][0], Pictures(as_picture).pixels[15] / 255)
    torch.testing.assert_close(training[1]["image"], 1 - samples[1][0])  # nothing was changed in it
    variants = AugmentedVariants(training, lambda _: training.dataset.dataset.pixels[0], [0], [1])
    assert variants[0]["name"] == 15


def test_data_sets_of_torchvision():
    training = datasets.FakeData(6, (3, 4, 4), 3, transform=INVERT)
    plain = datasets.FakeData(6, (3, 4, 4), 3, transform=TO_FLOAT)
    samples = PlainSamples(training, plain)
    torch.testing.assert_close(samples[2][0], plain[2][0])
    image = (plain[5][0] * 255).to(torch.uint8)
    variants = AugmentedVariants(training, lambda _: image, [0], [2])
    torch.testing.assert_close(variants[0][0], 1 - plain[5][0])
    assert variants[0][1] == plain[2][1]


def test_our_own():
    data = ImageDataModule("digits", augment=Augmentation(flip=1.0, crop="none"))
    data.setup("fit")
    state = torch.get_rng_state()
    samples = PlainSamples(data.train_dataset, data.val_dataset)
    assert torch.equal(torch.get_rng_state(), state)
    torch.testing.assert_close(samples[3][0].flip(-1), data.train_dataset[3][0])
    stored = (samples[8][0] * 255).to(torch.uint8)
    variants = AugmentedVariants(data.train_dataset, lambda _: stored, [0], [3])
    torch.testing.assert_close(variants[0][0], samples[8][0].flip(-1))
    assert variants[0][1] == samples[3][1]


def test_without_an_evaluated_set_samples_are_only_scaled():
    samples = PlainSamples(Pictures(as_picture, CHANCE), None)
    torch.testing.assert_close(samples[0][0], Pictures(as_picture).pixels[0] / 255)


def test_samples_that_augment_themselves_are_refused():
    for training, evaluated in [
        (Pictures(lambda pixels: CHANCE(as_picture(pixels))), None),
        (Pictures(as_picture, CHANCE), Pictures(as_picture, CHANCE)),
    ]:
        with pytest.raises(ValueError, match="got a training set that augments its samples itself"):
            PlainSamples(training, evaluated)


def test_streams_are_refused():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter([])

    with pytest.raises(ValueError, match="`base` must be a data module whose training set has items by number"):
        PlainSamples(Stream(), None)


def test_grey_pictures_and_arrays_stay_grey():
    stored = torch.randint(0, 256, (1, 4, 5)).to(torch.uint8)
    for kind in (lambda pixels: Image.fromarray(pixels[0].numpy()), lambda pixels: pixels[0].numpy()):
        found = AugmentedVariants(Pictures(kind), lambda _: stored, [0], [0])[0]["image"]
        assert np.array_equal(np.asarray(found), stored[0].numpy())


def masked(transform, size=(4, 5)):
    pixels = torch.randint(0, 256, (6, 3, *size), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    masks = torch.randint(0, 3, (6, *size), generator=torch.Generator().manual_seed(1))
    known = {"num_classes": 3, "ignore_index": 255, "mean": (0.5, 0.5, 0.5), "with_cause": False}
    return MaskedDataset(MaskedImages(pixels, masks), torch.tensor([1, 3, 5]), transform=transform, **known)


def test_masks_move_with_the_variants():
    """The mask is that of the size that the variant was made at, flipped as the variant is."""
    flips = joint_train_transform(
        JointAugmentation(flip=1.0, scale=(1, 1)), None, None, mean=(0.5,) * 3, ignore_index=255
    )
    training, evaluated = masked(flips, (8, 8)), masked(joint_evaluation_transform(4), (8, 8))
    samples = PlainSamples(training, evaluated)
    for index in range(3):
        assert torch.equal(samples[index][0], evaluated[index][0])
        assert torch.equal(samples[index][1], evaluated[index][1])
    stored = torch.randint(0, 256, (3, 4, 4)).to(torch.uint8)
    image, mask = AugmentedVariants(training, lambda _: stored, [0], [2], samples)[0]
    torch.testing.assert_close(image, stored.flip(-1) / 255)
    assert torch.equal(mask, evaluated[2][1].flip(-1))
    assert torch.equal(training[2][1], masked(flips, (8, 8)).masks[5].flip(-1))  # itself as it was


def test_masks_of_any_data_set():
    images, masks = torch.rand(4, 3, 2, 2), torch.randint(0, 2, (4, 2, 2))
    training = TensorDataset(images, masks)
    assert torch.equal(PlainSamples(training, None)[3][1], masks[3])
    image, mask = AugmentedVariants(training, lambda _: (255 * images[0]).to(torch.uint8), [0], [1])[0]
    torch.testing.assert_close(image, images[0], atol=1 / 255, rtol=0)
    assert torch.equal(mask, masks[1])

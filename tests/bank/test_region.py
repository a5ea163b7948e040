"""Which region of a mask loses its confidence, and that it is the mean over that region which does."""

import pytest
import torch
from torch import nn

from lit_attr.attribution import SIGMA
from lit_attr.bank import build_bank
from lit_attr.bank._region import class_of, target_of
from lit_attr.bank.store import digest_of


@pytest.mark.parametrize(
    ("mask", "background", "expected"),
    [
        ([[0, 0, 0, 1, 2, 2]], 0, 2),
        ([[0, 0, 0, 1, 2, 2]], None, 0),
        ([[0, 0, 0, 255, 255, 1]], 0, 1),
        ([[0, 0, 255]], 0, 0),
        ([[3, 3, 1, 1]], 0, 1),
        ([[7, 7, 7, 4]], 7, 4),
    ],
)
def test_the_class_with_the_most_pixels(mask, background, expected):
    assert class_of(torch.tensor(mask), background) == expected
    assert class_of(torch.tensor(mask, dtype=torch.uint8), background) == expected


def test_a_class_index_stays_itself():
    assert class_of(0) == 0


def test_a_mask_without_a_pixel_that_counts_is_refused():
    with pytest.raises(ValueError, match=r"`a mask` must be with a pixel that counts"):
        class_of(torch.tensor([[9, 9]]), ignore_index=9)


def test_the_region_is_the_pixels_of_that_class():
    masks = torch.tensor([[[0, 1], [2, 2]], [[0, 1], [255, 1]]])
    target = target_of(masks, 0, 255)
    assert target.index.tolist() == [2, 1]
    assert target.mask.int().tolist() == [[[0, 0], [1, 1]], [[0, 1], [0, 1]]]


class Brightness(nn.Module):
    """Of each pixel the logit of class 1 grows with its own value alone."""

    def forward(self, images):
        score = 12 * (images.mean(1) - 0.4)
        return torch.stack([-score, score], dim=1)


def test_a_bank_of_masks(tmp_path):
    generator = torch.Generator().manual_seed(0)
    masks = (torch.rand(5, 6, 6, generator=generator) < 0.4).long()
    masks[4] = 0  # nothing but background: that loses its confidence
    images = torch.where(masks[:, None] == 1, 0.8, 0.1) + 0.1 * torch.rand(5, 3, 6, 6, generator=generator)
    samples = list(zip(images, masks, strict=True))
    net = Brightness()
    bank = build_bank(tmp_path, net, samples, sigma=SIGMA(paths=2, steps=60, epsilon=0.4), shard_size=4)
    assert bank.columns["label"].tolist() == [1] * 8 + [0] * 2
    assert bank.columns["reached"].any()
    for number, index in enumerate(bank.columns["index"].tolist()):
        probability = net(bank.image(number)[None].float() / 255).softmax(1)[0]
        label = int(bank.columns["label"][number])
        found = float(probability[label][masks[index] == label].mean())
        assert float(bank.columns["confidence"][number]) == pytest.approx(found, abs=1e-5)
        assert bool(bank.columns["reached"][number]) == (found <= 0.4)
        assert int(bank.columns["digest"][number]) == digest_of(images[index], masks[index])
        assert int(bank.columns["digest"][number]) != digest_of(images[index], 1 - masks[index])
    with pytest.raises(ValueError, match="holds variants of another `samples`"):
        build_bank(
            tmp_path, net, [(x, 1 - y) for x, y in samples], sigma=SIGMA(paths=2, steps=60, epsilon=0.4), shard_size=4
        )


@pytest.mark.parametrize(("name", "other"), [("background", None), ("ignore_index", 7)])
def test_a_bank_of_other_regions_is_refused(tmp_path, name, other):
    """Also where none of the samples that are compared shows it: here the largest region is the same."""
    masks = torch.tensor([[0, 1, 1, 1]]).repeat(4, 4, 1)
    samples = [(torch.rand(3, 4, 4), mask) for mask in masks]
    settings = {"sigma": SIGMA(paths=1, steps=1)}
    build_bank(tmp_path, Brightness(), samples, **settings)
    with pytest.raises(ValueError, match=f"holds variants of another `{name}`"):
        build_bank(tmp_path, Brightness(), samples, **settings, **{name: other})


def test_samples_that_are_not_asked_for_are_not_read(tmp_path):
    """One of them has a mask without a class."""
    void = (torch.rand(3, 4, 4), torch.full((4, 4), 255))
    samples = [void, *((torch.rand(3, 4, 4), torch.ones(4, 4, dtype=torch.long)) for _ in range(3))]
    bank = build_bank(tmp_path, Brightness(), samples, indices=[1, 3], sigma=SIGMA(paths=1, steps=1))
    assert bank.columns["index"].tolist() == [1, 3]

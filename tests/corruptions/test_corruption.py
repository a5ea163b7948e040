import dataclasses
import pickle

import numpy as np
import pytest
import torch

from _reference.corruptions import NAMES, PUBLISHED, eight_bit, made, write_pictures
from lit_attr.corruptions import ALEXNET, CORRUPTIONS, Fog, GaussianNoise, SaltAndPepper, get_corruption

COLOUR_ONLY = {"saturate"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("frost"))


def test_the_names_are_the_published_ones_and_three_of_our_own():
    extra = {"speckle_noise", "gaussian_blur", "spatter", "saturate"}
    assert set(PUBLISHED) == set(ALEXNET) | extra
    assert set(NAMES) == set(PUBLISHED) | {"gaussian", "speckle", "salt_and_pepper"}
    assert len(PUBLISHED) == 19


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_does_not_depend_on_its_batch(name, folder):
    images, keys = eight_bit(5, 3, 40, 33), torch.tensor([3, 1, 4, 0, 9])
    corruption = made(name, folder)
    whole = corruption(images, keys)
    for row in (0, 2, 4):
        assert torch.equal(corruption(images[row : row + 1], keys[row : row + 1])[0], whole[row])
    assert torch.equal(corruption(images.flip(0), keys.flip(0)), whole.flip(0))


@pytest.mark.parametrize("name", NAMES)
def test_without_keys_samples_are_numbered(name, folder):
    images = eight_bit(3, 3, 32, 32)
    corruption = made(name, folder)
    assert torch.equal(corruption(images), corruption(images, torch.arange(3)))


NOT_RANDOM = ["brightness", "contrast", "saturate", "pixelate", "jpeg_compression"]
NOT_RANDOM += ["zoom_blur", "defocus_blur", "gaussian_blur"]
RANDOM = sorted(set(NAMES) - set(NOT_RANDOM))


@pytest.mark.parametrize("name", RANDOM)
def test_seed_and_key_change_what_is_random(name, folder):
    images = eight_bit(1, 3, 64, 64)
    first = made(name, folder)(images)
    assert not torch.equal(made(name, folder)(images, torch.tensor([1])), first)
    assert not torch.equal(made(name, folder, seed=1)(images), first)


@pytest.mark.parametrize("name", NOT_RANDOM)
def test_nothing_else_is_random(name):
    images = eight_bit(1, 3, 64, 64)
    assert torch.equal(get_corruption(name, seed=1)(images, torch.tensor([5])), get_corruption(name)(images))


@pytest.mark.parametrize("name", NAMES)
def test_no_trace(name, folder):
    images = eight_bit(2, 3, 32, 32).requires_grad_()
    before = images.detach().clone()
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    found = made(name, folder)(images)
    assert not found.requires_grad
    assert torch.equal(images.detach(), before)
    assert torch.equal(torch.get_rng_state(), states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", NAMES)
def test_dtype_is_kept(name, dtype, folder):
    images = eight_bit(2, 3, 32, 32).to(dtype)
    corruption = made(name, folder)
    found = corruption(images)
    assert found.dtype == dtype
    assert found.shape == images.shape
    apart = (found.double() - corruption(images.float()).double()).abs()
    # A value on a threshold may fall on either side: rounding of half precision, or of float32 beside float64.
    assert (apart > 0.01).double().mean() < 0.005


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 11), (1, 33, 47), (3, 70, 32)])
@pytest.mark.parametrize("name", NAMES)
def test_any_size_and_grey(name, shape, folder):
    if name in COLOUR_ONLY and shape[0] == 1:
        pytest.skip("needs colours; its refusal is tested")
    images = eight_bit(2, *shape)
    settings = [{"severity": s, "variant": v} for s in range(1, 6) for v in ("imagenet", "cifar")]
    for setting in settings if name in PUBLISHED and name != "frost" else [{}]:
        found = made(name, folder, **setting)(images)
        assert found.shape == images.shape
        assert found.min() >= 0
        assert found.max() <= 1  # also false for NaN


@pytest.mark.parametrize("name", ["gaussian_blur", "defocus_blur", "elastic_transform"])
def test_autocast_and_inference_mode_change_nothing(name):
    images = eight_bit(2, 3, 32, 32)
    expected = get_corruption(name)(images)
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode():
        assert torch.equal(get_corruption(name)(images), expected)


def test_an_empty_batch_stays_empty():
    assert Fog()(torch.zeros(0, 3, 32, 32)).shape == (0, 3, 32, 32)


@pytest.mark.parametrize("name", NAMES)
def test_settings_are_frozen_and_travel(name, folder):
    corruption = made(name, folder)
    with pytest.raises(dataclasses.FrozenInstanceError):
        corruption.seed = 1
    assert pickle.loads(pickle.dumps(corruption)) == corruption
    assert hash(corruption) == hash(made(name, folder))
    assert CORRUPTIONS.name_of(corruption) == name


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 32, 32), r"`images` must be \[B, C, H, W\], got shape \(3, 32, 32\)"),
        (torch.full((1, 3, 32, 32), 2.0), r"`images` must be images in \[0, 1\], got \[2, 2\]: put the normalisation"),
        (torch.full((1, 3, 32, 32), float("nan")), "`images` must be finite"),
        (torch.zeros(1, 3, 32, 32, dtype=torch.uint8), "`images` must be a floating tensor"),
    ],
)
def test_what_is_no_batch_of_images_is_refused(images, message):
    with pytest.raises(ValueError, match=message):
        GaussianNoise()(images)


@pytest.mark.parametrize(
    ("keys", "got"),
    [
        (torch.tensor([0, -1]), r"\[0, -1\]"),
        (torch.tensor([0.0, 1.0]), r"\[0.0, 1.0\]"),
        (torch.tensor([0]), r"shape \(1,\)"),
        (torch.tensor([[0, 1]]), r"shape \(1, 2\)"),
    ],
)
def test_what_is_no_key_is_refused(keys, got):
    with pytest.raises(ValueError, match="`keys` must be 2 integers of at least 0, one per image, got " + got):
        GaussianNoise()(torch.zeros(2, 3, 8, 8), keys)


def test_a_seed_is_not_negative():
    with pytest.raises(ValueError, match="`seed` must be an integer of at least 0, got -1"):
        GaussianNoise(seed=-1)


def test_forms_of_a_corruption():
    made_already = SaltAndPepper(0.2, seed=3)
    assert get_corruption("fog") == Fog()
    assert get_corruption("fog", severity=5, seed=2) == Fog(5, seed=2)
    assert get_corruption({"class": "fog", "severity": 4}, variant="cifar") == Fog(4, "cifar")
    assert get_corruption("lit_attr.corruptions.Fog") == Fog()
    assert get_corruption(made_already) is made_already
    built = CORRUPTIONS.build_all({"gaussian_noise": None, "thick": {"class": "fog", "severity": 5}})
    assert built == {"gaussian_noise": get_corruption("gaussian_noise"), "thick": Fog(5)}


@pytest.mark.parametrize(
    ("corruption", "message"),
    [
        ("fogg", "unknown corruption 'fogg'; accepted: .*did you mean 'fog'"),
        ({"class": "fog", "sigma": 1}, "corruption 'fog' has no setting 'sigma'; accepted: seed, severity, variant"),
        (3, "`corruption` must be the name of a corruption, settings, or a Corruption, got 3"),
    ],
)
def test_what_is_no_corruption_is_refused(corruption, message):
    with pytest.raises(ValueError, match=message):
        get_corruption(corruption)


def test_settings_beside_a_corruption_are_refused():
    with pytest.raises(TypeError, match=r"settings \['severity'\] go with a name, not with Fog"):
        get_corruption(Fog(), severity=3)

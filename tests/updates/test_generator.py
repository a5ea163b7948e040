"""The generator of AdvGAN: any size, inside the ball, each image for itself; its file gives it back to the bit."""

import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from lit_attr.updates import Generator, load_generator, save_generator


def trained(channels=3, eps=0.1, loud=1.0):
    """Random weights that count as trained; with `loud` the perturbations saturate."""
    generator = Generator(channels, eps)
    generator.batches_seen += 7
    with torch.no_grad():
        generator.decoder[-1].weight *= loud
    return generator.eval()


@pytest.mark.parametrize("size", [(32, 32), (28, 28), (33, 33), (30, 45), (8, 8), (5, 9), (4, 4), (1, 1)], ids=str)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("loud", [1.0, 1e6])
def test_ball_and_box_at_every_size(size, channels, loud):
    generator, images = trained(channels, loud=loud), torch.rand(2, channels, *size).round(decimals=1)
    perturbation, made = generator(images), generator.attack(images)
    assert perturbation.shape == made.shape == images.shape
    assert 0 < perturbation.abs().max() <= torch.tensor(0.1)
    assert 0 <= made.min() <= made.max() <= 1
    assert torch.equal(made, (images + perturbation).clamp(0, 1))
    if loud > 1 and min(size) > 1:
        assert perturbation.abs().max() == torch.tensor(0.1)


def test_pixels_beyond_the_border_repeat_it():
    generator, images = trained(), torch.rand(2, 3, 30, 33)
    larger = nn.ReplicationPad2d((0, 3, 0, 2))(images)
    torch.testing.assert_close(generator(images), generator(larger)[:, :, :30, :33], rtol=0, atol=0)


def test_layers_are_those_of_the_common_code():
    generator, images = trained(1, eps=0.25), torch.rand(2, 1, 12, 16)
    convolutions = [m for m in generator.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    widths = [m.out_channels for m in convolutions]
    assert widths == [8, 16, 32, *[32] * 8, 16, 8, 1]

    def normed(values):
        mean, var = values.mean((2, 3), keepdim=True), values.var((2, 3), keepdim=True, unbiased=False)
        return (values - mean) / (var + 1e-5).sqrt()

    found = images
    for layer in convolutions[:3]:
        found = normed(layer(found)).relu()
    for first, second in zip(convolutions[3:11:2], convolutions[4:11:2], strict=True):
        found = found + normed(second(normed(first(found)).relu()))
    for layer in convolutions[11:13]:
        found = normed(layer(found)).relu()
    torch.testing.assert_close(generator(images), 0.25 * convolutions[13](found).tanh())


def test_an_image_does_not_feel_the_others_of_its_batch():
    generator, images = trained(), torch.rand(5, 3, 16, 16)
    together = generator(images)
    alone = torch.cat([generator(image[None]) for image in images])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)  # of 0.1
    torch.testing.assert_close(generator.train()(images), together, rtol=0, atol=0)
    assert [name for name, _ in generator.named_buffers()] == ["batches_seen"]  # no statistics of batches


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_images_keep_their_type_under_autocast(dtype):
    images = torch.rand(2, 3, 8, 8).to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        assert trained()(images).dtype == dtype


@pytest.mark.parametrize("shape", [(2, 1, 8, 8), (3, 8, 8), (2, 3)])
def test_what_is_no_batch_of_its_images_is_refused(shape):
    with pytest.raises(ValueError, match=r"`images` must be \[B, 3, H, W\], as the generator was trained for, got"):
        trained()(torch.rand(shape))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"channels": 0}, "`channels` must be a positive"), ({"eps": -0.1}, "`eps` must be a number of at least 0")],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        Generator(**settings)


# ---- its file


@pytest.mark.parametrize("channels", [1, 3])
def test_a_saved_generator_comes_back_to_the_bit(tmp_path, channels):
    generator, images = trained(channels, eps=1 / 3).train(), torch.rand(2, channels, 9, 9)
    save_generator(tmp_path / "g.safetensors", generator)
    before = torch.get_rng_state()
    found = load_generator(tmp_path / "g.safetensors")
    assert torch.equal(torch.get_rng_state(), before)
    assert (found.channels, found.eps, found.training) == (channels, 1 / 3, False)
    state = found.state_dict()
    assert state.keys() == generator.state_dict().keys()
    assert all(torch.equal(state[name], value) for name, value in generator.state_dict().items())
    assert torch.equal(found(images), generator(images))
    assert all(parameter.requires_grad for parameter in found.parameters())  # may be trained further


def refused(path, message):
    with pytest.raises(ValueError, match=message):
        load_generator(path)


def test_an_untrained_generator_is_refused(tmp_path):
    save_generator(tmp_path / "g.safetensors", Generator())
    refused(tmp_path / "g.safetensors", r"`generator` must be a trained one \(see `AdvGANModule`\), got .*g\.safe")


def test_other_files_are_refused(tmp_path):
    path, accepted = tmp_path / "g.safetensors", r"`generator` must be a file of `save_generator` \(safetensors, of"
    for content in (b"", b"no tensors", pickle.dumps(trained().state_dict())):
        path.write_bytes(content)
        refused(path, accepted)
    save_generator(path, trained())
    state, metadata = load_file(path), {"advgan_version": "1", "channels": "3", "eps": "0.1"}
    wrong = [
        (state, None),
        (state, {**metadata, "channels": "1"}),
        (state, {**metadata, "channels": "three"}),
        (state, {**metadata, "advgan_version": "2"}),
        ({"a": torch.ones(1)}, metadata),
    ]
    for tensors, about in wrong:
        save_file(tensors, path, about)
        refused(path, accepted)
    save_file(state, path, metadata)
    assert load_generator(path).eps == 0.1


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError, match="`generator`: there is no file 'nowhere'"):
        load_generator("nowhere")

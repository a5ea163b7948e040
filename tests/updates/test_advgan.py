"""AdvGAN's rule: straight to what the generator makes, without a look at the model."""

import os
from dataclasses import FrozenInstanceError

import pytest
import torch

from _reference.nets import Counter, cnn
from lit_attr._view import looking_at
from lit_attr.attribution import FundamentalAttribution
from lit_attr.updates import (
    AdvGAN,
    Generator,
    Region,
    Route,
    Walks,
    advgan,
    get_update,
    load_generator,
    save_generator,
    walk,
)

X = torch.rand(4, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def write(path, seed=0, channels=3, eps=0.2, seen=1):
    torch.manual_seed(seed)
    generator = Generator(channels, eps).eval()
    generator.batches_seen += seen
    save_generator(path, generator)
    return generator


@pytest.fixture
def file(tmp_path):
    return tmp_path / "generator.safetensors"


def go(rule, inputs, steps=5, region=None, model=None, **route):
    """The points of every turn, `[T + 1, N, ...]`, where only the end matters."""
    with looking_at(model or cnn(dtype=inputs.dtype), inputs, 1) as view:
        walks = Walks.of(view.target.index[:, None])
        way = Route(rule, steps=steps, region=region or Region(bounds=(0.0, 1.0)), **route)
        return torch.stack([turn.points for turn in walk(view, view.inputs, walks, way, None, watched=False)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("steps", [1, 5])
def test_straight_to_the_adversarial_image(file, dtype, steps):
    generator, images = write(file), X.to(dtype)
    points = go(AdvGAN(file), images, steps)
    with torch.no_grad():
        made = generator.attack(images.float()).to(dtype)
    share = torch.linspace(0, 1, steps + 1, dtype=dtype)[:, None, None, None, None]
    torch.testing.assert_close(points, images + share * (made - images), rtol=0, atol=2e-7)
    assert (made - images).abs().max() > 0.05
    assert (points - images).abs().max() <= 0.2 + 1e-6
    assert 0 <= points.min() <= points.max() <= 1


def test_the_model_is_not_asked(file):
    write(file)
    net = Counter(cnn())
    go(AdvGAN(file), X, model=net)
    assert (net.forwards, net.backwards) == (0, 0)


@pytest.mark.parametrize("max_batch", [1, 3])
def test_the_result_does_not_depend_on_who_is_in_the_batch(file, max_batch):
    write(file)
    together = go(AdvGAN(file), X)
    torch.testing.assert_close(go(AdvGAN(file), X, max_batch=max_batch), together, rtol=0, atol=1e-5)
    torch.testing.assert_close(go(AdvGAN(file), X[2:3]), together[:, 2:3], rtol=0, atol=1e-5)


def test_a_smaller_ball_cuts_the_way(file):
    generator = write(file)
    found = go(AdvGAN(file), X, region=Region(0.05, (0.0, 1.0)))[-1]
    with torch.no_grad():
        away = generator.attack(X.float()).double() - X
    torch.testing.assert_close(found, X + away.clamp(-0.05, 0.05), rtol=0, atol=2e-7)


def test_inside_autocast_and_inference_mode(file):
    write(file)
    expected = go(AdvGAN(file), X.float())
    advgan._loaded.cache_clear()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        found = go(AdvGAN(file), X.float())
    assert torch.equal(found, expected)
    assert torch.equal(go(AdvGAN(file), X.float()), expected)


def test_a_path_attribution_goes_along(file):
    generator, net = write(file), Counter(cnn())
    method = FundamentalAttribution(update=AdvGAN(file), steps=3, eps=None)
    found = method.explain(net, X, 1)
    assert (net.forwards / 4, net.backwards / 4) == method.passes()
    with torch.no_grad():
        torch.testing.assert_close(found.endpoint, generator.attack(X.float()).double(), rtol=0, atol=2e-7)


def test_a_file_is_read_once_and_anew_when_it_is_written_anew(file, monkeypatch):
    read = []
    monkeypatch.setattr(advgan, "load_generator", lambda *args: read.append(args) or load_generator(*args))
    write(file)
    first = go(AdvGAN(file), X)
    assert torch.equal(go(AdvGAN(file), X), first)
    assert len(read) == 1
    write(file, seed=1)
    os.utime(file, ns=(0, 12345))
    assert not torch.allclose(go(AdvGAN(file), X), first)
    assert len(read) == 2


def test_forms_and_frozen_settings(file):
    write(file)
    rule = get_update({"class": "AdvGAN", "generator": str(file)})
    assert rule == AdvGAN(str(file))
    assert (rule.guided, rule.passes) == (False, (0, 0))
    with pytest.raises(FrozenInstanceError):
        rule.generator = "other"


def test_without_a_file_it_is_refused(tmp_path):
    for build in (AdvGAN, lambda: get_update("advgan")):
        with pytest.raises(ValueError, match=r"`generator` must be the safetensors file of a trained .*, got none"):
            build()
    with pytest.raises(FileNotFoundError, match=r"`generator`: there is no file '.*gone'"):
        AdvGAN(tmp_path / "gone")


@pytest.mark.parametrize(
    ("made", "inputs", "message"),
    [
        ({"seen": 0}, X, "`generator` must be a trained one"),
        ({"channels": 1}, X, r"`images` must be \[B, 1, H, W\], as the generator was trained for, got shape \(4, 3,"),
        ({}, 3 * X, r"`inputs` must be images in \[0, 1\]"),
        ({}, X.flatten(1), r"`images` must be \[B, 3, H, W\]"),
    ],
)
def test_what_does_not_fit_is_refused(file, made, inputs, message):
    write(file, **made)
    with pytest.raises(ValueError, match=message):
        go(AdvGAN(file), inputs, region=Region())


def test_another_file_is_refused(file):
    file.write_text("weights")
    with pytest.raises(ValueError, match="`generator` must be a file of `save_generator`"):
        go(AdvGAN(file), X)

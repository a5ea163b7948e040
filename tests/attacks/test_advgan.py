"""AdvGAN against its generator."""

import pytest
import torch

from _reference.nets import Counter, cnn
from lit_attr.attacks import AdvGAN
from lit_attr.updates import Generator, save_generator

X = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(0)
    generator = Generator(3, eps=0.2)
    generator.batches_seen += 1
    save_generator(tmp_path / "generator.safetensors", generator)
    return tmp_path / "generator.safetensors", generator.eval()


def test_the_generator_makes_it_and_the_model_is_not_asked(file):
    path, generator = file
    model, attack = Counter(cnn().float()), AdvGAN(generator=path)
    found = attack(model, X, 1)
    torch.testing.assert_close(found, (X + generator(X)).clamp(0, 1).detach())
    assert not torch.equal(found, X)
    assert (model.forwards, model.backwards) == attack.passes == (0, 0)
    run = AdvGAN(generator=path, max_batch=2).run(cnn().float(), X, 1)
    torch.testing.assert_close(run.adversarial, found)
    assert run.success.shape == (3,)


def test_what_does_not_fit_is_refused(file):
    with pytest.raises(ValueError, match="`generator` must be the safetensors file of a trained generator"):
        AdvGAN()
    with pytest.raises(ValueError, match="`start` must be None for AdvGAN"):
        AdvGAN(generator=file[0])(cnn().float(), X, 1, start=X)

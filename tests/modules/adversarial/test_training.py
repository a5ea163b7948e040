"""What every recipe promises: built from settings, mixed with clean images, warmed up, no trace of its attack."""

import copy

import pytest
import torch
import torch.nn.functional as F

from _reference.nets import cnn
from _reference.trace import snapshot
from _reference.training import batch
from lit_attr.modules import TRAININGS, TrainingBatch, get_training

RECIPES = TRAININGS.names()


def twin(one):
    """The same batch of the same model, neither of which has been used, and the same random numbers."""
    torch.manual_seed(3)
    return TrainingBatch(copy.deepcopy(one.model), one.images, one.labels, share=one.share)


def test_names():
    assert RECIPES == ["fast", "free", "mart", "pgd_at", "trades"]


@pytest.mark.parametrize("name", RECIPES)
def test_built_from_a_name_settings_or_as_it_is(name):
    training = get_training({"class": name, "mix": 0.25})
    assert training.mix == 0.25
    assert type(get_training(name)) is type(training)
    assert get_training(training) is training
    assert hash(training) == hash(get_training({"class": name, "mix": 0.25}))
    assert get_training({"class": name, "eps": 0.5}).eps == 0.5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            "pgd",
            "unknown adversarial training 'pgd'; accepted: fast, free, mart, pgd_at, trades; did you mean",
        ),
        ({"eps": 0.1}, "`adversarial` must be one of fast, .*, or settings with one of these under `class`"),
        (3, "`adversarial` must be one of fast, .*, got 3"),
        ({"class": "free", "attack": "pgd"}, "adversarial training 'free' has no setting 'attack'; accepted: "),
        ({"class": "fast", "mix": 1.5}, r"`mix` must be in \[0, 1\], got 1.5"),
        ({"class": "mart", "eps_warmup": -1}, "`eps_warmup` must be a number of at least 0, got -1"),
        ({"class": "mart", "eps_warmup": "long"}, "`eps_warmup` must be a number, got long"),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        get_training(settings)


@pytest.mark.parametrize("name", RECIPES)
def test_mix_adds_clean_cross_entropy(name):
    one = batch(smoothing=0.0)
    own = get_training(name)(twin(one))
    mixed = get_training({"class": name, "mix": 0.25})(twin(one))
    clean = F.cross_entropy(one.model(one.images), one.labels)
    torch.testing.assert_close(mixed.loss, 0.75 * own.loss + 0.25 * clean)
    torch.testing.assert_close(mixed.adversarial, own.adversarial)
    torch.testing.assert_close(get_training({"class": name, "mix": 1})(twin(one)).loss, clean)


@pytest.mark.parametrize(("warmup", "shares"), [(0, [1, 1, 1]), (2, [0, 0.25, 1]), (0.5, [0, 1, 1])])
def test_share_grows_linearly(warmup, shares):
    training = get_training({"class": "fast", "eps_warmup": warmup})
    assert [training.share(epochs) for epochs in (0, 0.5, 3)] == shares


class Seen(torch.nn.Module):
    """Keeps the images that it is trained on."""

    def __init__(self, net):
        super().__init__()
        self.net, self.images = net, []

    def forward(self, images):
        if self.training:
            self.images.append(images.detach().clone())
        return self.net(images)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_samples_lie_in_the_ball_of_the_share(name, share):
    one = batch(share=share)
    training, model = get_training({"class": name, "eps": 0.2}), Seen(one.model)
    memory = {}
    for _ in range(2):  # free training is at the clean images first
        training(TrainingBatch(model, one.images, one.labels, share=share, memory=memory)).loss.backward()
    far = max(float((images - one.images).abs().max()) for images in model.images)
    assert far == pytest.approx(0.2 * share, abs=1e-6)
    assert all(images.min() >= 0 and images.max() <= 1 for images in model.images)


@pytest.mark.parametrize("name", RECIPES)
def test_random_numbers_are_repeatable_and_new_in_each_step_and_process(name):
    one = batch()
    images, labels = one.images[:1].expand(8, -1, -1, -1), one.labels[:1].expand(8)  # eight times the same sample

    def trained_on(seed, rank):
        torch.manual_seed(seed)
        model = Seen(copy.deepcopy(one.model))
        attack = {} if name in {"fast", "free"} else {"attack": {"class": "pgd", "steps": 1}}
        get_training({"class": name, "eps": 0.2, **attack})(TrainingBatch(model, images, labels, rank=rank))
        return model.images[-1] if name == "trades" else model.images[0]

    first = trained_on(0, 0)
    assert torch.equal(first, trained_on(0, 0))
    if name == "free":
        return  # its perturbation is nowhere random
    assert len({tuple(image.flatten().tolist()) for image in first}) == 8
    assert not torch.equal(first, trained_on(1, 0))
    assert not torch.equal(first, trained_on(0, 1))


@pytest.mark.parametrize("name", RECIPES)
def test_the_attack_leaves_no_trace(name):
    """But for passes of training: with batch norms frozen there is none but in the global random state."""
    model = cnn(dtype=torch.float32).train()
    model[1].eval()
    model[3].eval()
    model(torch.rand(2, 3, 8, 8)).sum().backward()
    before = snapshot(model)
    get_training({"class": name, "mix": 0.5})(TrainingBatch(model, torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])))
    after = snapshot(model)
    before.pop("torch"), after.pop("torch")
    assert before == after


@pytest.mark.parametrize(("name", "passes"), [("pgd_at", 1), ("trades", 2), ("mart", 2), ("fast", 1), ("free", 1)])
def test_batch_norm_sees_the_passes_of_training_alone(name, passes):
    one = batch()
    norm = one.model.body[1]
    get_training(name)(one)
    assert int(norm.num_batches_tracked) == passes

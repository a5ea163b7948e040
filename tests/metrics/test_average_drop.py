"""Drop, increase and gain: a slow loop, and masks whose effect is known."""

import pytest
import torch
from torch import nn

from _reference.nets import Recorder
from lit_attr.metrics import AverageDrop, AverageGain, AverageIncrease
from lit_attr.metrics._evaluation import Evaluation
from lit_attr.metrics.functional import average_drop, average_gain, average_increase

ALL = {average_drop: AverageDrop, average_increase: AverageIncrease, average_gain: AverageGain}


class Constant(nn.Module):
    def forward(self, inputs):
        return torch.tensor([[0.3, 1.0, 2.0]], dtype=inputs.dtype).expand(len(inputs), 3)


@pytest.mark.parametrize("fill", ["black", "mean", 0.3])
@pytest.mark.parametrize("keep", [None, 0.4])
@pytest.mark.parametrize("target", [None, 1])
def test_equal_a_slow_loop(fill, keep, target, cnn, batch):
    images, attribution = batch(8)
    model = cnn()
    found = {f: f(model, images, target, attribution, fill=fill, keep=keep) for f in ALL}
    absolute = average_drop(model, images, target, attribution, relative=False, fill=fill, keep=keep)
    rises = 0
    for i, image in enumerate(images):
        a = attribution[i].sum(0)
        mask = (a - a.min()) / (a.max() - a.min())
        if keep is not None:
            mask = (a >= a.flatten().sort(descending=True).values[13]).double()  # round(0.4 * 36) = 14
        b = {"black": torch.zeros_like(image), "mean": image.mean((1, 2))[:, None, None], 0.3: 0.3}[fill]
        with torch.no_grad():
            clean = model(image[None]).softmax(1)[0]
            y = int(clean.argmax()) if target is None else target
            before, after = float(clean[y]), float(model((mask * image + (1 - mask) * b)[None]).softmax(1)[0, y])
        rises += after > before
        assert float(found[average_drop][i]) == pytest.approx(max(0, before - after) / before, abs=1e-12)
        assert float(absolute[i]) == pytest.approx(max(0, before - after), abs=1e-12)
        assert float(found[average_gain][i]) == pytest.approx(max(0, after - before) / (1 - before), abs=1e-12)
        assert float(found[average_increase][i]) == (after > before)
    if target == 1:
        assert 0 < rises < 8  # both happen


@pytest.mark.parametrize("keep", [None, 0.4])
@pytest.mark.parametrize("function", ALL)
def test_a_constant_map_masks_nothing_and_is_counted(function, keep, cnn, batch):
    images, attribution = batch()
    attribution[:] = torch.tensor([0.0, 1.0, -1e300, 0.1], dtype=torch.float64).view(4, 1, 1, 1)
    metric = ALL[function](keep=keep)
    metric.update(cnn(), images, 1, attribution)
    assert (metric.compute(), metric.constant, metric.count) == (0, 4, 4)


@pytest.mark.parametrize("function", ALL)
def test_of_a_model_that_ignores_its_input_nothing_changes(function, batch):
    images, attribution = batch()
    assert torch.equal(function(Constant(), images, 1, attribution), torch.zeros(4, dtype=torch.float64))


def test_the_same_image_in_another_batch_is_no_increase(batch):
    class Noisy(nn.Module):
        """Rounds otherwise the second time."""

        calls = 0

        def forward(self, inputs):
            self.calls += 1
            return torch.tensor([[0.0, 1.0 + self.calls * 1e-7]], dtype=inputs.dtype).expand(len(inputs), 2)

    images, _ = batch()
    assert not average_increase(Noisy(), images, 1, torch.ones(4, 6, 6)).any()


def test_the_three_share_their_passes(cnn, counting, batch):
    images, attribution = batch()
    model = counting(cnn())
    evaluation = Evaluation(model, images)
    for cls in ALL.values():
        cls().update(model, images, None, attribution, evaluation)
    AverageDrop(relative=False).update(model, images, None, attribution, evaluation)
    assert model.samples == 4 * 2
    AverageDrop(keep=0.5).update(model, images, None, attribution, evaluation)
    assert model.samples == 4 * 3


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("max_batch", [1, 3, 100])
def test_chunks_and_company_change_nothing(function, max_batch, cnn, counting, batch):
    images, attribution = batch()
    expected = function(cnn(), images, 1, attribution)
    model = counting(cnn())
    found = function(model, images, 1, attribution, max_batch=max_batch)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert model.samples == 4 * ALL[function]().passes.forward
    torch.testing.assert_close(function(cnn(), images[:1], 1, attribution[:1]), expected[:1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("shape", [(2, 6), (2, 5, 3)])
def test_other_inputs(function, shape):
    model = nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * (shape[2] if len(shape) > 2 else 1), 3))
    assert function(model, torch.rand(shape), None, torch.randn(shape)).isfinite().all()


@pytest.mark.parametrize("scale", [1e-38, 1.0, 3e38])
def test_mask_is_in_the_unit_interval_whatever_the_scale(scale):
    net = Recorder(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
    average_drop(net, torch.ones(1, 1, 2, 2), 1, torch.tensor([[[-1.0, 0.0], [0.5, 1.0]]]) * scale)
    torch.testing.assert_close(net.points[1].flatten(), torch.tensor([0, 0.5, 0.75, 1]))


@pytest.mark.parametrize("cls", ALL.values())
def test_what_is_not_finite_is_counted(cls, batch):
    class Broken(nn.Module):
        def forward(self, inputs):
            dark = inputs.flatten(1).mean(1) < 0.2
            return inputs.flatten(1)[:, :3].masked_fill(dark[:, None], torch.nan)

    images, attribution = batch()
    attribution[0, 0, 0, 0] = torch.nan
    images[1] *= 0.25  # dark as it is
    images[2] = 1.0
    attribution[2], attribution[2, :, 0, 0] = 0.0, 1.0  # dark when it is masked
    attribution[3] = 0.0
    metric = cls()
    metric.update(Broken(), images, 0, attribution)
    assert (metric.count, metric.invalid, metric.undefined) == (1, 3, 0)


def test_directions():
    assert [cls.higher_is_better for cls in ALL.values()] == [False, True, True]


@pytest.mark.parametrize("cls", ALL.values())
def test_settings_are_checked_and_told(cls):
    for keep in (0, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"`keep` must be in \(0, 1\], or None for the soft mask"):
            cls(keep=keep)
    with pytest.raises(ValueError, match="`fill` is 'grey'"):
        cls(fill="grey")
    metrics = [cls(), cls(keep=0.5), cls(fill="mean"), cls(fill=torch.zeros_like), cls(fill=torch.ones_like)]
    assert len({tuple(metric._cfg.tolist()) for metric in metrics}) == 5


@pytest.mark.parametrize("cls", ALL.values())
def test_a_network_as_fill_is_not_registered(cls):
    assert len(list(cls(fill=nn.Conv2d(3, 3, 3)).modules())) == 1

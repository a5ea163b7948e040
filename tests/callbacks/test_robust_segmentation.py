"""Mean IoU under attack against a plain loop; training is not touched."""

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from _reference.foreign import trainer
from lit_attr.callbacks import SegmentationRobustnessCallback

IMAGES = torch.rand(7, 3, 10, 12, generator=torch.Generator().manual_seed(0))
MASKS = (IMAGES.mean(1) > 0.5).long() + (IMAGES[:, 0] > 0.8).long()
MASKS[:, 0] = 255
MASKS[3] = 255  # nothing that counts


class Dense(L.LightningModule):
    """A segmenter that knows nothing of lit_attr."""

    num_classes, ignore_index = 3, 255

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, stride=2), nn.ReLU(), nn.Conv2d(8, 3, 1))

    def forward(self, images):
        return {"out": self.net(images)}

    def training_step(self, batch, index):
        images, masks = batch
        logits = F.interpolate(self(images)["out"], masks.shape[1:], mode="bilinear")
        return F.cross_entropy(logits, masks, ignore_index=255)

    def validation_step(self, batch, index):
        pass

    def test_step(self, batch, index):
        pass

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def loader():
    kept = [0, 1, 2, 4, 5, 6]
    return DataLoader(TensorDataset(IMAGES[kept], MASKS[kept]), batch_size=2)


def with_an_empty_mask():
    return DataLoader(TensorDataset(IMAGES, MASKS), batch_size=2)


def logits_of(module, images):
    return F.interpolate(module(images)["out"], (10, 12), mode="bilinear")


def attacked(module, eps, alpha, steps):
    point, labels = IMAGES.clone(), MASKS.clone()
    for _ in range(steps):
        point.requires_grad_()
        loss = F.cross_entropy(logits_of(module, point), labels, ignore_index=255)
        moved = point.detach() + alpha * torch.autograd.grad(loss, point)[0].sign()
        point = (IMAGES + (moved - IMAGES).clamp(-eps, eps)).clamp(0, 1)
    return point


def miou(module, images):
    predicted, counts, found = logits_of(module, images).argmax(1), MASKS != 255, []
    for k in range(3):
        both = ((predicted == k) & (k == MASKS) & counts).sum()
        either = (((predicted == k) | (k == MASKS)) & counts).sum()
        if either:
            found.append(float(both / either))
    return sum(found) / len(found)


def test_against_a_plain_loop(tmp_path, capsys):
    module = Dense()
    callback = SegmentationRobustnessCallback(
        {"bim": {"eps": "8/255", "alpha": "2/255", "steps": 4}}, eps=["2/255"], test_attacks=["fgsm"]
    )
    run = trainer(tmp_path, callback)
    (found,) = run.validate(module, with_an_empty_mask(), verbose=False)
    assert found["robust/clean"] == pytest.approx(miou(module, IMAGES), abs=1e-6)
    for eps in (2, 8):
        expected = miou(module, attacked(module, eps / 255, eps / 4 / 255, 4))
        assert found[f"robust/bim/{eps}_255"] == pytest.approx(expected, abs=1e-6)
    assert found["robust/bim/8_255"] < found["robust/bim/2_255"] < found["robust/clean"]
    assert "Mean IoU under attack" in capsys.readouterr().out
    (tested,) = run.test(module, with_an_empty_mask(), verbose=False)
    assert set(tested) == {"robust/clean", "robust/fgsm/8_255", "robust/fgsm/2_255"}


def test_an_image_that_is_not_finite_is_left_out(tmp_path):
    def scores(images, masks):
        callback = SegmentationRobustnessCallback({"bim": {"steps": 2}})
        loader = DataLoader(TensorDataset(images, masks), batch_size=2)
        return trainer(tmp_path, callback).validate(Dense(), loader, verbose=False)[0]

    broken = IMAGES[:3].clone()
    broken[1, 0, 4, 4] = torch.nan
    with pytest.warns(UserWarning, match=r"samples \[1\] of the validation set have NaN or infinity"):
        found = scores(broken, MASKS[:3])
    assert found == pytest.approx(scores(IMAGES[[0, 2]], MASKS[[0, 2]]))


def test_numbers_of_a_test_are_not_those_of_a_validation(tmp_path, capsys):
    callback = SegmentationRobustnessCallback(
        {"one_step": {"class": "fgsm", "eps": "8/255"}}, num_samples=2, test_attacks=["bim"]
    )
    run = trainer(tmp_path, callback)
    run.validate(Dense(), loader(), verbose=False)
    assert "one_step 8/255" in capsys.readouterr().out
    run.test(Dense(), loader(), verbose=False)
    shown = capsys.readouterr().out
    assert "bim 8/255" in shown
    assert "one_step" not in shown
    assert set(callback.state_dict()["last"]) == {"robust/clean", "robust/one_step/8_255"}


def test_training_is_not_touched(tmp_path):
    weights = []
    for callbacks in ([], [SegmentationRobustnessCallback(num_samples=3)]):
        module = Dense()
        trainer(tmp_path, *callbacks, max_epochs=2).fit(module, loader(), loader())
        weights.append(torch.cat([p.flatten() for p in module.parameters()]).detach())
    assert torch.equal(*weights)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attacks": ["pdg"]}, "unknown attack 'pdg'"),
        ({"attacks": []}, "`attacks` must be at least one attack"),
        ({"num_samples": 0}, "`num_samples` must be a positive integer"),
        ({"every_n_epochs": 0}, "`every_n_epochs` must be a positive integer"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        SegmentationRobustnessCallback(**settings)


def test_a_module_must_say_how_many_classes_it_has(tmp_path):
    module = Dense()
    module.num_classes = None
    with pytest.raises(ValueError, match="`model` must be a module with `num_classes`"):
        trainer(tmp_path, SegmentationRobustnessCallback()).validate(module, loader(), verbose=False)

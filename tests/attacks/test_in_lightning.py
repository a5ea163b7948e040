"""Attacks inside Lightning's loops (traps 10 to 12): in all four, in mixed precision, with gradients accumulated."""

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from _reference.foreign import trainer
from _reference.nets import cnn
from lit_attr.attacks import CW, PGD, get_attack

X = torch.rand(8, 3, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.randint(3, (8,), generator=torch.Generator().manual_seed(1))
ATTACKS = [
    PGD(steps=2),
    CW(c=50.0, steps=5, lr=0.3),
    get_attack("DeepFool", steps=5),
    get_attack("VMIFGSM", steps=2, N=2),
]


class Attacked(L.LightningModule):
    """A classifier that attacks itself in every loop; learns from clean images if told so."""

    def __init__(self, attack, *, learn_from_it=True):
        super().__init__()
        torch.manual_seed(0)
        self.net, self.attack, self.learn_from_it = cnn(dtype=torch.float32).train(), attack, learn_from_it
        self.net[3].p = 0.0
        self.seen = []

    def forward(self, images):
        return self.net(images)

    def _adversarial(self, images, labels):
        found = self.attack(self, images, labels)
        self.seen.append((found - images).abs().max())
        return found

    def training_step(self, batch, index):
        images, labels = batch
        found = self._adversarial(images, labels)
        return F.cross_entropy(self(found if self.learn_from_it else images), labels)

    def validation_step(self, batch, index):
        self._adversarial(*batch)

    def test_step(self, batch, index):
        self._adversarial(*batch)

    def predict_step(self, batch, index):
        return self._adversarial(*batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def loader():
    return DataLoader(TensorDataset(X, Y), batch_size=4)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: type(attack).__name__)
@pytest.mark.parametrize("settings", [{}, {"inference_mode": False}, {"precision": "bf16-mixed"}], ids=str)
def test_in_all_loops(tmp_path, attack, settings):
    module, run = Attacked(attack), trainer(tmp_path, max_epochs=1, **settings)
    run.fit(module, loader(), loader())
    for loop in (run.validate, run.test, run.predict):
        loop(module, loader())
    assert len(module.seen) >= 8
    moved = torch.stack(module.seen)
    assert bool(torch.isfinite(moved).all())
    assert float(moved.max()) > 1e-3


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: type(attack).__name__)
def test_accumulated_gradients_are_those_of_training_alone(tmp_path, attack):
    """An attack between two batches adds nothing to the gradient, and nothing to running statistics."""
    weights = []
    for each in (attack, lambda model, images, labels: images):
        module = Attacked(each, learn_from_it=False)
        trainer(tmp_path, max_epochs=2, accumulate_grad_batches=2).fit(module, loader(), loader())
        weights.append(torch.cat([value.flatten().float() for value in module.state_dict().values()]))
    assert torch.equal(*weights)

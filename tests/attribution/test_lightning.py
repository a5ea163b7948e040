"""Methods called by hand inside a LightningModule, without our callbacks, in every loop that Lightning has."""

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from _reference.methods import ALL, build
from _reference.nets import cnn

# The data is four batches: more workers would cost more than they bring.
pytestmark = pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")


class Explaining(L.LightningModule):
    """Explains the batch with every method of `methods`, in the middle of each kind of step."""

    def __init__(self, methods):
        super().__init__()
        self.net = cnn(dtype=torch.float32).train()
        self.methods = [build(name) for name in methods]
        self.found = {}

    def forward(self, images):
        return self.net(images)

    def explain(self, stage, images, labels):
        self.found[stage] = (images.is_inference(), [method(self, images, labels) for method in self.methods])

    def training_step(self, batch, batch_idx):
        images, labels = batch
        logits = self(images + 0.1 * torch.randn_like(images))
        self.explain("fit", images, labels)
        return F.cross_entropy(logits, labels)

    def validation_step(self, batch, batch_idx):
        self.explain("validate", *batch)

    def test_step(self, batch, batch_idx):
        self.explain("test", *batch)

    def predict_step(self, batch, batch_idx):
        self.explain("predict", *batch)
        return self(batch[0])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def loader():
    generator = torch.Generator().manual_seed(0)
    images, labels = torch.rand(16, 3, 8, 8, generator=generator), torch.randint(3, (16,), generator=generator)
    return DataLoader(TensorDataset(images, labels), batch_size=4)


def trainer(**settings):
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return L.Trainer(accelerator="cpu", devices=1, max_epochs=2, **quiet, **settings)


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
@pytest.mark.parametrize("inference_mode", [True, False])
def test_evaluation_loops(stage, inference_mode):
    """Complaint 1. In these loops the batch is an inference tensor."""
    module = Explaining(ALL)
    getattr(trainer(inference_mode=inference_mode), stage)(module, loader())
    was_inference, found = module.found[stage]
    assert was_inference is inference_mode
    *_, (images, labels) = loader()
    for method, attribution in zip(module.methods, found, strict=True):
        torch.testing.assert_close(attribution, method(module.net, images, labels))


def trained(methods):
    """The weights, buffers and the next random number after training with validation in the middle of an epoch."""
    torch.manual_seed(0)
    module = Explaining(methods)
    fit = trainer(accumulate_grad_batches=2, val_check_interval=3, limit_val_batches=1)
    fit.fit(module, loader(), loader())
    return module, [*module.state_dict().values(), torch.rand(3)]


def test_training_is_the_same_to_the_bit():
    """Complaint 2: with explanations between forward and backward and in validation amid accumulated gradients."""
    module, explained = trained(ALL)
    assert {"fit", "validate"} <= set(module.found)
    _, alone = trained([])
    for found, expected in zip(explained, alone, strict=True):
        assert torch.equal(found, expected)

"""The segmenter: its loss and scores by definition, sizes, its recipe, and what it refuses."""

import lightning as L
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from _reference.foreign import trainer
from lit_attr.datamodules import SegmentationDataModule
from lit_attr.modules import Segmenter
from lit_attr.modules.segmentation_scores import SegmentationScores

pytestmark = pytest.mark.filterwarnings("ignore:You defined a `validation_step` but have no `val_dataloader`")


class Net(nn.Module):
    """Gives logits at half the size, and a second head where it is asked for."""

    def __init__(self, num_classes=3, channels=3, second=False, kind=dict):
        super().__init__()
        self.body = nn.Conv2d(channels, 4, 3, stride=2, padding=1)
        self.classifier = nn.Conv2d(4, num_classes, 1)
        self.aux_classifier = nn.Conv2d(4, num_classes, 1) if second else None
        self.kind = kind

    def forward(self, x):
        features = self.body(x)
        found = {"out": self.classifier(features)}
        if self.aux_classifier is not None:
            found["aux"] = self.aux_classifier(features)
        return found if self.kind is dict else found["out"]


class Given(nn.Module):
    """The first channels of its input as logits."""

    def __init__(self, num_classes):
        super().__init__()
        self.num_classes, self.unused = num_classes, nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x[:, : self.num_classes]


def given(classes=3):
    """A segmenter whose images are its logits."""
    return Segmenter(Given(classes), classes, mean=[0.0] * classes, std=[1.0] * classes)


def small(**settings):
    return Segmenter(**{"model": Net(), "num_classes": 3, **settings})


def batch(count=4, classes=3, height=8, width=12, size=None):
    images = torch.rand(count, 3, height, width)
    masks = torch.randint(0, classes, (count, *(size or (height, width))))
    masks[torch.rand(masks.shape) < 0.2] = 255
    return images, masks


def loader(*tensors, size=2):
    return DataLoader(TensorDataset(*tensors), batch_size=size)


def step_loss(module, images, masks):
    module.log = lambda *_, **__: None
    return module.training_step((images, masks), 0)


def validated(tmp_path, module, *tensors, size=2, **settings):
    (logged,) = trainer(tmp_path, **settings).validate(module, loader(*tensors, size=size), verbose=False)
    return logged


# ---- sizes


@pytest.mark.parametrize("kind", [dict, torch.Tensor])
def test_logits_have_the_size_of_the_images(kind):
    net = Net(kind=kind)
    module = small(model=net, mean=[0.3] * 3, std=[0.2] * 3)
    images, _ = batch()
    output = net((images - 0.3) / 0.2)
    inner = output["out"] if kind is dict else output
    assert inner.shape == (4, 3, 4, 6)
    expected = F.interpolate(inner, (8, 12), mode="bilinear", align_corners=False)
    torch.testing.assert_close(module(images), expected)


def test_resizing_does_not_move_a_mirrored_image():
    """Nor does a constant change: the border gets no values of its own."""
    module = given()
    logits = torch.rand(1, 3, 5, 7)
    there = module._logits(logits.flip(3), (16, 9))
    torch.testing.assert_close(there.flip(3), module._logits(logits, (16, 9)))
    assert (module._logits(torch.ones(1, 3, 5, 7), (16, 9)) == 1).all()


def test_masks_of_another_size_are_left_as_they_are(tmp_path):
    """Logits are resized once, from the network's own size to the masks'."""
    net = Net()
    module = small(model=net)
    images, masks = batch(size=(17, 20))
    logits = F.interpolate(net(module.normalize(images))["out"], (17, 20), mode="bilinear", align_corners=False)
    scores = SegmentationScores(3)
    scores.update(logits, masks)
    assert validated(tmp_path, module, images, masks)["val/miou"] == pytest.approx(float(scores.compute().miou))
    torch.testing.assert_close(step_loss(module, images, masks), F.cross_entropy(logits, masks, ignore_index=255))


def test_wrong_number_of_classes():
    with pytest.raises(
        ValueError, match=r"`model output` must be logits \[B, 5, h, w\], as `num_classes` says, got shape"
    ):
        Segmenter(Net(3), num_classes=5)(torch.rand(1, 3, 8, 8))


# ---- loss


def test_loss_is_the_mean_over_counted_pixels():
    module = small()
    images, masks = batch()
    chosen = masks != 255
    logp = module(images).log_softmax(1).permute(0, 2, 3, 1)[chosen]
    expected = -logp.gather(1, masks[chosen][:, None]).mean()
    torch.testing.assert_close(step_loss(module, images, masks), expected)


@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
def test_second_head(weight):
    net = Net(second=True)
    module = small(model=net, aux_weight=weight)
    images, masks = batch()
    output = net(module.normalize(images))
    losses = [
        F.cross_entropy(F.interpolate(output[key], (8, 12), mode="bilinear"), masks, ignore_index=255)
        for key in ("out", "aux")
    ]
    torch.testing.assert_close(step_loss(module, images, masks), losses[0] + weight * losses[1])


def test_named_networks_have_a_second_head_only_where_it_is_trained():
    build = {"model": "deeplabv3_mobilenet_v3_large", "num_classes": 2}
    with torch.device("meta"):
        assert Segmenter(**build).model.aux_classifier is not None
        assert Segmenter(**build, aux_weight=0.0).model.aux_classifier is None


def test_a_batch_without_a_counted_pixel_changes_nothing(tmp_path):
    module = small()
    images, masks = batch()
    loss = step_loss(module, images, torch.full_like(masks, 255))
    loss.backward()
    assert loss == 0
    assert all(p.grad is None or not p.grad.any() for p in module.parameters())


def test_another_ignored_label(tmp_path):
    images, masks = batch()
    one, other = small(), small(ignore_index=-100)
    other.load_state_dict(one.state_dict())
    elsewhere = torch.where(masks == 255, -100, masks)
    torch.testing.assert_close(step_loss(other, images, elsewhere), step_loss(one, images, masks))


# ---- scores


@pytest.mark.parametrize("stage", ["validate", "test"])
@pytest.mark.parametrize("size", [1, 3, 5])
def test_logged_scores_do_not_depend_on_batches(tmp_path, stage, size):
    images, masks = batch(count=5, classes=2)  # of 3
    masks[3] = 255  # nothing of this one counts
    module = given()
    data = loader(images, masks, size=size)
    (logged,) = getattr(trainer(tmp_path), stage)(module, data, verbose=False)
    prediction, chosen = images.argmax(1), masks != 255
    iou = [
        float(((prediction == k) & (masks == k))[chosen].sum() / ((prediction == k) | (masks == k))[chosen].sum())
        for k in range(3)
    ]
    prefix = {"validate": "val", "test": "test"}[stage]
    assert logged == pytest.approx(
        {
            f"{prefix}/loss": float(F.cross_entropy(images, masks, ignore_index=255)),
            f"{prefix}/miou": sum(iou) / 3,
            f"{prefix}/pixel_accuracy": float((prediction == masks)[chosen].float().mean()),
            **{f"{prefix}/iou/{k}": value for k, value in enumerate(iou)},
        },
        abs=1e-6,
    )


def test_a_third_part_of_the_batch_is_left_alone(tmp_path):
    images, masks = batch()
    cause = torch.rand(masks.shape) < 0.5
    assert validated(tmp_path, given(), images, masks, cause) == validated(tmp_path, given(), images, masks)


def test_every_validation_counts_anew(tmp_path):
    images, masks = batch()
    module = given()
    first = validated(tmp_path, module, images, masks)
    assert validated(tmp_path, module, images, masks) == first
    module.val_scores.update(torch.rand(4, 3, 8, 12), masks)  # as a run leaves it that was stopped on the way
    assert validated(tmp_path, module, images, masks) == first


def test_classes_are_logged_by_their_names(tmp_path):
    data = SegmentationDataModule("scenes", batch_size=64)
    (logged,) = trainer(tmp_path, limit_val_batches=1).validate(small(), data, verbose=False)
    assert {name for name in logged if name.startswith("val/iou/")} == {f"val/iou/{name}" for name in data.class_names}


def test_labels_that_are_no_classes_are_refused_in_evaluation(tmp_path):
    images, masks = batch()
    masks[0, 0, 0] = 3
    with pytest.raises(ValueError, match=r"`masks` must be a class index in 0\.\.2, got 3"):
        validated(tmp_path, small(), images, masks)


def test_prediction():
    images, _ = batch()
    module = given()
    for given_batch in (images, (images, None)):
        found = module.predict_step(given_batch, 0)
        assert torch.equal(found["prediction"], images.argmax(1))
        torch.testing.assert_close(found["confidence"], images.softmax(1).amax(1))


# ---- settings, data and checkpoints


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_classes": 1}, "`num_classes` must be at least 2, got 1"),
        ({"aux_weight": -0.5}, "`aux_weight` must be a number of at least 0, got -0.5"),
        ({"lr": -1.0}, "`lr` must be a number of at least 0, got -1.0"),
        ({"weight_decay": -1.0}, "`weight_decay` must be a number of at least 0, got -1.0"),
        ({"ignore_index": 2}, r"`ignore_index` must be an integer that is no class \(0\.\.2\), got 2"),
        ({"weights": "x.pt"}, "`weights` must be None for a `model` that is not one of the named networks"),
        ({"weights_backbone": "DEFAULT"}, "`weights_backbone` must be None for a `model` that is not one of the named"),
        ({"model": "unet"}, "unknown model 'unet'; accepted: "),
    ],
)
def test_wrong_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        small(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"num_classes": 4, "model": Net(4)},
            "the model has num_classes = 4, the data 3; set `num_classes` of the model",
        ),
        ({"ignore_index": -1}, "the model has ignore_index = -1, the data 255; set `ignore_index` of the model"),
        ({"model": Net(channels=1), "mean": [0.5], "std": [0.5]}, "the model has channels = 1, the data 3"),
    ],
)
def test_data_that_does_not_fit(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        trainer(tmp_path).validate(small(**settings), SegmentationDataModule("scenes"), verbose=False)


def test_checkpoint_of_a_named_network(tmp_path):
    module = Segmenter("small_segmenter", 3, ignore_index=-1, lr=0.1)
    fitter = trainer(tmp_path, max_steps=1)
    images, masks = batch()
    fitter.fit(module, loader(images, masks.clamp(max=2)))
    fitter.save_checkpoint(tmp_path / "x.ckpt")
    stored = torch.load(tmp_path / "x.ckpt", weights_only=True)["hyper_parameters"]
    assert (stored["model"], stored["weights"], stored["weights_backbone"]) == ("small_segmenter", None, None)
    loaded = Segmenter.load_from_checkpoint(tmp_path / "x.ckpt", weights_only=True)
    assert dict(loaded.hparams) == stored
    assert torch.equal(loaded.eval()(images), module.eval()(images))


# ---- optimiser


def test_recipe_of_torchvision(tmp_path):
    """SGD with momentum, ten times the rate for the second head, (1 - step / steps)^0.9 in every step."""
    module = small(model=Net(second=True), lr=0.1, weight_decay=0.25)
    rates = []

    class Watch(L.Callback):
        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            rates.append([group["lr"] for group in optimizer.param_groups])

    fitter = trainer(tmp_path, Watch(), max_epochs=2)
    fitter.fit(module, loader(*batch(count=8)))
    expected = [0.1 * (1 - step / 8) ** 0.9 for step in range(8)]
    assert [rate for rate, _ in rates] == pytest.approx(expected)
    assert [rate for _, rate in rates] == pytest.approx([10 * rate for rate in expected])
    (optimizer,) = fitter.optimizers
    assert isinstance(optimizer, torch.optim.SGD)
    assert {(group["momentum"], group["weight_decay"]) for group in optimizer.param_groups} == {(0.9, 0.25)}
    assert [len(group["params"]) for group in optimizer.param_groups] == [4, 2]


def test_without_an_end_there_is_no_schedule(tmp_path):
    module = small()
    module.trainer = trainer(tmp_path, max_epochs=-1, max_steps=-1)
    module.trainer.strategy.connect(module)
    module.trainer.fit_loop._data_source.instance = loader(*batch())
    assert isinstance(module.configure_optimizers(), torch.optim.SGD)


def test_training_fits_a_scene(tmp_path):
    data = SegmentationDataModule("scenes", batch_size=8)
    data.setup("fit")
    images, masks = next(iter(data.train_dataloader()))
    module = Segmenter("small_segmenter", 3, lr=0.1)
    before = float(step_loss(module, images, masks).detach())
    del module.log
    trainer(tmp_path, max_epochs=30).fit(module, loader(images, masks, size=8))
    assert float(step_loss(module, images, masks).detach()) < before / 10

"""One line: what was wrong, and what is accepted."""

import pytest

from _reference.command import prepare, refused
from lit_attr.cli import main


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    prepare(monkeypatch, tmp_path)


@pytest.mark.parametrize(
    ("options", "beginning", "end"),
    [
        (
            "--data.datset digits",
            "`data`: lit_attr.datamodules.ImageDataModule has no setting 'datset'",
            "did you mean 'dataset'?",
        ),
        ("--data.dataset digts", "`dataset` is 'digts'; accepted: cifar10, ", "did you mean 'digits'?"),
        ("--data.batch_size x", "`data.batch_size` must be an integer, got x", ""),
        ("--data.augment.crop pads", "`data.augment.crop` must be 'none' or 'pad' or 'resized', got pads", ""),
        (
            "--data.augment.flp 1",
            "lit_attr.datamodules.ImageDataModule has no setting 'augment.flp'",
            "did you mean 'flip'?",
        ),
        ("--model Clasifier", "`model`: no LightningModule 'Clasifier'; accepted: ", "or its import path"),
        (
            "--model.model resnet181",
            "unknown model 'resnet181'; accepted: resnet18, ",
            "or the import path of a module",
        ),
        (
            "--model.num_clases 3",
            "`model`: lit_attr.modules.Classifier has no setting 'num_clases'",
            "did you mean 'num_classes'?",
        ),
        ("--trainer.max_epochs abc", "`trainer.max_epochs` must be an integer, got abc", ""),
        (
            "--trainer.max_epoch 3",
            "unknown setting 'trainer.max_epoch'; accepted: trainer.max_epochs, ",
            "did you mean 'trainer.max_epochs'?",
        ),
        ("--explanations.num_samples 0", "`num_samples` must be a positive integer, got 0", ""),
        ("--explanations.methods [igg]", "unknown method 'igg'; accepted: fast_ig, ", "did you mean 'ig'?"),
        ("--optimizer Adm", "`optimizer`: no Optimizer 'Adm'; accepted: ", "or its import path"),
        ("--checkpoint.mode maxx", "`mode` can be ", "got maxx"),
    ],
)
def test_wrong_keys_classes_and_values(capsys, options, beginning, end):
    line = refused(capsys, "fit", *options.split())
    assert line.startswith(beginning)
    assert line.endswith(end)


def test_config_files(tmp_path, capsys):
    assert "nofile.yaml" in refused(capsys, "fit", "--config", "nofile.yaml")
    (tmp_path / "bad.yaml").write_text("model: {init_args: {modl: x}}")
    assert "has no setting 'modl'" in refused(capsys, "fit", "--config", "bad.yaml")


def test_debugging_gets_the_whole_story(monkeypatch):
    monkeypatch.setenv("JSONARGPARSE_DEBUG", "true")
    with pytest.raises(Exception, match="Expected a <class 'int'>"):
        main(["fit", "--trainer.max_epochs", "abc"])

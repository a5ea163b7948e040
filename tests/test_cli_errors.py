"""What the command says about wrong input: one line, to the letter."""

import pytest
import wandb

from _reference.command import prepare, refused
from lit_attr import _cli_errors
from lit_attr.cli import Parser, main

CLASSIFIER = "lit_attr.modules.Classifier"
OF_CLASSIFIER = (
    "accepted: adversarial, cutmix, label_smoothing, lr, mean, mixup, model, num_classes, std, weight_decay, weights"
)
OF_EXPLANATIONS = ["at_test", "confidence_edges", "every_n_epochs", "methods", "metrics", "name"]
OF_EXPLANATIONS += ["num_images", "num_samples", "regions", "seed", "target"]
EARLY = "lightning.pytorch.callbacks.EarlyStopping"


@pytest.fixture(autouse=True)
def apart(tmp_path, monkeypatch):
    prepare(monkeypatch, tmp_path)
    yield
    wandb.finish()  # the default's logger has started a disabled run where the line comes late


@pytest.mark.parametrize(
    ("args", "line"),
    [
        # keys: unknown, misspelt, abbreviated
        (
            "--explanations.num_sampels 3",
            "unknown setting 'explanations.num_sampels'; accepted: "
            + ", ".join(f"explanations.{name}" for name in OF_EXPLANATIONS)
            + "; did you mean 'explanations.num_samples'?",
        ),
        (
            "--explanations.num_sam 3",
            "unknown setting 'explanations.num_sam'; accepted: "
            + ", ".join(f"explanations.{name}" for name in OF_EXPLANATIONS)
            + "; did you mean 'explanations.num_samples'?",
        ),
        (
            "--model.label_smooth 0.1",
            f"`model`: {CLASSIFIER} has no setting 'label_smooth'; {OF_CLASSIFIER}; did you mean 'label_smoothing'?",
        ),
        (
            "--model.init_args.modl resnet18",
            f"`model`: {CLASSIFIER} has no setting 'modl'; {OF_CLASSIFIER}; did you mean 'model'?",
        ),
        (
            "--data.augment.flop 0.5",
            "lit_attr.datamodules.ImageDataModule has no setting 'augment.flop'; "
            "accepted: crop, erasing, flip, policy; did you mean 'flip'?",
        ),
        (
            "--optimizer SGD --lr_scheduler CosineAnnealingLR --lr_scheduler.T_mx 3",
            "`lr_scheduler`: torch.optim.lr_scheduler.CosineAnnealingLR has no setting 'T_mx'; "
            "accepted: T_max, eta_min, last_epoch; did you mean 'T_max'?",
        ),
        ("extra", "unrecognized arguments: extra"),
        # values
        ("--trainer.max_epochs many", "`trainer.max_epochs` must be an integer, got many"),
        ("--trainer.limit_val_batches half", "`trainer.limit_val_batches` must be an integer or a number, got half"),
        ("--model.label_smoothing x", "`model.label_smoothing` must be a number, got x"),
        ("--model.label_smoothing 2", "`label_smoothing` must be in [0, 1), got 2.0"),
        ("--model.mean 0.5", "`model.mean` must be a list, got 0.5"),
        ("--model.mean [a]", "`model.mean` must be a number, got a"),
        ("--model.num_classes 2.5", "`model.num_classes` must be an integer, got 2.5"),
        ("--model.num_classes null", f"`model`: {CLASSIFIER} needs a value for num_classes"),
        (
            "--model.weights none.pt",
            "`weights` is 'none.pt', neither a file nor weights of cifar_resnet8 (known: none published)",
        ),
        ("--data.augment.flip x", "`data.augment.flip` must be a number, got x"),
        ("--data.batch_size 0", "`batch_size` must be a positive integer, got 0"),
        (
            "--data.dataset cifr",
            "`dataset` is 'cifr'; accepted: cifar10, cifar100, digits, fashion_mnist, folder, imagenet, mnist; "
            "did you mean 'cifar10'?",
        ),
        ("--data.augment.crop pads", "`data.augment.crop` must be 'none' or 'pad' or 'resized', got pads"),
        ("--explanations.target labels", "`explanations.target` must be 'predicted' or 'label', got labels"),
        ("--explanations.num_samples 0", "`num_samples` must be a positive integer, got 0"),
        ("--explanations.methods 3", "`explanations.methods` must be 'auto' or a list or a mapping, got 3"),
        ("--optimizer Adam --optimizer.lr fast", "`optimizer.lr` must be a number, got fast"),
        ("--optimizer Adam --optimizer.lr -1", "Invalid learning rate: -1.0"),
        ("--seed_everything x", "`seed_everything` must be true or false or an integer, got x"),
        ("--seed_everything -5", "-5 is not in bounds, numpy accepts from 0 to 4294967295"),
        (
            "--trainer.max_time 3",
            "`Timer(duration='3')` is not a valid duration. Expected a string in the format DD:HH:MM:SS.",
        ),
        # classes
        ("--model foo.Bar", "`model`: No module named 'foo'"),
        ("--model torch.nn.Linear", "`model`: torch.nn.Linear is no LightningModule"),
        (
            "--model lit_attr.modules.Clasifier",
            "`model`: module 'lit_attr.modules' has no attribute 'Clasifier'",
        ),
        ("--trainer.callbacks+=EarlyStopping", f"`trainer.callbacks`: {EARLY} needs a value for monitor"),
        (
            "--trainer.callbacks+=EarlyStopping --trainer.callbacks.monitor=x --trainer.callbacks.patience=x",
            "`trainer.callbacks.patience` must be an integer, got x",
        ),
        (
            "--trainer.logger WandbLogger",
            "`trainer.logger`: Multiple subclasses with name WandbLogger. Give the full class path to avoid ambiguity: "
            "lightning.pytorch.loggers.WandbLogger, lit_attr.loggers.WandbLogger.",
        ),
        # methods and metrics
        (
            "--writer.method {class:,ig,stepz:,3}",
            "method 'ig' has no setting 'stepz'; accepted: baseline, max_batch, objective, preset, rule, steps; "
            "did you mean 'steps'?",
        ),
        # what Lightning would find out late, or not at all
        ("--ckpt_path none.ckpt", "`ckpt_path`: there is no file 'none.ckpt'"),
        ("--ckpt_path best", "`ckpt_path` is 'best', which only the process that trained can know; give the file"),
        (
            "--lr_scheduler StepLR --lr_scheduler.step_size 3",
            "`lr_scheduler` has no effect without an `optimizer`; give both",
        ),
        (
            "--model.num_classes 5",
            "the model has num_classes = 5, the data 10; set `num_classes` of the model to fit the data",
        ),
    ],
)
def test_one_line(capsys, args, line):
    args = [arg.replace(":,", ": ").replace(",s", ", s") if arg.startswith("{") else arg for arg in args.split()]
    assert refused(capsys, "fit", *args) == line


@pytest.mark.parametrize(
    ("args", "start", "end"),
    [
        (
            "--trainer.max_epoch 1",
            "unknown setting 'trainer.max_epoch'; accepted: trainer.max_epochs, trainer.min_epochs, ",
            " more; did you mean 'trainer.max_epochs'?",
        ),
        ("--max_epochs 1", "unknown setting 'max_epochs'; accepted: ", "did you mean 'trainer.max_epochs'?"),
        ("--print_c", "unknown setting 'print_c'; accepted: ", "did you mean 'print_config'?"),
        ("--model.model resnet19", "unknown model 'resnet19'; ", "'resnet18'?; or the import path of a module"),
        ("--trainer.logger Foo", "`trainer.logger`: no Logger 'Foo'; accepted: CSVLogger, ", "; or its import path"),
        (  # and whatever other modules are imported
            "--model Classifer",
            "`model`: no LightningModule 'Classifer'; accepted: ",
            "; did you mean 'Classifier'?; or its import path",
        ),
        ("--optimizer Adm", "`optimizer`: no Optimizer 'Adm'; accepted: ASGD, ", "'Adam'?; or its import path"),
        ("--trainer.callbacks foo", "`trainer.callbacks`: no Callback 'foo'; accepted: ", "; or its import path"),
        (
            "--trainer.callbacks+=EarlyStopping --trainer.callbacks.monitr=x",
            f"`trainer.callbacks`: {EARLY} has no setting 'monitr'; accepted: ",
            "did you mean 'monitor'?",
        ),
        ("--explanations.methods [igg]", "unknown method 'igg'; accepted: ", "; did you mean 'ig'?"),
        ("--writer.method igg", "unknown method 'igg'; accepted: ", "; did you mean 'ig'?"),
        ("--checkpoint.mode maxx", "`mode` can be ", " but got maxx"),
        ("--trainer.precision 17", "`trainer.precision` must be 64 or 32 or ", ", got 17"),
        ("--trainer.accelerator gpuu", "You selected an invalid accelerator name: `accelerator='gpuu'`. ", ""),
        ("--trainer.strategy ddpx", "You selected an invalid strategy name: `strategy='ddpx'`. ", ""),
    ],
)
def test_one_line_with_long_lists(capsys, args, start, end):
    line = refused(capsys, "fit", *args.split())
    assert line.startswith(start)
    assert line.endswith(end)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("modell: 3", "unknown setting 'modell'; accepted: model, "),
        ("trainer: {max_epoch: 1}", "unknown setting 'trainer.max_epoch'; accepted: trainer.max_epochs, "),
        ("trainer: {max_epochs: many}", "`trainer.max_epochs` must be an integer, got many"),
        ("model: {class_path: Nope}", "`model`: no LightningModule 'Nope'; accepted: "),
        ("model: {init_args: {lr: x}}", "`model.lr` must be a number, got x"),
        ("model: {init_args: {lrr: 1}}", f"`model`: {CLASSIFIER} has no setting 'lrr'; {OF_CLASSIFIER}; did you mean "),
        (
            "data: {class_path: lit_attr.datamodules.ImageDataModule, init_args: {augment: {flop: 1}}}",
            "lit_attr.datamodules.ImageDataModule has no setting 'augment.flop'; accepted: crop, erasing, flip, ",
        ),
        ("explanations: {methods: {igg: {}}}", "unknown method 'igg'; accepted: "),
        ("explanations: {metrics: {gap: {stps: 1}}}", "metric 'gap' has no setting 'stps'; accepted: "),
        ("trainer: {callbacks: [{class_path: EarlyStopping}]}", f"`trainer.callbacks`: {EARLY} needs a value for mon"),
        ("", "a config must be a mapping of settings, got an empty file"),
        ("- 1\n- 2\n", "a config must be a mapping of settings, got - 1"),
        ("a: [1,\nb: 3\n", "Problems parsing config: while parsing a flow sequence; "),
    ],
)
def test_in_a_config_file(tmp_path, capsys, text, line):
    (tmp_path / "c.yaml").write_text(text)
    assert refused(capsys, "fit", "--config", "c.yaml").startswith(line)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        ("fi", "argument subcommand: invalid choice: 'fi' (choose from 'fit', 'validate', 'test', 'predict')"),
        ("fit --config none.yaml", "`config`: File does not exist: '{folder}/none.yaml'"),
        ("fit --config", "argument -c/--config: expected one argument"),
        (
            "--config c.yaml fit",
            "`trainer.max_epochs` is not accepted before 'fit'; give the config after it: fit --config <file>",
        ),
        ("predict", "`predict_path` must be given to predict: --data.predict_path=<file or folder>, got None"),
        (
            "validate --ckpt_path c.yaml",
            "`ckpt_path`: c.yaml is damaged, or holds more than tensors and plain values, which is never loaded",
        ),
        (
            "validate --ckpt_path=w.pt",
            "`ckpt_path`: w.pt is no Lightning checkpoint; a file of weights is given as `model.weights`",
        ),
    ],
)
def test_other_commands(tmp_path, capsys, args, line):
    import torch

    (tmp_path / "c.yaml").write_text("trainer: {max_epochs: 1}")
    torch.save({"a": torch.zeros(1)}, tmp_path / "w.pt")
    assert refused(capsys, *args.split()) == line.format(folder=tmp_path)


def test_no_arguments(capsys):
    assert "fit,validate,test,predict" in refused(capsys)


def test_debug_gives_the_whole_story(monkeypatch):
    monkeypatch.setenv("JSONARGPARSE_DEBUG", "true")
    with pytest.raises(Exception, match="Expected a <class 'int'>\n"):
        main(["fit", "--trainer.max_epochs", "many"])
    with pytest.raises(ValueError, match="`num_samples` must be a positive integer"):
        main(["fit", "--explanations.num_samples", "0"])


def test_unknown_messages_are_cut_to_their_first_line():
    assert _cli_errors.one_line("something new\n  at length", Parser()) == "something new; at length"
    assert _cli_errors.one_line("", Parser()) == "no message"


def test_a_nested_class_is_found_by_its_path():
    message = f"""Parser key "model":
  Errors:
    - Problem with given class_path '{__name__}.Outer.Inner':
        Option 'b' is not accepted"""
    assert _cli_errors.one_line(message, Parser()) == f"`model`: {__name__}.Outer.Inner has no setting 'b'; accepted: a"


class Outer:
    class Inner:
        def __init__(self, a):
            pass

"""Networks by name, and the weights they take: from where, and which are refused."""

import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from lit_attr.modules import Classifier
from lit_attr.modules.backbones import build_backbone, load_safely, read_weights

# One of each family of torchvision's classifiers; a new family makes `test_every_family_is_here` fail.
FAMILIES = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "swin_t",
    "vgg11",
    "vit_b_16",
]
SMALL = "squeezenet1_1"


def meta(name):
    """Shapes without values, so that large networks cost nothing."""
    if name.startswith("regnet"):  # computes its widths with tensors
        return build_backbone(name, num_classes=7, in_channels=3).to("meta")
    with torch.device("meta"):
        return build_backbone(name, num_classes=7, in_channels=3)


def test_every_family_is_here():
    def module(name):
        return models.get_model_builder(name).__module__

    families = {module(name) for name in models.list_models(module=models)}
    assert families == {module(name) for name in FAMILIES}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_a_head_of_the_given_size(name):
    net = meta(name).eval()
    heads = [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    assert next(heads[-1].parameters()).shape[0] == 7
    if name != "maxvit_t":  # builds masks from numbers, which the meta device has not
        side = {"inception_v3": 299}.get(name, 224)
        assert net(torch.empty(2, 3, side, side, device="meta")).shape == (2, 7)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_no_auxiliary_heads_in_training(name):
    assert isinstance(meta(name).train()(torch.empty(2, 3, 299, 299, device="meta")), torch.Tensor)


@pytest.mark.parametrize(("name", "channels"), [("cifar_resnet8", 1), ("cifar_resnet14", 4), (SMALL, 3)])
def test_small_ones_run(name, channels):
    net = build_backbone(name, num_classes=7, in_channels=channels).eval()
    assert net(torch.rand(2, channels, 32, 32)).shape == (2, 7)


def test_unknown_name():
    with pytest.raises(ValueError, match=r"unknown model 'resnet19'; accepted: .*; did you mean 'resnet18'\?; or the"):
        build_backbone("resnet19", 7, 3)


def test_torchvision_takes_three_channels():
    with pytest.raises(ValueError, match=r"`mean` must be three values for a torchvision network, got 1 values"):
        build_backbone("resnet18", 7, 1)


# ---- weights


def fill(net):
    """Random values everywhere, so that a tensor that was not loaded shows."""
    for value in net.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.1, 1)
    return net


def same(net, state, left_out=()):
    own = net.state_dict()
    assert set(own) == set(state)
    return [key for key in own if not torch.equal(own[key], state[key])] == list(left_out)


def written(path, state):
    if path.suffix == ".safetensors":
        save_file(state, path)
    elif path.suffix == ".ckpt":
        torch.save({"state_dict": {f"model.{key}": value for key, value in state.items()}, "epoch": 3}, path)
    else:
        torch.save(state, path)
    return str(path)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".ckpt"])
@pytest.mark.parametrize("name", ["cifar_resnet8", SMALL])
def test_weights_from_a_file(tmp_path, monkeypatch, name, suffix):
    state = fill(build_backbone(name, 5, 3)).state_dict()
    path = written(tmp_path / f"weights{suffix}", state)
    assert same(build_backbone(name, 5, 3, path), state)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert same(build_backbone(name, 5, 3, f"~/weights{suffix}"), state)


@pytest.mark.parametrize(
    ("name", "head"),
    [("cifar_resnet8", ["linear.weight", "linear.bias"]), (SMALL, ["classifier.1.weight", "classifier.1.bias"])],
)
def test_head_of_another_size_is_left_out_and_said(tmp_path, caplog, name, head):
    state = fill(build_backbone(name, 5, 3)).state_dict()
    path = written(tmp_path / "w.pt", state)
    with caplog.at_level("INFO", logger="lightning.pytorch.utilities.rank_zero"):
        net = build_backbone(name, 4, 3, path)
    own = net.state_dict()
    assert all(torch.equal(own[key], state[key]) for key in own if key not in head)
    assert own[head[0]].shape[0] == 4
    where = head[0].rpartition(".")[0]
    assert f"The head '{where}' of {path} has another number of classes and starts from random values." in caplog.text


def test_files_from_before_batch_norm_counted_its_batches(tmp_path):
    state = fill(build_backbone("cifar_resnet8", 5, 3)).state_dict()
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert same(build_backbone("cifar_resnet8", 5, 3, written(tmp_path / "w.pt", old)), state)


def test_other_architecture(tmp_path):
    path = written(tmp_path / "w.pt", build_backbone("cifar_resnet14", 10, 3).state_dict())
    with pytest.raises(ValueError, match=r"do not fit CifarResNet; missing, unknown or of other shape: layer1.1.bn1"):
        build_backbone("cifar_resnet8", 10, 3, path)


def test_other_channels_are_no_other_head(tmp_path):
    path = written(tmp_path / "w.pt", build_backbone("cifar_resnet8", 10, 3).state_dict())
    with pytest.raises(ValueError, match=r"do not fit CifarResNet; missing, unknown or of other shape: conv1.weight$"):
        build_backbone("cifar_resnet8", 10, 1, path)


def test_other_head_and_other_channels(tmp_path):
    path = written(tmp_path / "w.pt", build_backbone("cifar_resnet8", 10, 3).state_dict())
    with pytest.raises(ValueError, match=r"of other shape: conv1.weight, linear.bias, linear.weight$"):
        build_backbone("cifar_resnet8", 4, 1, path)


class Malicious:
    """Its unpickling would set a flag."""

    ran = False

    @classmethod
    def run(cls):
        cls.ran = True
        return {}

    def __reduce__(self):
        return Malicious.run, ()


@pytest.mark.parametrize(
    "write", [torch.save, lambda it, path: path.write_bytes(pickle.dumps(it))], ids=["torch", "raw"]
)
def test_pickled_code_is_refused_and_not_run(tmp_path, write):
    path = tmp_path / "w.pt"
    write({"state": Malicious()}, path)
    with pytest.raises(ValueError, match=r"`weights`: .*w.pt is damaged, or holds more than tensors and plain values"):
        build_backbone("cifar_resnet8", 10, 3, str(path))
    assert not Malicious.ran
    pickle.loads(pickle.dumps(Malicious()))
    assert Malicious.ran  # it would have shown
    Malicious.ran = False


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_damaged_file(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x00\x01nonsense")
    with pytest.raises(ValueError, match=rf"`weights`: .*{name} is damaged, or"):
        read_weights(tmp_path / name)


def test_argument_is_named(tmp_path):
    (tmp_path / "x").write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="`ckpt_path`: "):
        load_safely(tmp_path / "x", "ckpt_path")


@pytest.mark.parametrize("content", [[torch.zeros(1)], {"a": 3}, torch.zeros(1)])
def test_files_of_something_else(tmp_path, content):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=r"w.pt holds no state dict \(names to tensors\)"):
        read_weights(tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("name", "known"), [("cifar_resnet8", "none published"), ("resnet50", "IMAGENET1K_V1, IMAGENET1K_V2")]
)
def test_neither_file_nor_name(name, known):
    with pytest.raises(
        FileNotFoundError, match=rf"`weights` is 'IMAGENET', neither a file nor weights of {name} \(known: {known}\)"
    ):
        build_backbone(name, 10, 3, "IMAGENET")


@pytest.fixture
def download(monkeypatch):
    """What torchvision would fetch, made on the spot: the URLs that were asked for, and the tensors."""
    asked, state = [], {}

    def fetch(url, *_, **settings):
        assert settings["check_hash"]
        asked.append(url)
        return dict(state)

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    return asked, state


@pytest.mark.parametrize(("weights", "version"), [("IMAGENET1K_V1", "b8a52dc0"), ("DEFAULT", "b8a52dc0")])
def test_published_weights(download, weights, version):
    asked, state = download
    state.update(fill(models.squeezenet1_1()).state_dict())
    net = build_backbone(SMALL, 1000, 3, weights)
    assert same(net, state)
    assert len(asked) == 1
    assert version in asked[0]
    assert build_backbone(SMALL, 7, 3, weights)(torch.rand(1, 3, 32, 32)).shape == (1, 7)


def test_published_weights_of_old_names(download):
    """DenseNet's file says `norm.1` where the code says `norm1`, and knows of no `num_batches_tracked`."""
    _, state = download
    new = fill(models.densenet121()).state_dict()
    for key, value in new.items():
        old = key
        if "denselayer" in key:
            for kind in ("norm", "conv"):
                old = old.replace(f".{kind}1.", f".{kind}.1.").replace(f".{kind}2.", f".{kind}.2.")
        if not key.endswith("num_batches_tracked"):
            state[old] = value
    assert set(state) != set(new)
    assert same(build_backbone("densenet121", 1000, 3, "IMAGENET1K_V1"), new)


@pytest.mark.parametrize(("name", "build"), [("googlenet", models.googlenet), ("inception_v3", models.inception_v3)])
def test_published_weights_with_auxiliary_heads(download, name, build):
    _, state = download
    state.update(fill(build(aux_logits=True, init_weights=False)).state_dict())
    kept = {key: value for key, value in state.items() if not key.startswith(("aux", "Aux"))}
    assert len(kept) < len(state)
    net = build_backbone(name, 1000, 3, "DEFAULT")
    assert same(net, kept)
    assert net.transform_input


def test_checkpoint_of_a_classifier(tmp_path):
    import lightning as L

    module = Classifier("cifar_resnet8", num_classes=5, mean=[0.5] * 3, std=[0.5] * 3)
    fill(module.model)
    runner = L.Trainer(accelerator="cpu", logger=False, default_root_dir=tmp_path)
    runner.strategy.connect(module)
    runner.save_checkpoint(tmp_path / "x.ckpt")
    assert same(build_backbone("cifar_resnet8", 5, 3, str(tmp_path / "x.ckpt")), module.model.state_dict())

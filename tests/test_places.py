import logging
import sys

import pytest
import torch
from torch import nn

from lit_attr._places import Grid, announce, grid_of, searching

GRIDS = [
    ((2, 512, 7, 7), (224, 224), Grid(7, 7)),
    ((2, 7, 7, 768), (224, 224), Grid(7, 7, channels=3)),
    ((2, 8, 8, 8), (32, 32), Grid(8, 8)),  # in doubt as usual
    ((2, 8, 8, 10), (32, 32), Grid(8, 8, channels=3)),
    ((2, 4, 6, 16), (64, 96), Grid(4, 6, channels=3)),
    ((2, 16, 4, 6), (64, 96), Grid(4, 6)),
    ((2, 512, 1, 1), (32, 32), Grid(1, 1)),
    ((2, 1, 1, 768), (32, 32), Grid(1, 1, channels=3)),
    ((2, 3, 5, 40), (32, 32), Grid(5, 40)),  # neither is in proportion
    ((2, 196, 768), (224, 224), Grid(14, 14, 3, 0)),
    ((2, 197, 768), (224, 224), Grid(14, 14, 3, 1)),
    ((2, 198, 768), (224, 224), Grid(14, 14, 3, 2)),
    ((2, 261, 384), (224, 224), Grid(16, 16, 3, 5)),
    ((2, 33, 16), (64, 128), Grid(4, 8, 3, 1)),
    ((2, 33, 16), (128, 64), Grid(8, 4, 3, 1)),
    ((2, 253, 16), (230, 300), Grid(14, 18, 3, 1)),  # patches of 16, what is left over cut off
    ((2, 24, 16), (8, 80), None),
    ((2, 0, 16), (32, 32), None),
    ((2, 512), (32, 32), None),
    ((8, 49, 96), (224, 224), None),  # windows in the place of samples
]


@pytest.mark.parametrize(("shape", "size", "grid"), GRIDS)
def test_grid_of(shape, size, grid):
    assert grid_of(torch.empty(shape), torch.Size((2, 3, *size))) == grid


def test_no_grid_of_several_outputs():
    assert grid_of((torch.empty(2, 3, 4, 4), None), torch.Size((2, 3, 32, 32))) is None


@pytest.mark.parametrize("grid", [Grid(2, 3), Grid(2, 3, channels=3), Grid(2, 3, 3, 0), Grid(2, 3, 3, 1)])
def test_places(grid):
    wanted = torch.rand(2, 4, 2, 3)
    output = wanted if grid.channels == 1 else wanted.permute(0, 2, 3, 1)
    if grid.in_front is not None:
        output = torch.cat([torch.rand(2, grid.in_front, 4), output.flatten(1, 2)], 1)
    assert torch.equal(grid.places(output), wanted)


class Steps(nn.Module):
    """Named modules, called by a function."""

    def __init__(self, forward, **modules):
        super().__init__()
        self.steps, self.called = nn.ModuleDict(modules), forward

    def forward(self, inputs):
        return self.called(inputs, **self.steps)


def options(net, size=32, *, dense=False):
    """Names of the layers between which the gradient decides, the last one first."""
    x = torch.rand(2, 3, size, size, requires_grad=True)
    net.requires_grad_(False)
    with searching(net, x.shape, dense=dense) as search:
        evidence = net(x).flatten(1).sum(1)
    return [option.name.removeprefix("steps.") for option in search.options(evidence)]


def conv(stride, inputs=3):
    return nn.Conv2d(inputs, 3, 3, stride, 1)


def test_a_decoder_with_a_shortcut_is_taken():
    """As in a U-Net: what it enlarges is joined with what was there before."""
    net = Steps(
        lambda x, down, low, up, out: out(torch.cat([down(x), up(low(down(x)))], 1)),
        down=conv(2), low=conv(4), up=nn.Upsample(scale_factor=4), out=conv(1, 6),
    )  # fmt: skip
    assert options(net) == ["out"]


def test_a_decoder_without_shortcuts_is_not():
    """All it has came through the smallest grid."""
    net = Steps(
        lambda x, down, low, up, out: out(up(low(down(x)))),
        down=conv(2), low=conv(4), up=nn.Upsample(scale_factor=4), out=conv(1),
    )  # fmt: skip
    assert options(net) == ["low"]


def test_where_the_output_has_places_the_last_of_the_widest_is_taken():
    """Which is the end of an encoder, while the last one is the scores themselves."""
    layers = {
        "encoder": nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 8, 3, 2), nn.Conv2d(8, 8, 3), nn.ReLU()),
        "decoder": nn.Sequential(nn.Conv2d(8, 5, 3), nn.ReLU(), nn.Conv2d(5, 2, 1)),
    }
    net = Steps(lambda x, encoder, decoder: decoder(encoder(x)), **layers)
    assert options(net)[0] == "decoder"
    assert options(net, dense=True) == ["encoder"]


def test_a_small_grid_beside_the_others_bars_none():
    """Pooling and weighing of channels, or a pyramid of poolings."""
    for places in (1, 2):
        net = Steps(
            lambda x, first, pool, out, places=places: out(
                first(x) * pool(first(x)).repeat_interleave(8 // places, 2).repeat_interleave(8 // places, 3)
            ),
            first=conv(4), pool=nn.AdaptiveAvgPool2d(places), out=conv(1),
        )  # fmt: skip
        assert options(net) == ["out"]


def test_a_table_of_attention_is_no_grid():
    """16 by 16 values for 16 patches of an image of 32 by 32."""
    net = Steps(
        lambda x, patches, weights: weights((f := patches(x).flatten(2)).mT[:, None] @ f[:, None]),
        patches=nn.Conv2d(3, 8, 8, 8), weights=nn.Softmax(-1),
    )  # fmt: skip
    assert options(net) == ["patches"]


def test_a_view_is_no_layer_of_its_own_but_a_container_is():
    net = Steps(
        lambda x, body, unfolded: unfolded(body(x)),
        body=nn.Sequential(conv(4), nn.ReLU(inplace=True)), unfolded=nn.Unflatten(1, (1, 3)),
    )  # fmt: skip
    assert options(net) == ["body"]
    turned = Steps(lambda x, body, turn: turn(body(x)), body=nn.Sequential(conv(4)), turn=Turn())
    assert options(turned) == ["body"]


class Turn(nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1)


def test_what_does_not_depend_on_the_input_is_passed_over():
    net = Steps(lambda x, first, second: first(x).sum((2, 3)) + second(x.detach()).sum(), first=conv(4), second=conv(4))
    assert options(net) == ["first"]


def test_nothing_is_left_hooked():
    net = Steps(lambda x, first: first(x), first=conv(4))
    with pytest.raises(KeyError), searching(net, torch.Size((2, 3, 32, 32))):
        raise KeyError
    assert not any(module._forward_hooks for module in net.modules())


@pytest.fixture
def untold():
    announce.cache_clear()
    yield
    announce.cache_clear()


def test_told_once_through_lightning(untold, monkeypatch):
    import lightning.pytorch.utilities

    told = []
    monkeypatch.setattr(lightning.pytorch.utilities, "rank_zero_info", told.append)
    for layer in ("layer4", "layer4", "layer3"):
        announce("Grad-CAM", "ResNet", layer, 7, 7)
    assert told == [
        "Grad-CAM explains ResNet by the layer 'layer4' (7x7 places); `layer` names another.",
        "Grad-CAM explains ResNet by the layer 'layer3' (7x7 places); `layer` names another.",
    ]


def test_told_in_the_log_without_lightning(untold, monkeypatch, caplog):
    monkeypatch.delitem(sys.modules, "lightning.pytorch", raising=False)
    with caplog.at_level(logging.INFO, "lit_attr"):
        announce("Grad-CAM", "ResNet", "layer4", 7, 7)
        announce("Grad-CAM", "ResNet", "layer4", 7, 7)
    assert [record.name for record in caplog.records] == ["lit_attr"]

"""What every attribution method promises by the axioms of the papers."""

import pytest
import torch
from torch import nn

from _reference.methods import ALL, ON_VECTORS, WALKS, WITH_DUMMY_AXIOM, WITH_END, build
from _reference.nets import Bag, Detour, cnn, linear, mlp, permuted
from lit_attr.targets import RegionTarget

BATCH = 4
TARGETS = torch.tensor([2, 0, 1, 2])


@pytest.mark.parametrize("name", WITH_DUMMY_AXIOM)
def test_a_feature_the_model_does_not_use_gets_exactly_nothing(name, images):
    """Check N5 (sensitivity b)."""
    inner = cnn()
    inner[0].weight.data[:, 1] = 0
    found = build(name)(inner, images, TARGETS)
    assert not found[:, 1].any()
    assert found[:, 0].any()


@pytest.mark.parametrize("name", ALL)
def test_a_constant_added_to_the_evidence_changes_nothing(name, images):
    """Check N2."""

    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = cnn()

        def forward(self, inputs):
            return self.net(inputs) + 3

    net, method = Shifted(), build(name)
    torch.testing.assert_close(method(net, images, TARGETS), method(net.net, images, TARGETS), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ON_VECTORS)
@pytest.mark.parametrize("how", ["permuted", "detour"])
def test_how_the_function_is_written_makes_no_difference(name, how, vectors):
    """Check N18 (implementation invariance)."""
    net = mlp()
    twin = permuted(net) if how == "permuted" else nn.Sequential(Detour(), net)
    found, expected = (build(name)(model, vectors, TARGETS) for model in (twin, net))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ON_VECTORS)
def test_text_as_embeddings(name):
    embeddings = torch.randn(BATCH, 5, 6, dtype=torch.float64)
    net = Bag(6, ignored=[1])
    found = build(name).explain(net, embeddings, TARGETS)
    assert found.attribution.shape == embeddings.shape
    assert found.attribution[:, 0].any()
    if name in WITH_DUMMY_AXIOM:
        assert not found.attribution[:, 1].any()


@pytest.mark.parametrize("name", [name for name in WITH_DUMMY_AXIOM if name in ON_VECTORS])
def test_what_speaks_for_the_class_gets_the_right_sign(name):
    """Check N14: z = (a x, -a x), a positive on four features; walks lower the probability of what is explained."""

    class Sure(nn.Module):
        def forward(self, inputs):
            z = inputs[:, :4].sum(1)
            return torch.stack([z, -z], dim=1)

    net, x = Sure(), torch.ones(1, 12, dtype=torch.float64)
    found = build(name).explain(net, x, 0)
    assert bool((found.attribution[:, :4] > 0).all())
    assert not found.attribution[:, 4:].any()
    if name in WALKS:
        ends = found.endpoint.view(-1, 12)
        assert bool((net(ends).softmax(1)[:, 0] < net(x).softmax(1)[:, 0]).all())


@pytest.mark.parametrize("name", WITH_END)
def test_a_linear_model_is_explained_exactly(name, vectors):
    """Check N1: w * (x - x'), x' the end point, summed over paths."""
    net = linear(bias=True)
    found = build(name, objective="logit").explain(net, vectors, TARGETS)
    ends = found.endpoint.view(BATCH, -1, vectors.shape[1])
    expected = net.weight[TARGETS].detach() * (vectors[:, None] - ends).sum(1)
    torch.testing.assert_close(found.attribution, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.completeness_error, torch.zeros(BATCH, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", WITH_END)
def test_reported_completeness_error(name, vectors):
    net, method = mlp(), build(name, objective="logit")
    found = method.explain(net, vectors, TARGETS)
    ends = found.endpoint.view(BATCH, -1, vectors.shape[1])
    logits = net(torch.cat([vectors[:, None].expand_as(ends), ends])).detach()
    start, end = logits.gather(2, TARGETS.repeat(2)[:, None, None].expand(-1, ends.shape[1], 1))[..., 0].chunk(2)
    change = (start - end).sum(1)
    torch.testing.assert_close(found.completeness_error, found.attribution.sum(1) - change)


class Segmenter(nn.Module):
    """A receptive field of 3x3, an output as torchvision's segmenters have it."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Conv2d(3, 4, 3, padding=1, dtype=torch.float64)
        self.head = nn.Conv2d(4, 3, 1, dtype=torch.float64)

    def forward(self, inputs):
        return {"out": self.head(self.backbone(inputs).tanh())}


@pytest.mark.parametrize("name", ALL)
def test_a_region_of_a_segmenter(name, images):
    """Complaint 11: a dense model is explained through a target, by every method, in chunks that mix the samples."""
    masks = torch.zeros(BATCH, 8, 8, dtype=torch.bool)
    masks[0, :2] = masks[1, :, :2] = masks[2, 3:5, 3:5] = masks[3, 7, 7] = True
    net, target = Segmenter(), RegionTarget(TARGETS, masks)
    found = build(name, max_batch=3)(net, images, target)
    for i in range(BATCH):
        alone = build(name)(net, images[i : i + 1], RegionTarget(TARGETS[i : i + 1], masks[i : i + 1]))
        torch.testing.assert_close(found[i : i + 1], alone)
    if name in WITH_DUMMY_AXIOM:
        reached = nn.functional.max_pool2d(masks[:, None].double(), 3, 1, 1).bool().expand_as(found)
        assert bool((found[~reached] == 0).all())
        assert bool((found[reached] != 0).all())

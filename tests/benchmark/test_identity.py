"""Identities: equal where things are equal, in every process; different where anything is."""

import math
import subprocess
import sys

import pytest
import torch
from torch import nn

from lit_attr.attribution import IntegratedGradients, Saliency
from lit_attr.benchmark.controls import RandomMap
from lit_attr.benchmark.identity import described, model_identity, sample_identities, settings_identity
from lit_attr.metrics import Insertion, SubsetCorrelation
from lit_attr.targets import ClassTarget, PixelTarget, RegionTarget

ELSEWHERE = """
import math
from lit_attr.attribution import IntegratedGradients
from lit_attr.benchmark.identity import settings_identity
from lit_attr.metrics import Insertion
print(settings_identity("a", IntegratedGradients()), settings_identity("b", Insertion(fill=math.sin)))
"""


def half(x):
    return x / 2


def test_a_model_is_its_parts_and_numbers():
    torch.manual_seed(0)
    one, other = nn.Sequential(nn.Linear(3, 3), nn.ReLU()), nn.Sequential(nn.Linear(3, 3), nn.GELU())
    other.load_state_dict(one.state_dict())
    same = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    same.load_state_dict(one.state_dict())
    assert model_identity(one) == model_identity(same)
    assert model_identity(one) != model_identity(other)
    assert model_identity(one) != model_identity(one.double())
    norm = nn.BatchNorm1d(3)
    before = model_identity(norm)
    norm.running_mean[0] += 1e-6
    assert model_identity(norm) != before


def test_samples_are_told_by_input_target_and_mask():
    x, masks = torch.rand(3, 1, 2, 2), torch.rand(3, 2, 2) > 0.5
    plain = sample_identities(x, None)
    assert len(set(plain)) == 3
    assert sample_identities(x[1:], None) == plain[1:]
    assert set(plain).isdisjoint(sample_identities(x.double(), None))
    assert set(plain).isdisjoint(sample_identities(x, 1))
    assert sample_identities(x, 1) == sample_identities(x, torch.ones(3, dtype=torch.long))
    assert set(plain).isdisjoint(sample_identities(x, None, masks))
    assert sample_identities(x[:2], None, masks[:2]) == sample_identities(x, None, masks)[:2]


def test_targets_are_told_by_what_they_hold_of_the_sample():
    x, labels = torch.rand(2, 1, 2, 2), torch.tensor([[[0, 1], [1, 0]], [[0, 1], [1, 1]]])
    other = labels.clone()
    other[1, 0, 0] = 1
    found, changed = (sample_identities(x, PixelTarget(values)) for values in (labels, other))
    assert found[0] == changed[0]
    assert found[1] != changed[1]
    classes = sample_identities(x, ClassTarget(torch.tensor([0, 1])))
    assert set(classes).isdisjoint(found)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (IntegratedGradients(steps=8), IntegratedGradients(steps=9)),
        (IntegratedGradients(baseline=torch.zeros(1)), IntegratedGradients(baseline=torch.ones(1))),
        (IntegratedGradients(objective="logit"), IntegratedGradients(objective="prob")),
        (Saliency(), RandomMap()),
        (RandomMap(0), RandomMap(1)),
        (Insertion(), Insertion(fill="white")),
        (Insertion(fill=torch.zeros(1, 2, 2)), Insertion(fill=torch.ones(1, 2, 2))),
        (SubsetCorrelation(), SubsetCorrelation(seed=1)),
    ],
)
def test_settings_that_differ(one, other):
    assert settings_identity("a", one) != settings_identity("a", other)
    assert settings_identity("a", one) == settings_identity("a", one)
    assert settings_identity("a", one) != settings_identity("b", one)


def test_what_has_no_effect_is_no_setting():
    assert settings_identity("a", IntegratedGradients(max_batch=3)) == settings_identity("a", IntegratedGradients())
    split = Insertion().split_by_confidence(0.7)
    assert settings_identity("a", split) == settings_identity("a", Insertion())


def test_functions_are_told_by_name():
    assert described(half) == described(half)
    assert "half" in described(half)
    assert "0x" not in settings_identity("a", Insertion(fill=half))


def test_the_same_in_another_process():
    found = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, check=True, timeout=200
    ).stdout
    assert found.split() == [
        settings_identity("a", IntegratedGradients()),
        settings_identity("b", Insertion(fill=math.sin)),
    ]


def test_a_region_is_the_same_whatever_batch_it_is_in():
    """So that a run that goes on with other batches finds what is finished."""
    masks = torch.zeros(3, 4, 4, dtype=torch.bool)
    masks[0, 0], masks[1, 1, :2], masks[2, 2:] = True, True, True
    images, target = torch.rand(3, 1, 4, 4), RegionTarget(torch.tensor([0, 2, 1]), masks, ~masks)
    whole = sample_identities(images, target)
    rows = torch.tensor([2, 0])
    assert sample_identities(images[rows], target.take(rows)) == [whole[2], whole[0]]
    assert (
        len(
            {
                *whole,
                *sample_identities(images, RegionTarget(torch.tensor([0, 2, 1]), masks, masks.roll(1, 1) & ~masks)),
            }
        )
        == 6
    )

"""A network that does not use what it should is refused."""

import pytest
import torch
from torch import nn

from lit_attr.ground_truth import Designed, KeyedNetwork, keyed, train_keyed


def test_a_network_that_learned_nothing_is_refused():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match=r"the network knows the label in \d\d\.\d% of the scenes only, 99 % are"):
        train_keyed(steps=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_each_trial_can_fail():
    class Colours(nn.Module):
        """Looks at distractors too: green ones on the left make it doubt."""

        def forward(self, images):
            green = ((images[:, 1] - images[:, 0]).amax(1)[:, :16] > 0.5).any(1)
            return torch.where(green[:, None], torch.tensor([1.0, 0.0, 0.0]), Designed()(images))

    class Blind(nn.Module):
        """Knows the label of scenes by heart, not by their keys."""

        def __init__(self):
            super().__init__()
            self.answers = []

        def forward(self, images):
            self.answers.append(Designed()(images))
            return self.answers[0]

    keyed._verify(Designed())
    with pytest.raises(RuntimeError, match="the network knows the label in"):
        keyed._verify(Colours())
    with pytest.raises(RuntimeError, match="the network follows the key in"):
        keyed._verify(Blind())


@pytest.mark.slow
def test_a_trained_network_passes():
    one = train_keyed(steps=250)
    assert isinstance(one, KeyedNetwork)
    assert not one.training
    assert not any(parameter.requires_grad for parameter in one.parameters())
    with torch.inference_mode():
        assert one(torch.rand(2, 3, 32, 32)).shape == (2, 3)

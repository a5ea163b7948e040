import pytest
import torch

from lit_attr.updates import BIM, L2Step, Step, Walks, get_update

G = torch.tensor([[3.0, -4.0, 0.0], [1e-25, 0.0, 0.0], [0.0, 0.0, 0.0]])


def moves(rule):
    zeros = torch.zeros(3, dtype=torch.long)
    step = Step(
        points=G,
        origin=G,
        ascent=G,
        number=0,
        steps=1,
        walks=Walks.of(zeros[:, None]),
        view=None,
        generator=torch.Generator(),
        losses=None,
        ascents=None,
    )
    return rule(step)


def test_basic_iterative_method():
    assert torch.equal(moves(BIM(0.5)), 0.5 * G.sign())


def test_steps_of_one_length_also_for_tiny_gradients():
    expected = torch.tensor([[0.3, -0.4, 0.0], [0.5, 0.0, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(moves(L2Step(0.5)), expected)


def test_forms_of_an_update_rule():
    def rule(step):
        return step.ascent

    assert get_update("bim") == BIM()
    assert get_update({"class": "bim", "alpha": 0.1}) == BIM(0.1)
    assert get_update(rule) is rule


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ("bin", "unknown update rule 'bin'; accepted: .*did you mean 'bim'"),
        ({"class": "bim", "alfa": 1}, "update rule 'bim' has no setting 'alfa'; .*did you mean 'alpha'"),
        (3, "`update` must be the name of an update rule, settings, or a function of a Step, got 3"),
    ],
)
def test_what_is_no_rule_is_refused(update, message):
    with pytest.raises(ValueError, match=message):
        get_update(update)


@pytest.mark.parametrize("rule", [BIM, L2Step])
def test_step_sizes_are_checked(rule):
    with pytest.raises(ValueError, match="`alpha` must be a number of at least 0, got -1"):
        rule(alpha=-1)

"""MIG against a loop over samples and points of the path."""

import pytest
import torch

from _reference.nets import Counter, cnn, mlp
from _reference.walks import points, turns
from lit_attr.objectives import log_odds
from lit_attr.updates import MIG, Region

X = torch.rand(2, 3, 8, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([2, 0])
SCORES = {
    "prob": lambda logits: logits.softmax(0),
    "logprob": lambda logits: logits.log_softmax(0),
    "logit": lambda logits: logits,
}


def by_hand(net, x, y, rule, *, steps, sign):
    path, velocity = [x], torch.zeros_like(x)
    for _ in range(steps):
        total = torch.zeros_like(x)
        for i in range(1, rule.copies + 1):
            q = (rule.baseline + i / rule.copies * (path[-1] - rule.baseline)).requires_grad_()
            total += torch.autograd.grad(SCORES[rule.score](net(q[None])[0])[y], q)[0]
        integrated = sign * (path[-1] - rule.baseline) * total / rule.copies
        velocity = rule.momentum * velocity + integrated / integrated.abs().mean()
        path.append(torch.clamp(torch.clamp(path[-1] + rule.alpha * velocity.sign(), x - 0.1, x + 0.1), 0, 1))
    return torch.stack(path)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("toward", [-1.0, 1.0])
@pytest.mark.parametrize("max_batch", [3, None])
def test_one_sample_at_a_time_by_a_plain_loop(score, toward, max_batch):
    net, rule = cnn(), MIG(0.02, copies=5, score=score, momentum=0.5, baseline=0.3)
    found = points(net, rule, X, Y, toward=toward, steps=3, max_batch=max_batch)
    for i in range(2):
        expected = by_hand(net, X[i], int(Y[i]), rule, steps=3, sign=toward)
        torch.testing.assert_close(found[:, i], expected, rtol=0, atol=1e-12)


def test_the_loss_of_the_walk_is_another_matter():
    net, rule = cnn(), MIG(0.02, copies=3)
    found = points(net, rule, X, Y, loss=lambda evidence, _: evidence.sum(1))
    assert torch.equal(found, points(net, rule, X, Y))


def test_each_walk_climbs_the_score_of_its_own_goal():
    net, rule, x, goal = mlp(), MIG(0.02, copies=20, score=log_odds), X[:1, 0, 0, :6], torch.tensor([1])
    change = {}
    for toward in (-1.0, 1.0):
        start, *_, end = points(net, rule, x, goal, toward=toward, steps=5)
        change[toward] = (log_odds(net(end), goal) - log_odds(net(start), goal)).item()
    assert change[-1.0] < 0 < change[1.0]


def test_features_at_the_baseline_do_not_move():
    net, x = mlp(), X[:, 0, 0, :6].clone()
    x[:, 2:4], x[:, 4:] = 0, 1
    for baseline in (0.0, 1.0):
        found = points(net, MIG(0.05, copies=4, baseline=baseline), x, Y, region=Region(), steps=3)
        assert torch.equal(found[-1] == x, x == baseline)


def test_a_sure_score_has_no_gradient_but_a_logit_has():
    class Sure(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.net = cnn(dtype=torch.float32)

        def forward(self, x):
            return 1e6 * self.net(x)

    net, x = Sure(), X.float()
    y = net(x).argmax(1)
    assert not any(torch.equal(path[-1], x) for path in [points(net, MIG(copies=3, score="logit"), x, y)])
    found, _ = turns(net, MIG(copies=1), x, y)
    assert torch.equal(found[-1].points, x)


def test_passes():
    net = Counter(cnn())
    _, passes = turns(net, MIG(copies=4), X, Y, steps=3)
    assert passes == (12, 12) == (net.forwards / 2, net.backwards / 2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"copies": 0}, "`copies` must be a positive integer"),
        ({"baseline": "black"}, "`baseline` must be a number, got black"),
        ({"score": "prop"}, "`score` is 'prop'; .*did you mean 'prob'"),
        ({"momentum": -1}, "`momentum` must be a number of at least 0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        MIG(**settings)

"""Linear models, of which it is known what any attack can reach: no proof is broken, and all that can be flipped is.

Over the ball |d| <= eps per feature, the least lead of class y before j is z_y - z_j - eps ||w_y - w_j||_1, in L2 with
||.||_2; signs and unit gradients of a linear model lead there in a straight line.
"""

import pytest
import torch

from _reference.nets import linear
from lit_attr.attacks import ATTACKS, CW, DIFGSM, NAA, SIA, TIFGSM, AutoAttack, WalkingAttack, get_attack

X = torch.rand(200, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
EPS = 0.05
NEED_IMAGES = {DIFGSM, TIFGSM, SIA, NAA}
WALKING = [cls for name in ATTACKS.names() if issubclass(cls := ATTACKS.get(name), WalkingAttack)]


def unsure(inputs=X):
    """Two classes, each predicted for half of the inputs."""
    net = linear(classes=2, bias=True)
    with torch.no_grad():
        logits = net(inputs)
        net.bias[0] -= (logits[:, 0] - logits[:, 1]).median()
    return net


def leads(net, labels, norm):
    """The least lead that is left in the ball, `[B]`; negative where some point of it is another class."""
    order = 1 if norm == "linf" else 2
    apart = (net.weight[labels][:, None] - net.weight).norm(order, dim=2)  # [B, K], 0 for the class itself
    logits = net(X)
    lead = logits.gather(1, labels[:, None]) - logits - EPS * apart
    return lead.scatter(1, labels[:, None], torch.inf).amin(1).detach()


@pytest.mark.parametrize("attack", [cls for cls in WALKING if cls not in NEED_IMAGES])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_no_proof_is_broken(attack, norm):
    net = unsure()
    labels = net(X).argmax(1)
    certified = leads(net, labels, norm) > 1e-9
    assert 20 < int(certified.sum()) < 180
    found = attack(eps=EPS, steps=10, norm=norm, bounds=None).run(net, X, labels)
    assert not bool((found.success & certified).any())


@pytest.mark.parametrize("name", ["fgsm", "bim", "pgd", "mifgsm", "nifgsm", "gra", "mig"])
def test_all_that_can_be_flipped_is(name):
    """Of two classes, where every gradient is the same direction; steps are long enough for the whole ball."""
    net = unsure()
    labels = net(X).argmax(1)
    settings = {"baseline": -10.0, "score": "logit"} if name == "mig" else {}
    attack = get_attack(name, eps=EPS, alpha=None, steps=1 if name == "fgsm" else 40, bounds=None, **settings)
    attack = get_attack(attack, alpha=2 * EPS / attack.steps)
    assert torch.equal(attack.run(net, X, labels).success, leads(net, labels, "linf") < 0)


def test_the_smallest_change_is_the_distance_to_the_boundary():
    """CW with a search for c comes within a few percent of it, and never below."""
    x = 0.25 + X[:40] / 2
    net = unsure(x)
    labels = net(x).argmax(1)
    logits = net(x).detach()
    distance = (logits[:, 0] - logits[:, 1]).abs() / (net.weight[0] - net.weight[1]).norm().detach()
    found = CW(steps=200, lr=0.01, search_steps=6, bounds=(0, 1)).run(net, x, labels)
    away = (found.adversarial - x).norm(dim=1)[found.success]
    nearest = distance[found.success]
    assert int(found.success.sum()) > 20
    assert bool((away >= nearest * (1 - 1e-9)).all())
    assert float((away / nearest).median()) < 1.1


def test_an_ensemble_breaks_no_proof():
    net = linear(12, 4).float()
    x = torch.rand(30, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    model = torch.nn.Sequential(torch.nn.Flatten(), net)
    labels = model(x).argmax(1)
    apart = (net.weight[labels][:, None] - net.weight).norm(1, dim=2)
    logits = model(x)
    lead = logits.gather(1, labels[:, None]) - logits - 0.05 * apart
    certified = lead.scatter(1, labels[:, None], torch.inf).amin(1) > 1e-5
    assert 3 < int(certified.sum()) < 27
    found = AutoAttack(eps=0.05, steps=10, queries=50).run(model, x, labels)
    assert not bool((found.success & certified).any())
    assert bool(found.success.any())

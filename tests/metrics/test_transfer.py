"""The matrix against a slow loop over single samples."""

import pytest
import torch
from torch import nn

from lit_attr.attacks import BIM, FGSM
from lit_attr.metrics import transfer_matrix


def models():
    torch.manual_seed(4)
    return {name: nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3)).eval() for name in "abc"}


def data():
    torch.manual_seed(5)
    return [(torch.rand(n, 3, 2, 2), torch.randint(3, (n,))) for n in (9, 16)]


def test_each_cell_is_that_of_a_loop():
    nets, attacks = models(), {"fgsm": FGSM(eps=0.3), "weak": BIM(eps=0.1, alpha=0.05, steps=3)}
    found = transfer_matrix(nets, attacks, data())
    assert list(found) == ["fgsm", "weak"]
    for name, attack in attacks.items():
        for i, surrogate in enumerate(nets.values()):
            for j, target in enumerate(nets.values()):
                count = fooled = 0
                for inputs, labels in data():
                    for x, y in zip(inputs[:, None], labels[:, None], strict=True):
                        if surrogate(x).argmax() == y and target(x).argmax() == y:
                            count += 1
                            fooled += int(target(attack(surrogate, x, y)).argmax() != y)
                assert int(found[name].samples[i, j]) == count
                assert int(found[name].fooled[i, j]) == fooled
    assert found["fgsm"].fooled.sum() > found["weak"].fooled.sum() > 0
    assert found["fgsm"].rows()[1] == ["a", "b", float(found["fgsm"].success[0, 1]), int(found["fgsm"].samples[0, 1])]


def test_what_an_attack_did_to_its_own_model_is_not_asked_again():
    nets, counts = models(), dict.fromkeys("abc", 0)

    def count(name):
        def hook(module, args, output):
            counts[name] += 1

        return hook

    for name, net in nets.items():
        net.register_forward_hook(count(name))
    transfer_matrix(nets, [FGSM()], data()[:1])
    # Of each: its own samples twice, a step and its result; the samples of the two others.
    assert counts == dict.fromkeys("abc", 1 + 1 + 2 + 2)


def test_no_common_sample_is_no_number():
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    with torch.no_grad():
        net[1].weight.zero_()
        net[1].bias.copy_(torch.tensor([1.0, 0.0]))
    found = transfer_matrix({"zero": net}, ["fgsm"], [(torch.rand(3, 3, 2, 2), torch.ones(3).long())])
    assert found["fgsm"].success.isnan().all()


def test_refusals():
    with pytest.raises(ValueError, match="`models` must be at least one model"):
        transfer_matrix({}, ["fgsm"], data())
    with pytest.raises(ValueError, match="`attacks` must be at least one attack"):
        transfer_matrix(models(), [], data())

"""Sets of adversarial samples against single attacks, over a kill and over processes."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lit_attr.attacks import BIM, PGD
from lit_attr.bank import AdversarialSet, attack_samples
from lit_attr.metrics import RobustAccuracy

ATTACK = PGD(eps=0.2, alpha=0.1, steps=3)


def net(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3))


def samples(count=7):
    images = torch.rand(count, 3, 2, 2, generator=torch.Generator().manual_seed(1))
    return [(image, i % 3) for i, image in enumerate(images)]


def test_each_sample_is_attacked_and_comes_back(tmp_path):
    model = net()
    found = attack_samples(tmp_path, ATTACK, model, samples(), size=3)
    assert len(found) == 7
    for i, (image, label) in enumerate(samples()):
        x, y = image[None], torch.tensor([label])
        expected = ATTACK(model, x, y)
        assert torch.equal(found[i][0], expected[0])
        assert found[i][1] == label
        assert bool(found.columns["right"][i]) == bool(model(x).argmax() == label)
        assert bool(found.columns["fooled"][i]) == bool(model(expected).argmax() != label)
    assert found.origin["settings"]["eps"] == "0.2"
    with pytest.raises(IndexError):
        found[7]


def test_it_measures_another_model(tmp_path):
    found, other = attack_samples(tmp_path, ATTACK, net(), samples()), net(1)
    metric = RobustAccuracy()
    for images, labels in torch.utils.data.DataLoader(found, 4):
        metric.update(other, images, labels)
    by_hand = [int(other(x[None]).argmax()) == y for x, y in AdversarialSet(tmp_path)]
    assert float(metric.compute()) == pytest.approx(sum(by_hand) / 7)


def test_what_is_there_is_not_attacked_again(tmp_path, monkeypatch):
    whole = attack_samples(tmp_path / "whole", ATTACK, net(), samples(), size=2)
    killed, asked, run = tmp_path / "killed", [], PGD.run

    def dies(self, model, inputs, target):
        asked.append(len(inputs))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return run(self, model, inputs, target)

    monkeypatch.setattr(PGD, "run", dies)
    with pytest.raises(KeyboardInterrupt):
        attack_samples(killed, ATTACK, net(), samples(), size=2)
    with pytest.raises(ValueError, match=r"`folder` must be a finished one; .*, which has 4 of 7 samples"):
        AdversarialSet(killed)
    again = attack_samples(killed, ATTACK, net(), samples(), size=2)
    assert asked == [2, 2, 2, 2, 1]
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(whole, again, strict=True))


def test_a_function_is_known_by_its_name_in_every_process(tmp_path):
    """At another address it is the same function; another name is another one."""

    def loss_of(name):
        def own(evidence, index):
            return -evidence.gather(1, index[:, None])[:, 0]

        own.__qualname__ = name
        return PGD(eps=0.2, steps=1, loss=own)

    attack_samples(tmp_path, loss_of("mine"), net(), samples())
    assert len(attack_samples(tmp_path, loss_of("mine"), net(), samples())) == 7
    with pytest.raises(ValueError, match=r"another `loss` \(<function mine>; now <function yours>\)"):
        attack_samples(tmp_path, loss_of("yours"), net(), samples())


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"attack": BIM(eps=0.2)}, r"another `attack` \(PGD; now BIM\)"),
        ({"attack": PGD(eps=0.1, alpha=0.1, steps=3)}, r"another `eps` \(0.2; now 0.1\)"),
        ({"model": net(1)}, "another `model`"),
        ({"samples": samples(8)}, r"another `samples` \(7; now 8\)"),
        ({"samples": [(image, 0) for image, _ in samples()]}, "another `samples`"),
        ({"size": 4}, r"another `size` \(3; now 4\)"),
    ],
)
def test_files_of_something_else_are_refused(tmp_path, changed, message):
    settings = {"attack": ATTACK, "model": net(), "samples": samples(), "size": 3}
    attack_samples(tmp_path, **settings)
    with pytest.raises(ValueError, match=message):
        attack_samples(tmp_path, **{**settings, **changed})


def test_what_is_no_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`folder` must be one that `attack_samples` has filled"):
        AdversarialSet(tmp_path)
    save_file({"sample": torch.zeros(1)}, tmp_path / "part_000000.safetensors")
    with pytest.raises(ValueError, match="which is damaged or something else"):
        AdversarialSet(tmp_path)
    with pytest.raises(ValueError, match=r"`attack\.targeted` must be false"):
        attack_samples(tmp_path, PGD(targeted=True), net(), samples())
    with pytest.raises(ValueError, match="`size` must be a positive integer"):
        attack_samples(tmp_path, ATTACK, net(), samples(), size=0)


def test_two_processes_make_what_one_makes(tmp_path, monkeypatch):
    attack_samples(tmp_path / "one", ATTACK, net(), samples(), size=2)
    monkeypatch.setattr("lit_attr.bank.adversarial.rank_and_size", lambda: (1, 2))
    with pytest.raises(ValueError, match="which has 3 of 7 samples"):  # the other half is not there yet
        attack_samples(tmp_path / "two", ATTACK, net(), samples(), size=2)
    monkeypatch.setattr("lit_attr.bank.adversarial.rank_and_size", lambda: (0, 2))
    assert len(attack_samples(tmp_path / "two", ATTACK, net(), samples(), size=2)) == 7
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()

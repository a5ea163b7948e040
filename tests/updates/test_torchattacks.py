import numpy as np
import pytest
import torch
import torchattacks
from torch import nn

from _reference.nets import cnn
from lit_attr.updates import BIM, CW, MIFGSM, TorchAttacks, as_torchattack, get_update

X = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 1, 2, 0])


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        ("torchattacks.VMIFGSM", TorchAttacks("VMIFGSM")),
        ("torchattacks.vmifgsm", TorchAttacks("VMIFGSM")),
        ("torchattacks.attacks.vmifgsm.VMIFGSM", TorchAttacks("VMIFGSM")),
        ("VMIFGSM", TorchAttacks("VMIFGSM")),
        ("deepfool", TorchAttacks("DeepFool")),
        ("C&W", CW()),
        ({"class": "torchattacks.VNIFGSM", "eps": 0.1}, TorchAttacks("VNIFGSM", {"eps": 0.1})),
        ({"class": "jitter", "std": 0.2, "bounds": (-1, 1)}, TorchAttacks("Jitter", {"std": 0.2}, (-1, 1))),
        ("torchattacks.BIM", TorchAttacks("BIM")),
        ("BIM", BIM()),  # ours first
        ("mim", MIFGSM()),
    ],
)
def test_names(update, expected):
    assert get_update(update) == expected
    assert type(get_update(update)) is type(expected)


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ("torchattacks.VMIFGM", "torchattacks has no attack 'VMIFGM'; .*did you mean 'VMIFGSM'"),
        ("torchattacks.Attack", "torchattacks has no attack 'Attack'"),
        ("torchattacks.attacks.pgd.PDG", "torchattacks has no attack 'PDG'; .*did you mean 'PGD'"),
        ("vmifgm", "unknown update rule 'vmifgm'"),
        ({"class": "torchattacks.PGD", "epps": 1}, "torchattacks.PGD has no setting 'epps'; .*did you mean 'eps'"),
        ({"class": "torchattacks.PGD", "model": 1}, "torchattacks.PGD has no setting 'model'"),
        ({"class": "torchattacks.PGD", "bounds": (1, 0)}, "`bounds` must be"),
        ({"class": "torchattacks.PGD", "eps": "8/255"}, "`eps` must be a number of at least 0 for torchattacks.PGD"),
        ({"class": "torchattacks.PGD", "eps": -1}, "`eps` must be a number of at least 0 for torchattacks.PGD, got -1"),
        ({"class": "torchattacks.PGD", "steps": 2.5}, "`steps` must be an integer of at least 0 .*, got 2.5"),
        ({"class": "torchattacks.PGD", "steps": True}, "`steps` must be an integer of at least 0"),
        ({"class": "torchattacks.PGD", "random_start": 1}, "`random_start` must be true or false"),
        ({"class": "torchattacks.APGD", "loss": 1}, "`loss` must be a text or a function for torchattacks.APGD"),
        ({"class": "torchattacks.CW", "c": "1"}, "`c` must be a number of at least 0 for torchattacks.CW"),
        ("torchattacks.LGV", "`name` must be an attack on one model; .* data loader, got LGV"),
        ("torchattacks.MultiAttack", "`attacks` must be two or more names or settings"),
        ({"class": "torchattacks.MultiAttack", "attacks": ["PGD", "PDG"]}, "no attack 'PDG'; .*did you mean 'PGD'"),
    ],
)
def test_what_there_is_not_is_refused(update, message):
    with pytest.raises(ValueError, match=message):
        get_update(update)


def test_attacks_of_one():
    """Trap 5: nested attacks are settings too."""
    rule = get_update({"class": "MultiAttack", "attacks": ["pgd", {"class": "CW", "c": 2}, TorchAttacks("FGSM")]})
    assert rule.every["attacks"] == (TorchAttacks("PGD"), TorchAttacks("CW", {"c": 2}), TorchAttacks("FGSM"))
    assert isinstance(hash(rule), int)


class Signs:
    """An attack of the user's, with what attributes of the library's attacks may not be (trap 5)."""

    def __init__(self, sign=1.0):
        self.weights = [torch.ones(2), torch.zeros(2)]
        self.sign = sign

    def __call__(self, model, images, labels):
        points = images.detach().requires_grad_()
        loss = nn.functional.cross_entropy(model(points), labels)
        (gradient,) = torch.autograd.grad(loss, points)
        return (images + self.sign * 0.1 * gradient.sign()).clamp(0, 1).detach()


def exported(model):
    return as_torchattack(Signs(), model, targeted=Signs(-1.0))


def model():
    return cnn(3, torch.float32)


def test_exported_it_is_what_it_was():
    net = model()
    ours, theirs = exported(net), torchattacks.FGSM(net, eps=0.1)
    assert isinstance(ours, torchattacks.attack.Attack)
    assert torch.equal(ours(X, Y), theirs(X, Y))
    for attack in (ours, theirs):
        attack.set_mode_targeted_by_label(quiet=True)
    assert torch.equal(ours(X, Y), theirs(X, Y))
    for attack in (ours, theirs):
        attack.set_mode_targeted_least_likely(quiet=True)
    assert torch.equal(ours(X, Y), theirs(X, Y))
    assert repr(ours).startswith("Signs(")


def test_without_a_targeted_form_there_is_no_targeted_mode():
    attack = as_torchattack(Signs(), model())
    with pytest.raises(ValueError, match="Targeted mode is not supported"):
        attack.set_mode_targeted_by_label(quiet=True)


def test_exported_in_a_multi_attack_and_saved(tmp_path, capsys):
    net = model()
    both = torchattacks.MultiAttack([exported(net), torchattacks.PGD(net)])
    reference = torchattacks.MultiAttack([torchattacks.FGSM(net, eps=0.1), torchattacks.PGD(net)])
    torch.manual_seed(0)
    found = both(X, Y)
    torch.manual_seed(0)
    assert torch.equal(found, reference(X, Y))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=4)
    exported(net).save(loader, tmp_path / "saved.pt", verbose=True)
    assert "Robust accuracy" in capsys.readouterr().out
    assert torch.equal(torch.load(tmp_path / "saved.pt")["adv_inputs"], exported(net)(X, Y))


def test_saving_leaves_modes_alone_and_has_predictions_without_a_word(tmp_path, capsys):
    """Traps 1 and 25."""
    net = model().train()
    net[1].eval()
    modes = [module.training for module in net.modules()]
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(X, Y), batch_size=2)
    ours = exported(net)
    assert ours.save(loader, tmp_path / "saved.pt", verbose=False, save_predictions=True) is None
    assert capsys.readouterr().out == ""
    assert [module.training for module in net.modules()] == modes
    saved = torch.load(tmp_path / "saved.pt")
    assert torch.equal(saved["preds"], net.eval()(saved["adv_inputs"]).argmax(1))
    accuracy, _, _ = ours.save(loader, verbose=False, return_verbose=True)
    assert accuracy == pytest.approx(100 * float((saved["preds"] == Y).float().mean()))


def test_exported_with_a_normalisation():
    """Traps 3 and 4: of images that are normalised outside the model; an error does not switch that off."""
    net = model()
    mean, std = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]
    ours, theirs = exported(net), torchattacks.FGSM(net, eps=0.1)
    for attack in (ours, theirs):
        attack.set_normalization_used(mean, std)
    images = ours.normalize(X)
    torch.testing.assert_close(ours(images, Y), theirs(images, Y), rtol=0, atol=1e-5)
    assert not torch.equal(ours(images, Y), images)
    with pytest.raises(IndexError, match="out of bounds"):
        ours(images, Y + 3)
    torch.testing.assert_close(ours(images, Y), theirs(images, Y), rtol=0, atol=1e-5)
    ours.set_normalization_used(np.array(mean), np.array(std))  # in double precision
    assert ours(images, Y).dtype == torch.float32
    torch.testing.assert_close(ours(images, Y), theirs(images, Y), rtol=0, atol=1e-5)


def test_exported_modes_are_left_alone():
    """Traps 1, 2 and 3: theirs would put the frozen batch norm into training."""
    net = model().train()
    net[1].eval()
    modes = [module.training for module in net.modules()]
    ours = exported(net)
    ours(X, Y)
    assert [module.training for module in net.modules()] == modes
    with pytest.raises(IndexError, match="out of bounds"):
        ours(X, Y + 3)
    assert [module.training for module in net.modules()] == modes
    ours.set_mode_targeted_least_likely(quiet=True)
    ours(X, Y)
    assert [module.training for module in net.modules()] == modes
    torchattacks.FGSM(net)(X, Y)
    assert [module.training for module in net.modules()] != modes


def test_exported_without_labels():
    """Trap 28."""
    seen = []

    def attack(model, images, labels):
        seen.append(labels)
        return images

    assert torch.equal(as_torchattack(attack, model())(X), X)
    assert seen == [None]

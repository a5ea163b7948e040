"""The robustness module: attacks `(model, x, y) -> x_adv`, frozen settings like attribution methods."""

from lit_attr.attacks.advgan import AdvGAN
from lit_attr.attacks.attack import ATTACKS, Attack, Attacked, Targeted, get_attack, get_attacks
from lit_attr.attacks.cw import CW
from lit_attr.attacks.foreign import AutoAttack, TorchAttack, as_torchattack
from lit_attr.attacks.iterative import BIM, DIFGSM, FGSM, MIFGSM, NIFGSM, PGD, SINIFGSM, TIFGSM, IterativeAttack
from lit_attr.attacks.transfer import GRA, MIG, NAA, SIA, SSA
from lit_attr.attacks.walking import UpdateAttack, WalkingAttack

__all__ = [
    "ATTACKS",
    "BIM",
    "CW",
    "DIFGSM",
    "FGSM",
    "GRA",
    "MIFGSM",
    "MIG",
    "NAA",
    "NIFGSM",
    "PGD",
    "SIA",
    "SINIFGSM",
    "SSA",
    "TIFGSM",
    "AdvGAN",
    "Attack",
    "Attacked",
    "AutoAttack",
    "IterativeAttack",
    "Targeted",
    "TorchAttack",
    "UpdateAttack",
    "WalkingAttack",
    "as_torchattack",
    "get_attack",
    "get_attacks",
]

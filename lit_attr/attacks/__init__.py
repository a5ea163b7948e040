"""The robustness module: attacks `(model, x, y) -> x_adv`, frozen settings like attribution methods."""

from lit_attr.attacks.advgan import AdvGAN
from lit_attr.attacks.attack import ATTACKS, Attack, Attacked, Targeted, get_attack
from lit_attr.attacks.iterative import BIM, DIFGSM, FGSM, MIFGSM, NIFGSM, PGD, SINIFGSM, TIFGSM, IterativeAttack
from lit_attr.attacks.ssa import SSA
from lit_attr.attacks.walking import UpdateAttack, WalkingAttack

__all__ = [
    "ATTACKS",
    "BIM",
    "DIFGSM",
    "FGSM",
    "MIFGSM",
    "NIFGSM",
    "PGD",
    "SINIFGSM",
    "SSA",
    "TIFGSM",
    "AdvGAN",
    "Attack",
    "Attacked",
    "IterativeAttack",
    "Targeted",
    "UpdateAttack",
    "WalkingAttack",
    "get_attack",
]

"""Update rules: from the points of guided walks to their next moves, for attacks and for path attributions."""

from lit_attr.updates._generator import Generator, load_generator, save_generator
from lit_attr.updates._torchattacks import as_torchattack
from lit_attr.updates.advgan import AdvGAN
from lit_attr.updates.cw import CW
from lit_attr.updates.fitted import fitted
from lit_attr.updates.foreign import TorchAttacks, run_torchattacks
from lit_attr.updates.gra import GRA
from lit_attr.updates.iterative import BIM, DIFGSM, FGSM, MIFGSM, NIFGSM, PGD, TIFGSM, IterativeRule
from lit_attr.updates.mig import MIG
from lit_attr.updates.naa import NAA
from lit_attr.updates.region import Bounds, Norm, Region, check_bounds, get_bounds
from lit_attr.updates.rules import UPDATES, L2Step, UpdateRule, get_update, plain_name
from lit_attr.updates.sia import SIA
from lit_attr.updates.sinifgsm import SINIFGSM
from lit_attr.updates.spsa import SPSA, Pattern
from lit_attr.updates.ssa import SSA
from lit_attr.updates.step import Step, Update
from lit_attr.updates.walk import Route, Turn, in_blocks, walk
from lit_attr.updates.walks import Walks, at_goal, left_class

__all__ = [
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
    "SPSA",
    "SSA",
    "TIFGSM",
    "UPDATES",
    "AdvGAN",
    "Bounds",
    "Generator",
    "IterativeRule",
    "L2Step",
    "Norm",
    "Pattern",
    "Region",
    "Route",
    "Step",
    "TorchAttacks",
    "Turn",
    "Update",
    "UpdateRule",
    "Walks",
    "as_torchattack",
    "at_goal",
    "check_bounds",
    "fitted",
    "get_bounds",
    "get_update",
    "in_blocks",
    "left_class",
    "load_generator",
    "plain_name",
    "run_torchattacks",
    "save_generator",
    "walk",
]

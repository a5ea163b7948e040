"""Any data module, with variants of its training samples of which a model has lost its confidence."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities import rank_zero_info, rank_zero_warn
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import nn
from torch.utils.data import DataLoader

from lit_attr._checks import ArgumentError, not_negative
from lit_attr._checks import fraction as share
from lit_attr._ranks import on_rank_zero
from lit_attr.attribution import SIGMA
from lit_attr.bank import Bank, BankError, build_bank
from lit_attr.bank._progress import Advance
from lit_attr.bank._region import class_of
from lit_attr.bank.build import Precision, Stored
from lit_attr.bank.store import Store, digest_of
from lit_attr.datamodules._choice import choose_variants
from lit_attr.datamodules._joined import the_loader, with_more
from lit_attr.datamodules._training import AugmentedVariants, PlainSamples

_HOOKS = ("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer", "on_exception")
_LOADERS = ("val_dataloader", "test_dataloader", "predict_dataloader")


class SIGMADataModule(L.LightningDataModule):
    """The data of another module; its training set also has SIGMA's variants, with the labels of their sources.

    Variants are made of training samples only, and only where a bank's sources are the training samples of now, each
    of which is compared, are they used: a bank that was made with another split is refused. They are augmented as the
    training samples are. Validation, test and prediction are those of `base`, as are all other attributes.

    Of a segmenter's data it is the largest region of an image that has lost its confidence (see `build_bank`), and the
    mask of the source is the label, moved as the augmentation moves the variant. Images must be of one size.

    In `fit`, a bank that is not there (or not finished) is made first, by all processes, with the weights of
    `checkpoint` in the module that is about to be trained. A model of another kind makes a bank with
    `lit_attr.bank.build_bank`.

    Args:
        base: a data module with one training loader over a data set with items (image, label, ...) or mappings. Images
            must be in [0, 1] after the evaluation's transform, so normalisation belongs to the model.
        bank: the folder of the bank, or where to make it; None is `sigma_bank` in the run of the checkpoint.
        checkpoint: of Lightning: the model whose confidence is lost; None takes the bank as it is.
        fraction: share of the training samples that variants are made of, in (0, 1].
        ratio: variants that join, at most, per training sample.
        balance: equally many of each class.
        reached_only: only variants that reached epsilon.
        max_l2: only variants at most so far from their source, in L2 over all pixels.
        min_ssim: only variants at least so similar to their source.
        sigma: settings of `SIGMA`; the number of paths is 1 if not given.
        stored: "uint8" or "float16".
        precision: "32", or "bf16" for walks in bfloat16.
        background: of masks: a class whose region is taken only where there is no other; None for none.
        seed: of the choices, not of the walks.

    Attributes:
        variants: those that join, after `setup("fit")`.
        facts: of these, after that: how many (`variants`), the share of the bank's walks that reached epsilon
            (`reached`, in [0, 1]), and the mean L2 distance of those that join from their sources (`l2`).

    Raises:
        ValueError: for an argument out of range; in `setup` for a bank that is damaged, of another model or of other
            samples (`BankError`), or of which no variant is left.

    Example:
        >>> from lit_attr.datamodules import ImageDataModule
        >>> data = SIGMADataModule(ImageDataModule("digits"), checkpoint="runs/mine/version_0/checkpoints/last.ckpt")
        >>> data.num_classes, str(data.folder)
        (10, 'runs/mine/version_0/sigma_bank')
    """

    def __init__(  # noqa: PLR0913 - each argument is a key of the config
        self,
        base: L.LightningDataModule,
        bank: str | None = None,
        checkpoint: str | None = None,
        *,
        fraction: float = 1.0,
        ratio: float = 1.0,
        balance: bool = False,
        reached_only: bool = True,
        max_l2: float | None = None,
        min_ssim: float | None = None,
        sigma: dict[str, Any] = {},  # noqa: B006 - never changed; None would hide it from --help
        stored: Stored = "uint8",
        precision: Precision = "32",
        background: int | None = 0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if bank is None and checkpoint is None:
            raise ArgumentError("bank", bank, "the folder of a bank, where no `checkpoint` is given to make one")
        share("fraction", fraction)
        if not fraction:
            raise ArgumentError("fraction", fraction, "in (0, 1]")
        not_negative("ratio", ratio)
        self._base = base
        self.folder = Path(bank) if bank is not None else _folder_of(Path(str(checkpoint)))
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.sigma = SIGMA(**{"paths": 1} | sigma)
        self._fraction, self._ratio, self._seed = fraction, ratio, seed
        self._rules: dict[str, Any] = {"balance": balance, "reached_only": reached_only, "max_l2": max_l2}
        self._rules |= {"min_ssim": min_ssim, "seed": seed}
        self._kept: dict[str, Any] = {"stored": stored, "precision": precision}
        ignored = int(getattr(base, "ignore_index", 255))
        self._region: dict[str, Any] = {"background": background, "ignore_index": ignored}  # of masks
        self.variants: AugmentedVariants | None = None
        self.facts: dict[str, float] = {}
        self._hparams = base.hparams  # a checkpoint is evaluated with the data of `base`
        if hasattr(base, "_hparams_name"):
            self._hparams_name = base._hparams_name
        # As attributes of the instance: Lightning looks whether a hook is another one than its own.
        for name in (*_HOOKS, *(name for name in _LOADERS if is_overridden(name, base))):
            setattr(self, name, getattr(base, name))

    def __getattr__(self, name: str) -> Any:
        """Whatever else the base has, such as the names of the classes."""
        if name.startswith("_"):
            msg = f"{type(self).__name__} has no attribute '{name}'"
            raise AttributeError(msg)
        return getattr(self._base, name)

    def prepare_data(self) -> None:
        """That of the base."""
        self._base.trainer = self.trainer
        self._base.prepare_data()

    def setup(self, stage: str | None = None) -> None:
        """That of the base; in `fit`, also make the bank where it is missing, and choose from it."""
        self._base.trainer = self.trainer
        self._base.setup(stage)  # type: ignore[arg-type]  # ours, as many others, take None too
        if stage in {"fit", None} and self.variants is None:
            self._join(self._made() if self.checkpoint else Bank(self.folder))

    def teardown(self, stage: str) -> None:
        """That of the base."""
        self._base.teardown(stage)

    def train_dataloader(self) -> DataLoader[Any]:
        """That of the base, over its training set and the variants."""
        if self.variants is None:
            msg = "the variants are not there yet: call setup('fit') first"
            raise RuntimeError(msg)
        loader = the_loader(self._base.train_dataloader())
        self.variants = self.variants.augmented_as(loader.dataset)
        return with_more(loader, self.variants) if len(self.variants) else loader

    def refresh(self, model: nn.Module, folder: str | Path, advance: Advance | None = None) -> None:
        """Make another bank with a model, and take the variants from it when it is finished.

        The training loader has to be made again (`reload_dataloaders_every_n_epochs`). Every process must call this.
        Where it fails, the bank of before is as it was, and in use.

        Args:
            model: as it is now; walks are those of its weights in single precision, as samples have it.
            folder: of the new bank.
            advance: see `build_bank`.
        """
        bank = self._build(Path(folder), _in_single_precision(model), advance)
        self._join(bank)
        self.folder = bank.folder

    @property
    def planned(self) -> int:
        """How many variants a bank has."""
        return self.sigma.paths * max(1, round(self._fraction * len(self._samples())))

    def state_dict(self) -> dict[str, Any]:
        """Which bank is in use, and the state of the base."""
        return {"bank": str(self.folder), "base": self._base.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the bank that was in use, which a refresh may have changed."""
        self._base.load_state_dict(state_dict["base"])
        used = Path(state_dict["bank"])
        if self.variants is None or used == self.folder:
            return
        if not Store(used).exists:
            rank_zero_warn(f"the bank in use at the checkpoint, {used}, is not there; going on with {self.folder}")
            return
        self._join(Bank(used))
        self.folder = used

    def _made(self) -> Bank:
        """The bank of the checkpoint, whose weights are compared where it is there."""
        if self.trainer is None or self.trainer.lightning_module is None:
            msg = "`checkpoint` is loaded into the module of a Trainer: call Trainer.fit, or give a finished bank alone"
            raise RuntimeError(msg)
        model = copy.deepcopy(self.trainer.lightning_module)
        _load(model, Path(str(self.checkpoint)))
        return self._build(self.folder, model.to(self.trainer.strategy.root_device))

    def _build(self, folder: Path, model: nn.Module, advance: Advance | None = None) -> Bank:
        samples, sigma = self._samples(), self.sigma
        count = max(1, round(self._fraction * len(samples)))
        if self._trying:
            count, sigma = min(count, 4), SIGMA(paths=1, steps=2)
            folder = folder.with_name(f"{folder.name}_fast_dev_run")
        chosen = torch.randperm(len(samples), generator=torch.Generator().manual_seed(self._seed))[:count]
        indices: Sequence[int] = chosen.sort().values.tolist()
        return build_bank(
            folder, model, samples, indices=indices, sigma=sigma, advance=advance, **self._kept, **self._region
        )

    def _join(self, bank: Bank) -> None:
        """Choose variants, of which each is of a sample of the training set of now."""
        training = the_loader(self._base.train_dataloader()).dataset
        samples = self._samples()
        rules = self._rules | ({"reached_only": False} if self._trying else {})  # two steps lead nowhere
        numbers = choose_variants(bank.columns, round(self._ratio * len(samples)), **rules)
        sources = bank.columns["index"][numbers]
        on_rank_zero(lambda: _require_sources(bank, samples, numbers.tolist(), self._region))
        self.variants = AugmentedVariants(training, bank.image, numbers.tolist(), sources.tolist(), samples)
        self.facts = {"variants": float(len(numbers)), "reached": float(bank.columns["reached"].double().mean())}
        if len(numbers):
            self.facts["l2"] = float(bank.columns["l2"][numbers].double().mean())
        told = f"{len(numbers)} of {len(bank)} variants in {bank.folder} join {len(samples)} training samples"
        if not len(numbers) and self._ratio:
            reached = int(bank.columns["reached"].sum())
            told += f" ({reached} have reached epsilon, {int((bank.columns['steps'] > 0).sum())} were walked)"
            if not self._trying:
                msg = f"`bank`: {told}; loosen the conditions, or walk for more steps"
                raise BankError(msg)
        rank_zero_info(told)

    @property
    def _trying(self) -> bool:
        """Whether all is only tried out: with few walks, whose bank is another one."""
        return bool(getattr(self.trainer, "fast_dev_run", False))

    def _samples(self) -> PlainSamples:
        """The training samples without augmentation."""
        evaluated = None
        if is_overridden("val_dataloader", self._base):
            evaluated = getattr(self._base.val_dataloader(), "dataset", None)
        return PlainSamples(the_loader(self._base.train_dataloader()).dataset, evaluated)


def _folder_of(checkpoint: Path) -> Path:
    """Of the bank of a checkpoint: in its run, else beside it."""
    if checkpoint.parent.name == "checkpoints":
        return checkpoint.parent.parent / "sigma_bank"
    return checkpoint.with_name(f"{checkpoint.stem}_sigma_bank")


def _in_single_precision(model: nn.Module) -> nn.Module:
    """The model, or a copy of one that is trained in another precision (`bf16-true`, `64-true`)."""
    single = all(parameter.dtype == torch.float32 for parameter in model.parameters())
    return model if single else copy.deepcopy(model).float()


def _load(model: nn.Module, checkpoint: Path) -> None:
    """The weights of a checkpoint, without running code in it."""
    if not checkpoint.is_file():
        msg = f"`checkpoint`: there is no file '{checkpoint}'"
        raise FileNotFoundError(msg)
    try:
        model.load_state_dict(torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"])
    except Exception as error:
        accepted = (
            f"a Lightning checkpoint of a {type(model).__name__} like the one to be trained (a bank of another model "
            "is made by lit_attr.bank.build_bank)"
        )
        raise ArgumentError("checkpoint", checkpoint, accepted) from error


def _require_sources(bank: Bank, samples: PlainSamples, numbers: list[int], region: dict[str, Any]) -> None:
    """Refuse a bank with variants of anything but the training samples of now, such as images that validate."""
    seen: set[int] = set()
    for number in numbers:
        index, label, digest = (int(bank.columns[name][number]) for name in ("index", "label", "digest"))
        if index in seen:
            continue
        seen.add(index)
        found = samples[index] if index < len(samples) else None
        if found is None or class_of(found[1], **region) != label or digest_of(*found) != digest:
            msg = (
                f"`bank`: {bank.folder} has variants of other images (training sample {index} is not the one that it "
                "was made of): it was made with another data set, split or size; some may be images that validate"
            )
            raise BankError(msg)

"""Robustness measured at validation and test: accuracy under attacks and corruptions on a fixed set of samples."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor

from lit_attr._checks import ArgumentError, not_negative_int, positive_int
from lit_attr._guard import private_rng
from lit_attr._view import Passes, looking_at
from lit_attr.attacks import Attack, WalkingAttack
from lit_attr.attacks.attack import rightly
from lit_attr.attribution import METHODS, Method
from lit_attr.callbacks._collect import (
    Samples,
    choose_samples,
    class_name,
    gather,
    own_samples,
    require_whole_model,
)
from lit_attr.callbacks._progress import progress_line
from lit_attr.callbacks._robust_report import Record, RobustReport, Tried, print_robust_report, write_robust_report
from lit_attr.callbacks._robust_trials import Trial, attack_trials, check_names, corruption_trials
from lit_attr.callbacks._rounds import Rounds, log_everywhere
from lit_attr.corruptions import Corruption
from lit_attr.metrics import Check, GradientMasking, Outcome
from lit_attr.metrics.robust_accuracy import predicted_right, robust_accuracy
from lit_attr.metrics.similarity import spearman, ssim, topk_intersection
from lit_attr.visual import AttackedSample, draw_attacked

__all__ = ["RobustnessCallback"]

_BATCH = 32  # samples held at once; the attacks cut their own passes to what memory allows
_STAGES = {"fit": "last validation", "validate": "validation", "test": "test"}
_TOP = 0.1  # of the positions, in the similarity of explanations


class RobustnessCallback(L.Callback):
    """Attack and corrupt a fixed set of samples at validation and test, and log the accuracy that is left.

    Works with any LightningModule whose `forward` gives logits, with images in [0, 1] and batches `(inputs, labels)`.
    Each chosen sample is tried once, by one rank. Accuracies are over all samples: one that is wrong without an attack
    is wrong with it. Logged under `robust/`, for checkpoints and schedules to monitor:

    - `clean`: accuracy on the same samples without any change;
    - `<attack>/<eps>`: accuracy under the attack, with eps such as `8_255`, or `0.5` where it is no whole step of 8
      bits or an L2 radius; `<attack>/accuracy` of an attack that has no eps;
    - `<attack>/success`: samples that it fools among those that were right, at its own eps;
    - `worst_case`: samples that withstand every attack at its own eps;
    - `<corruption>/<severity, sigma or amount>`, and `corruptions`, the mean of all of them; `mce` beside AlexNet in
      percent, where the fifteen of ImageNet-C are there at all severities;
    - `<name>/auc`: the area under a curve of several strengths, that begins with no change, by its width;
    - `<attack>/spearman`, `/topk` (of 10 %), `/ssim`: how alike the explanations of a sample before and after are, of
      its true class, with `explain`;
    - `sanity/failed`: how many checks for gradient masking fail (see `GradientMasking`), with `sanity`, at test.

    The tables `robustness.csv` (a row per trial, with Wilson's interval of 95 %, distances, passes and seconds) and
    `samples.csv`, curves and panels go into `robust/` of the run's folder and to every logger that can show them; the
    last table is printed when the run ends. Training with the callback gives the same weights, to the bit, as without.

    Args:
        attacks: names, or a mapping from the name to log under to settings or an instance (see `Registry.build_all`).
            Numbers may be written as texts like `8/255`.
        corruptions: names, or a mapping to settings, in which `severity`, `sigma` or `amount` may be a list. Without it
            all severities are tried, of noise those of ImageNet-C.
        eps: further eps at which each attack that has one is tried, for its curve; steps grow with it. One with
            `curve: false` among its settings is tried at its own alone.
        every_n_epochs: try again when this many epochs have passed, and at the last validation of `max_epochs`. In
            between the last numbers are logged again, so that a monitored name always exists.
        num_samples: number of samples at validation, at most all.
        test_attacks: instead of `attacks` at test; None for the same.
        test_samples: instead of `num_samples` at test, where benchmarks take the whole test set; None for the same.
        explain: an attribution method, by name or its settings with the name under `class`, whose maps of clean and
            adversarial samples are drawn and compared; None for none.
        num_images: number of samples that are drawn per attack.
        sanity: check at test whether gradients are masked, with the first attack that goes in several steps.
        seed: chooses the samples.
        name: begins the logged names and names the folder; a second callback in one Trainer needs one of its own.

    Attributes:
        report: what became of each sample in the last round of this run, of all processes; None before.

    Raises:
        ValueError: for an unknown name or setting, a number out of range, or nothing to try.

    Example:
        >>> callback = RobustnessCallback({"pgd": {"eps": "4/255"}}, {"gaussian": {"sigma": [0.1, 0.2]}})
        >>> [trial.key for trial in callback.trials(testing=False)]
        ['pgd/4_255', 'gaussian/0.1', 'gaussian/0.2']
    """

    def __init__(  # noqa: PLR0913, PLR0917 - settings of a config
        self,
        attacks: list[str] | dict[str, Any] = ["fgsm", "pgd"],  # noqa: B006 - never changed; None would hide it from --help
        corruptions: list[str] | dict[str, Any] = [],  # noqa: B006
        eps: list[float | str] = [],  # noqa: B006
        every_n_epochs: int = 1,
        num_samples: int = 64,
        test_attacks: list[str] | dict[str, Any] | None = None,
        test_samples: int | None = None,
        explain: str | dict[str, Any] | None = None,
        num_images: int = 4,
        sanity: bool = False,
        seed: int = 0,
        name: str = "robust",
    ) -> None:
        super().__init__()
        positive_int("num_samples", num_samples)
        positive_int("test_samples", num_samples if test_samples is None else test_samples)
        not_negative_int("num_images", num_images)
        if not name or Path(name).name != name:
            raise ArgumentError("name", name, "a name for a folder, without a slash")
        self._corruptions = corruption_trials(corruptions)
        self._attacks = attack_trials(attacks, eps)
        self._test_attacks = self._attacks if test_attacks is None else attack_trials(test_attacks, eps)
        for trials in (self._attacks, self._test_attacks):
            check_names(trials, self._corruptions)
        if not (self._attacks or self._test_attacks or self._corruptions):
            raise ArgumentError("attacks", attacks, "at least one attack or corruption")
        self._method = _method(explain)
        self._checks = self._gradient_masking() if sanity else None
        self.num_samples, self.test_samples, self.num_images = num_samples, test_samples or num_samples, num_images
        self.seed, self.name, self._rounds = seed, name, Rounds(every_n_epochs)
        self.report: RobustReport | None = None

    @property
    def state_key(self) -> str:
        """Distinct for callbacks that log other names or look at other samples."""
        keys = [trial.key for trial in self.trials(testing=False)]
        return self._generate_state_key(name=self.name, trials=keys, seed=self.seed, num_samples=self.num_samples)

    def trials(self, *, testing: bool) -> list[Trial]:
        """What is tried at validation, or at test."""
        return [*(self._test_attacks if testing else self._attacks), *self._corruptions]

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Refuse what cannot work: a model in parts, too few classes, another callback of this name."""
        require_whole_model(trainer)
        self.report = None
        for owner in (pl_module, getattr(trainer, "datamodule", None)):
            classes = getattr(owner, "num_classes", None)
            if isinstance(classes, int) and classes < 2:
                raise ArgumentError("num_classes", classes, "at least 2, for there to be a wrong class")
            for trial in self.trials(testing=stage == "test"):
                if isinstance(classes, int) and isinstance(trial.do, Attack) and classes < trial.do.fewest_classes:
                    fewest = trial.do.fewest_classes
                    raise ArgumentError("num_classes", classes, f"at least {fewest} for the attack '{trial.name}'")
        every: list[L.Callback] = trainer.callbacks  # type: ignore[attr-defined]  # set by a part of the Trainer
        if len([c for c in every if isinstance(c, RobustnessCallback) and c.name == self.name]) > 1:
            raise ArgumentError("name", self.name, "a name of its own for each RobustnessCallback of a Trainer")

    def state_dict(self) -> dict[str, Any]:
        """The last numbers, so that a resumed run goes on logging them."""
        return self._rounds.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the last numbers."""
        self._rounds.load_state_dict(state_dict)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Try, log and draw; in the sanity check of the Trainer, try everything on one sample and keep nothing."""
        if trainer.barebones or not self.trials(testing=False):
            return
        if trainer.sanity_checking:
            with private_rng(pl_module.device):
                self._try_all(trainer, pl_module, num_samples=1)
            return
        if self._rounds.due(trainer):
            self._rounds.found(trainer, self._round(trainer, pl_module, self.num_samples))
        self._rounds.log(pl_module)

    def on_test_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The same at test, with the attacks of the test."""
        if not trainer.barebones and self.trials(testing=True):
            log_everywhere(pl_module, self._round(trainer, pl_module, self.test_samples))

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Print the last table, on rank zero."""
        if self.report is not None and trainer.is_global_zero:
            print_robust_report(self.report, f"Robustness ({_STAGES[stage]})")

    def _round(self, trainer: L.Trainer, module: L.LightningModule, num_samples: int) -> dict[str, float]:
        """Try everything, gather, write; the numbers by logged name, the same on every rank."""
        with private_rng(module.device):  # loading, drawing and loggers may draw random numbers
            records = gather(self._try_all(trainer, module, num_samples))
            records.sort(key=lambda record: record.order)
            checks = self._judged(records) if trainer.testing else []
            self.report = RobustReport(self.trials(testing=trainer.testing), records, checks)
            write_robust_report(trainer, self.report, self.name)
        return {f"{self.name}/{label}": value for label, value in self.report.scores().items()}

    def _judged(self, records: list[Record]) -> list[Check]:
        """The checks for gradient masking, where they are asked for and a sample was there to be attacked."""
        return self._checks.judge(_columns(records)) if self._checks is not None and records else []

    def _try_all(self, trainer: L.Trainer, module: L.LightningModule, num_samples: int) -> list[Record]:
        """Records of this rank's samples."""
        chosen, trials = choose_samples(trainer, num_samples, self.seed), self.trials(testing=trainer.testing)
        mine = len(range(trainer.global_rank, len(chosen), trainer.world_size))
        records: list[Record] = []
        with progress_line(trainer, "Attacking", mine * len(trials)) as advance:
            for samples in own_samples(trainer, module, chosen, _BATCH):
                tried: dict[str, list[Tried]] = {}
                attacked: dict[str, Outcome] = {}
                for trial in trials:
                    tried[trial.key], outcome = _try(trial, module, samples)
                    if isinstance(trial.do, Attack) and trial.own:
                        attacked[trial.key] = outcome
                    advance(len(samples.order))
                records += self._records(trainer, module, samples, tried, attacked)
        return records

    def _records(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        samples: Samples,
        tried: Mapping[str, list[Tried]],
        attacked: Mapping[str, Outcome],
    ) -> list[Record]:
        named, evidence = class_name(trainer), _evidence(module, samples, samples.images)
        predicted, labels = evidence.argmax(1).tolist(), samples.labels.tolist()
        clean = rightly(evidence, samples.labels.cpu()).tolist()
        measured: dict[str, Tensor] = {}
        if self._checks is not None and trainer.testing:
            measured = self._checks.measure(module, samples.images, samples.labels)
        records = [
            Record(
                order=order,
                index=samples.numbers[i],
                label=named(labels[i]),
                prediction=named(predicted[i]),
                clean=clean[i],
                tried={key: values[i] for key, values in tried.items()},
                measured={key: bool(values[i]) for key, values in measured.items()},
            )
            for i, order in enumerate(samples.order)
        ]
        for (key, outcome), name in zip(attacked.items(), _names(self.trials(testing=trainer.testing)), strict=True):
            found = self._compare(trainer, module, samples, outcome, key, evidence)
            records = [
                replace(
                    record,
                    similarity={**record.similarity, **({name: similarity} if similarity else {})},
                    pictures={**record.pictures, **({name: draw_attacked(panel)} if panel is not None else {})},
                )
                for record, (similarity, panel) in zip(records, found, strict=True)
            ]
        return records

    def _compare(
        self,
        trainer: L.Trainer,
        module: L.LightningModule,
        samples: Samples,
        outcome: Outcome,
        key: str,
        before: Tensor,
    ) -> Iterator[tuple[dict[str, float], AttackedSample | None]]:
        """Of each sample the similarity of its explanations, and what is to be drawn of it."""
        adversarial = outcome.adversarial if outcome.adversarial is not None else samples.images
        after, named = _evidence(module, samples, adversarial), class_name(trainer)
        maps, similar = self._explanations(module, samples, adversarial)
        for i, order in enumerate(samples.order):
            similarity = {measure: float(values[i]) for measure, values in similar.items()}
            if order >= self.num_images or samples.images.dim() != 4 or trainer.sanity_checking:
                yield similarity, None
                continue
            was, now = ((named(int(e[i].argmax())), float(e[i].softmax(0).max())) for e in (before, after))
            distances = {"L-inf": outcome.linf, "L2": outcome.l2}
            yield (
                similarity,
                AttackedSample(
                    image=samples.images[i].float().cpu(),
                    adversarial=adversarial[i].float().cpu(),
                    index=samples.numbers[i],
                    label=named(int(samples.labels[i])),
                    attack=key.replace("/", " ", 1).replace("_255", "/255"),
                    predictions=(was, now),
                    distances={name: float(v[i]) for name, v in distances.items() if v is not None},
                    maps=None if maps is None else (maps[0][i], maps[1][i]),
                    method="" if self._method is None else self._method[0],
                    similarity=similarity,
                ),
            )

    def _explanations(
        self, module: L.LightningModule, samples: Samples, adversarial: Tensor
    ) -> tuple[tuple[Tensor, Tensor] | None, dict[str, Tensor]]:
        """The maps of the true class before and after, and how alike they are."""
        if self._method is None:
            return None, {}
        method = self._method[1]
        before, after = (method(module, x, samples.labels).float().cpu() for x in (samples.images, adversarial))
        one, other = (maps.sum(1) if maps.dim() == 4 else maps for maps in (before, after))
        similar = {"spearman": spearman(one, other), "topk": topk_intersection(one, other, _TOP)}
        if one.dim() == 3:
            similar["ssim"] = ssim(one, other)
        return (before, after), similar

    def _gradient_masking(self) -> GradientMasking:
        for trial in self._test_attacks:
            if trial.own and isinstance(trial.do, WalkingAttack) and trial.do.steps > 1:
                return GradientMasking(trial.do)
        names = [trial.name for trial in self._test_attacks]
        raise ArgumentError("sanity", f"true with {names}", "given with an attack of several steps, such as pgd")


def _method(explain: str | Mapping[str, Any] | None) -> tuple[str, Method] | None:
    if explain is None:
        return None
    settings = {"class": explain} if isinstance(explain, str) else dict(explain)
    (method,) = METHODS.build_all({"explain": settings}).values()
    return METHODS.name_of(method), method


def _try(trial: Trial, module: L.LightningModule, samples: Samples) -> tuple[list[Tried], Outcome]:
    """What comes of a trial for each sample."""
    began = time.perf_counter()
    if isinstance(trial.do, Corruption):
        changed = trial.do(samples.images, torch.tensor(samples.numbers))
        right, move = predicted_right(module, changed, samples.labels), (changed - samples.images).double().flatten(1)
        outcome = Outcome(right, right, move.abs().amax(1), move.norm(dim=1), changed, Passes(1, 0))
    else:
        outcome = robust_accuracy(module, samples.images, samples.labels, trial.do)
    count = len(samples.order)
    withstood = outcome.robust.tolist()  # waits for the device
    seconds = (time.perf_counter() - began) / count
    linf, l2 = ([0.0] * count if values is None else values.tolist() for values in (outcome.linf, outcome.l2))
    cost = (*outcome.passes, seconds)
    return [Tried(*one, *cost) for one in zip(withstood, linf, l2, strict=True)], outcome


def _names(trials: list[Trial]) -> list[str]:
    return [trial.name for trial in trials if isinstance(trial.do, Attack) and trial.own]


def _evidence(module: L.LightningModule, samples: Samples, images: Tensor) -> Tensor:
    with looking_at(module, images, samples.labels) as view:
        return view.evidence_at(view.inputs, view.rows).float().cpu()


def _columns(records: list[Record]) -> dict[str, Tensor]:
    names = records[0].measured if records else {}
    return {name: torch.tensor([record.measured[name] for record in records]) for name in names}

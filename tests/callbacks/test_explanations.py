"""The callback against its definition: same scores as by hand, no trace in training, once per sample."""

import csv
import json
import random
from pathlib import Path
from types import SimpleNamespace

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.strategies import FSDPStrategy
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, SubsetRandomSampler, WeightedRandomSampler

from _reference.foreign import Foreign, Stripes, loaders, trainer
from _reference.wandb_file import history
from lit_attr.attribution import METHODS, FastIG, IntegratedGradients
from lit_attr.callbacks import ExplanationCallback
from lit_attr.callbacks._collect import choose
from lit_attr.loggers import WandbLogger
from lit_attr.metrics import METRICS, Insertion

METHODS_ = {"ig": {"steps": 4}, "grad_cam": {}}
REGIONAL = (  # they need a `RegionTarget`
    *("region_deletion", "region_insertion", "region_robustness", "target_drop", "off_target_drop"),
    *("leakage_ratio", "off_target_mass"),
)
METRICS_ = {"insertion": {"steps": 4}, "deletion": {"steps": 4}, "gap": {"steps": 4}}


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def explain(**settings):
    return ExplanationCallback(
        **{"methods": METHODS_, "metrics": METRICS_, "num_samples": 5, "num_images": 1, **settings}
    )


class States(L.Callback):
    """The random states of the process after every validation."""

    def __init__(self):
        self.seen = []

    def on_validation_end(self, trainer, pl_module):
        self.seen.append((torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()))


def fit(folder, *callbacks, precision="32-true", wrap=lambda module: module, **settings):
    random.seed(3)
    np.random.seed(3)
    torch.manual_seed(3)
    module, states = Foreign(), States()
    train, val = loaders(random_noise=True)
    fitter = trainer(
        folder,
        *callbacks,
        states,
        accumulate_grad_batches=2,
        val_check_interval=0.5,
        num_sanity_val_steps=2,
        precision=precision,
        **settings,
    )
    fitter.fit(wrap(module), train, val)
    return module, states.seen


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_training_is_the_same_to_the_bit_with_and_without(tmp_path, precision):
    few = {"ig": {"steps": 4}, "smoothgrad": {"samples": 2}, "sigma": {"paths": 2, "steps": 10}, "isa": {"rounds": 4}}
    every_method = {name: few.get(name, {}) for name in METHODS.names()}
    alone, states_alone = fit(tmp_path, precision=precision)
    watched, states = fit(tmp_path, explain(methods=every_method), precision=precision)
    for name, value in alone.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name]), name
    assert len(states) == len(states_alone) == 5  # the sanity check and two in each epoch
    for (a, b, c), (x, y, z) in zip(states, states_alone, strict=True):
        assert torch.equal(a, x)
        assert b == y
        assert np.array_equal(c, z)
    assert all(p.grad is None or p.requires_grad for p in watched.parameters())


# Dynamo looks at the gradient of every tensor it is given, and torch warns where that is no leaf.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_compiled_module_trains_the_same(tmp_path):
    def wrap(module):
        return torch.compile(module, backend="eager")

    alone, _ = fit(tmp_path, wrap=wrap)
    watched, _ = fit(tmp_path, explain(), wrap=wrap)
    for name, value in alone.state_dict().items():
        assert torch.equal(value, watched.state_dict()[name]), name


def by_hand(module, method, count=5, seed=0):
    """Insertion over the chosen samples, one at a time."""
    metric = Insertion(steps=4)
    for index in choose(16, count, seed):
        image, _ = Stripes()[index]
        batch = image[None]
        metric.update(module, batch, None, method(module, batch))
    return float(metric.compute())


def test_logged_scores_are_those_of_the_chosen_samples(tmp_path):
    module, callback = Foreign(), explain()
    tester = trainer(tmp_path, callback)
    (logged,) = tester.validate(module, loaders()[1], verbose=False)  # under inference mode
    assert set(callback.names()) <= set(logged)
    assert logged["explain/ig/insertion"] == pytest.approx(by_hand(module, IntegratedGradients(steps=4)), abs=1e-6)
    assert logged["explain/ig/gap"] == pytest.approx(
        logged["explain/ig/insertion"] - logged["explain/ig/deletion"], abs=1e-6
    )


def test_label_as_target_explains_the_label(tmp_path):
    module = Foreign()
    (logged,) = trainer(tmp_path, explain(target="label")).validate(module, loaders()[1], verbose=False)
    metric = Insertion(steps=4)
    for index in choose(16, 5, 0):
        image, label = Stripes()[index]
        batch = image[None]
        metric.update(module, batch, label, IntegratedGradients(steps=4)(module, batch, label))
    assert logged["explain/ig/insertion"] == pytest.approx(float(metric.compute()), abs=1e-6)


@pytest.mark.parametrize("inference_mode", [True, False])
def test_every_validation_loop(tmp_path, inference_mode):
    module = Foreign()
    tester = trainer(tmp_path, explain(), inference_mode=inference_mode)
    assert tester.validate(module, loaders()[1], verbose=False)
    assert trainer(tmp_path, explain(), inference_mode=inference_mode, max_epochs=1).fit(module, *loaders()) is None
    assert not any(parameter.is_inference() for parameter in module.parameters())


def test_scores_can_be_monitored_also_between_explained_epochs(tmp_path):
    monitor = ModelCheckpoint(tmp_path / "best", monitor="explain/ig/insertion", mode="max")
    callback = explain(every_n_epochs=3)
    explained = []
    original = callback._explain
    callback._explain = lambda t, m, *rest: explained.append(t.current_epoch) or original(t, m, *rest)
    fitter = trainer(tmp_path, callback, monitor, max_epochs=6)
    fitter.fit(Foreign(), *loaders())
    assert explained == [0, 3, 5]
    assert monitor.best_model_path
    assert float(monitor.best_model_score) == pytest.approx(float(max(monitor.best_k_models.values())))


def test_sanity_check_tries_one_sample_and_keeps_nothing(tmp_path):
    callback = explain()
    asked = []
    original = callback._explain
    callback._explain = lambda t, m, num_samples, counts: (
        asked.append((t.sanity_checking, num_samples)) or original(t, m, num_samples, counts)
    )
    logger = CSVLogger(tmp_path)
    trainer(tmp_path, callback, num_sanity_val_steps=1, max_epochs=1, logger=logger).fit(Foreign(), *loaders())
    assert asked == [(True, 1), (False, 5)]
    assert len(table(tmp_path / "lightning_logs/version_0/explain/scores.csv")) == 6


def test_images_outside_the_unit_range_stop_the_run_before_training(tmp_path):
    class Normalised(Stripes):
        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return (image - 0.5) / 0.25, label

    module = Foreign()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    fitter = trainer(tmp_path, explain(), num_sanity_val_steps=1)
    with pytest.raises(ValueError, match=r"`inputs` must be images in \[0, 1\], got .* give `fill` as a number"):
        fitter.fit(module, DataLoader(Stripes(), 4), DataLoader(Normalised(), 4))
    assert all(torch.equal(value, module.state_dict()[name]) for name, value in before.items())
    numbers = {name: {"steps": 4, "fill": 0.0} for name in METRICS_}
    assert trainer(tmp_path, explain(metrics=numbers)).validate(module, DataLoader(Normalised(), 4), verbose=False)


def test_iterable_data_is_refused_with_the_reason(tmp_path):
    class Stream(IterableDataset):
        def __iter__(self):
            return (Stripes()[i] for i in range(4))

    with pytest.raises(TypeError, match=r"map-style data set .* got DataLoader over Stream"):
        trainer(tmp_path, explain()).validate(Foreign(), DataLoader(Stream(), 2), verbose=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"methods": ["igg"]}, r"unknown method 'igg'; accepted: .*did you mean 'ig'"),
        ({"methods": {"ig": {"stps": 3}}}, r"method 'ig' has no setting 'stps'; accepted: .*did you mean 'steps'"),
        ({"metrics": ["insert"]}, r"unknown metric 'insert'"),
        ({"num_samples": 0}, r"`num_samples` must be a positive integer, got 0"),
        ({"num_images": -1}, r"`num_images` must be an integer of at least 0, got -1"),
        ({"name": "a/b"}, r"`name` must be a name for a folder, without a slash, got a/b"),
        ({"every_n_epochs": 0}, r"`every_n_epochs` must be a positive integer, got 0"),
        ({"target": "predict"}, r"`target` is 'predict'; accepted: label, predicted"),
    ],
)
def test_settings_are_checked_when_it_is_made(settings, message):
    with pytest.raises(ValueError, match=message):
        explain(**settings)


def test_files_hold_the_logged_numbers_and_the_drawn_samples(tmp_path):
    callback = explain(num_images=2)
    tester = trainer(tmp_path, callback, logger=CSVLogger(tmp_path, name="run"))
    (logged,) = tester.validate(Foreign(), loaders()[1], verbose=False)
    folder = tmp_path / "run/version_0/explain"
    scores = {f"explain/{row['method']}/{row['metric']}": float(row["value"]) for row in table(folder / "scores.csv")}
    assert scores == pytest.approx({name: logged[name] for name in callback.names()})
    samples = table(folder / "epoch_0000_step_000000/samples.csv")
    assert [int(row["index"]) for row in samples] == choose(16, 5, 0)
    mean = np.mean([float(row["ig/insertion"]) for row in samples])
    assert mean == pytest.approx(logged["explain/ig/insertion"], abs=1e-6)
    drawn = sorted(path.name for path in (folder / "epoch_0000_step_000000").glob("*.png"))
    assert drawn == sorted([*(f"sample_{index:06d}.png" for index in choose(16, 5, 0)[:2]), "scores.png"])


def test_tensorboard_gets_the_pictures(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path)
    trainer(tmp_path, explain(), logger=logger).validate(Foreign(), loaders()[1], verbose=False)
    events = EventAccumulator(logger.log_dir).Reload()
    assert any(tag.startswith("explain/panels") for tag in events.Tags()["images"])


class Zero(Foreign):
    """Its logits do not depend on the image, though a gradient exists: all maps are zero."""

    def forward(self, x):
        return 0.0 * super().forward(x) + torch.tensor([0.3, -0.3])


def test_maps_of_zeros_are_scored_and_drawn(tmp_path):
    tester = trainer(tmp_path, explain(), logger=CSVLogger(tmp_path, name="run"))
    (logged,) = tester.validate(Zero(), loaders()[1], verbose=False)
    assert logged["explain/ig/gap"] == pytest.approx(0)
    assert list((tmp_path / "run/version_0/explain/epoch_0000_step_000000").glob("sample_*.png"))


def test_two_callbacks_keep_their_own_state(tmp_path):
    first, second = explain(), explain(methods={"fast": FastIG()}, name="fast")
    assert first.state_key != second.state_key
    fitter = trainer(tmp_path, first, second, ModelCheckpoint(tmp_path, save_last=True), max_epochs=1)
    fitter.fit(Foreign(), *loaders())
    stored = torch.load(tmp_path / "last.ckpt", weights_only=True)["callbacks"]
    assert set(stored[first.state_key]["last"]) == set(first.names())
    assert set(stored[second.state_key]["last"]) == set(second.names())


class Logged(L.Callback):
    """What a monitor sees after each validation."""

    def __init__(self):
        self.values = {}

    def on_validation_end(self, trainer, pl_module):
        self.values[trainer.current_epoch] = float(trainer.callback_metrics["explain/ig/insertion"])


@pytest.mark.filterwarnings("ignore:The dirpath has changed from")  # each part of the run has a folder of its own
def test_resumed_run_goes_on_logging_the_last_scores(tmp_path):
    def fitter(logged, max_epochs):
        keep = ModelCheckpoint(tmp_path / str(max_epochs), save_last=True)
        return trainer(tmp_path, explain(every_n_epochs=5), logged, keep, max_epochs=max_epochs)

    first, second = Logged(), Logged()
    fitter(first, 2).fit(Foreign(), *loaders())
    fitter(second, 4).fit(Foreign(), *loaders(), ckpt_path=tmp_path / "2/last.ckpt")
    assert list(first.values) == [0, 1]  # explained as the first and as the last epoch
    assert list(second.values) == [2, 3]
    assert second.values[2] == first.values[1]
    assert second.values[3] != first.values[1]


def test_batches_as_mappings_and_sets_smaller_than_asked_for(tmp_path):
    class Named(Stripes):
        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return {"image": image, "label": label}

    class Module(Foreign):
        def validation_step(self, batch, batch_idx):
            self.log("val/loss", self(batch["image"]).mean())

    (logged,) = trainer(tmp_path, explain(num_samples=99)).validate(Module(), DataLoader(Named(3), 2), verbose=False)
    assert "explain/grad_cam/gap" in logged


def test_fast_dev_run_writes_nothing(tmp_path):
    trainer(tmp_path, explain(), fast_dev_run=True).fit(Foreign(), *loaders())
    assert not list(tmp_path.rglob("*.png"))


def test_frozen_backbone_can_be_explained(tmp_path):
    module = Foreign()
    module.net.requires_grad_(False)
    assert trainer(tmp_path, explain()).validate(module, loaders()[1], verbose=False)
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_module_is_as_before_after_many_rounds(tmp_path):
    module, callback = Foreign(), explain()
    tester = trainer(tmp_path, callback)
    for _ in range(3):
        tester.validate(module, loaders()[1], verbose=False)
    assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in module.modules())
    assert [name for name, _ in module.named_modules() if "metric" in name] == []
    assert isinstance(module.net[0], nn.Conv2d)


@pytest.mark.slow
def test_wandb_keeps_scores_panels_a_row_per_sample_and_curves(tmp_path):
    import wandb

    logger = WandbLogger(save_dir=tmp_path / "runs", project="p")
    trainer(tmp_path, explain(num_images=2), logger=logger).validate(Foreign(), loaders()[1], verbose=False)
    files = Path(logger.experiment.dir)
    wandb.finish()
    wandb.teardown()
    (stored,) = files.parent.glob("*.wandb")
    keys = {key for row in history(stored) for key in row}
    assert "explain/ig/insertion" in keys
    for name in ("explain/panels", "explain/samples", "explain/curves/insertion_table"):
        assert any(key == name or key.startswith(f"{name}/") for key in keys), name
    assert len(list(files.glob("media/images/explain/panels_*.png"))) == 2
    assert len(list(files.glob("media/images/explain/scores_*.png"))) == 1
    (table_file,) = files.glob("media/table/explain/samples*.json")
    stored_table = json.loads(table_file.read_text())
    assert [row[2] for row in stored_table["data"]] == choose(16, 5, 0)
    assert "ig/gap" in stored_table["columns"]


def epochs_explained(folder, callback, **settings):
    seen, original = [], callback._explain

    def watched(trainer, *others):
        seen.append(trainer.current_epoch)
        return original(trainer, *others)

    callback._explain = watched
    trainer(folder, callback, **settings).fit(Foreign(), *loaders())
    return seen


@pytest.mark.parametrize(
    ("every", "check", "end", "expected"),
    [(2, 2, 9, [1, 3, 5, 7]), (5, 5, 22, [4, 9, 14, 19]), (4, 2, 10, [1, 5, 9]), (3, 1, 5, [0, 3, 4])],
)
def test_epochs_that_are_explained(tmp_path, every, check, end, expected):
    callback = explain(methods={"fast_ig": {}}, every_n_epochs=every)
    assert epochs_explained(tmp_path, callback, max_epochs=end, check_val_every_n_epoch=check) == expected


def test_only_samples_that_the_loader_gives_are_explained(tmp_path):
    part = [15, 9, 11, 13]
    tester = trainer(tmp_path, explain(), logger=CSVLogger(tmp_path, name="run"))
    tester.validate(Foreign(), DataLoader(Stripes(), 2, sampler=SubsetRandomSampler(part)), verbose=False)
    rows = table(tmp_path / "run/version_0/explain/epoch_0000_step_000000/samples.csv")
    assert sorted(int(row["index"]) for row in rows) == sorted(part)


def test_loader_with_an_unknown_sampler_is_refused(tmp_path):
    loader = DataLoader(Stripes(), 2, sampler=WeightedRandomSampler([1.0] * 16, 4))
    with pytest.raises(TypeError, match="cannot tell which samples a validation loader with WeightedRandomSampler"):
        trainer(tmp_path, explain()).validate(Foreign(), loader, verbose=False)


def test_hooks_before_the_transfer_see_the_explained_batch(tmp_path):
    class Halving(Foreign):
        def __init__(self):
            super().__init__()
            self.seen = []

        def on_before_batch_transfer(self, batch, dataloader_idx):
            return batch[0] / 2, batch[1]

        def forward(self, x):
            self.seen.append(float(x.detach().max()))
            return super().forward(x)

    module = Halving()
    metrics = {"insertion": {"steps": 4}}
    trainer(tmp_path, explain(metrics=metrics)).validate(module, loaders()[1], verbose=False)
    assert max(module.seen) <= 0.5


def test_two_callbacks_have_folders_and_names_of_their_own(tmp_path):
    first, second = explain(), explain(methods={"fast": FastIG()}, name="labels", target="label")
    tester = trainer(tmp_path, first, second, logger=CSVLogger(tmp_path, name="run"))
    (logged,) = tester.validate(Foreign(), loaders()[1], verbose=False)
    assert {"explain/ig/gap", "labels/fast/gap"} <= set(logged)
    folder = tmp_path / "run/version_0"
    assert {row["method"] for row in table(folder / "explain/scores.csv")} == {"ig", "grad_cam"}
    assert {row["method"] for row in table(folder / "labels/scores.csv")} == {"fast"}


def test_a_second_callback_of_the_same_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`name` must be a name of its own for each ExplanationCallback .* explain"):
        trainer(tmp_path, explain(), explain(methods=["ig"])).validate(Foreign(), loaders()[1], verbose=False)


def test_rounds_of_one_epoch_have_folders_of_their_own(tmp_path):
    logger = CSVLogger(tmp_path, name="run")
    trainer(tmp_path, explain(), logger=logger, max_epochs=1, val_check_interval=0.5).fit(Foreign(), *loaders())
    found = sorted(path.name for path in (tmp_path / "run/version_0/explain").glob("epoch_*"))
    assert found == ["epoch_0000_step_000002", "epoch_0000_step_000004"]


def test_only_validated_samples_are_explained(tmp_path):
    tester = trainer(tmp_path, explain(), logger=CSVLogger(tmp_path, name="run"), limit_val_batches=1)
    tester.validate(Foreign(), loaders()[1], verbose=False)
    rows = table(tmp_path / "run/version_0/explain/epoch_0000_step_000000/samples.csv")
    assert sorted(int(row["index"]) for row in rows) == [0, 1, 2, 3]


def test_one_image_of_nan_is_left_out_and_named(tmp_path):
    class Broken(Stripes):
        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return (image / 0 if index == 3 else image), label

    tester = trainer(tmp_path, explain(num_samples=16), logger=CSVLogger(tmp_path, name="run"))
    with pytest.warns(UserWarning, match=r"not explained: samples \[3\] of the validation set have NaN or infinity"):
        (logged,) = tester.validate(Foreign(), DataLoader(Broken(), 4), verbose=False)
    rows = table(tmp_path / "run/version_0/explain/epoch_0000_step_000000/samples.csv")
    assert [int(row["index"]) for row in rows].count(3) == 0
    assert len(rows) == 15
    assert np.isfinite(logged["explain/ig/insertion"])


def test_strategies_that_split_the_model_are_refused():
    runner = SimpleNamespace(strategy=FSDPStrategy(), callbacks=[])
    with pytest.raises(ValueError, match=r"`trainer.strategy` must be a strategy that keeps the whole model .*FSDP"):
        explain().setup(runner, Foreign(), "fit")


def test_scores_of_groups_by_confidence(tmp_path):
    """Logged beside those of all, which are their mixture."""
    few = {"methods": {"ig": {"steps": 4}}, "metrics": {"gap": {"steps": 4}}}
    callback, module = explain(**few, num_samples=6, confidence_edges=[0.55]), Foreign()
    run = trainer(tmp_path, callback)
    run.validate(module, loaders()[1], verbose=False)
    found = {row["group"]: row for row in table(next(tmp_path.rglob("scores.csv")))}
    assert list(found) == ["all", "below_0.55", "from_0.55"]
    parts = [(float(row["value"]), int(row["samples"])) for row in found.values()]
    (value, samples), *groups = parts
    assert samples == 6 == sum(count for _, count in groups)
    assert value == pytest.approx(sum(v * n for v, n in groups if n) / 6, abs=1e-6)
    logged = {name: float(v) for name, v in run.callback_metrics.items() if name.startswith("explain/")}
    assert (
        set(logged)
        == set(callback.names())
        == {"explain/ig/gap", "explain/ig/gap/below_0.55", "explain/ig/gap/from_0.55"}
    )


class Masked(Stripes):
    """A mask of the upper half with every sample."""

    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        mask = torch.zeros(image.shape[1:], dtype=torch.bool)
        mask[: len(mask) // 2] = True
        return {"image": image, "label": label, "mask": mask}


EVERY_METRIC = {
    "average_sensitivity": {"draws": 2},
    "infidelity": {"samples": 4},
    "max_sensitivity": {"draws": 2},
    "mprt": {"stages": 2},
    "sic": {"min_score": 0},
    "subset_correlation": {"subsets": 4},
}


@pytest.mark.filterwarnings("ignore:.*(leaves out samples|skipped for NaN|0 samples used):UserWarning")
def test_every_metric_from_settings(tmp_path):
    """Those that explain again and those that need a mask of the object, too."""

    class Dictionary(Foreign):
        def validation_step(self, batch, batch_idx):
            return super().validation_step((batch["image"], batch["label"]), batch_idx)

    metrics = {name: EVERY_METRIC.get(name, {}) for name in METRICS.names() if name not in REGIONAL}
    callback = explain(methods={"ig": {"steps": 2}}, metrics=metrics, num_samples=4)
    run = trainer(tmp_path, callback)
    run.validate(Dictionary(), DataLoader(Masked(8), batch_size=4), verbose=False)
    rows = {row["metric"]: row for row in table(next(tmp_path.rglob("scores.csv")))}
    assert list(rows) == list(metrics)
    used = {name for name, row in rows.items() if np.isfinite(float(row["value"]))}
    assert used >= set(metrics) - {"aic", "sic", "explanation_similarity"}  # undefined for such small images
    assert len(list(tmp_path.rglob("sample_*.png"))) == 1

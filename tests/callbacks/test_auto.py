"""The method that "auto" stands for: chosen once, after the sanity check, alike on all ranks, with its reasons kept."""

import csv
from pathlib import Path

import pytest
import torch

from _reference.foreign import Foreign, loaders, trainer
from _reference.processes import command
from _reference.squares import Colours
from _reference.squares import loader as squares
from lit_attr.attribution import METHODS
from lit_attr.callbacks import ExplanationCallback
from lit_attr.callbacks._auto import Auto, without_auto

FEW = {"ig": {"steps": 4}, "saliency": {}}
CHOICE = {"budget": 6000, "samples": 8, "methods": FEW}


def explain(methods, **settings):
    few = {"metrics": {"insertion": {"steps": 4}}, "num_samples": 3, "num_images": 0}
    return ExplanationCallback(methods, **{**few, **settings})


def choices(folder):
    return list(Path(folder).rglob("choice.csv"))


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


class Spy(ExplanationCallback):
    """Which method stood behind the name at each round."""

    def _explain(self, trainer, *others):
        found = super()._explain(trainer, *others)
        self.rounds = [*getattr(self, "rounds", []), (trainer.sanity_checking, self.methods["auto"])]
        return found


def test_the_choice_is_made_once_and_logged_under_its_word(tmp_path, capsys):
    callback = Spy({"auto": CHOICE, "grad_cam": {}}, {"insertion": {"steps": 4}}, num_samples=3, num_images=0)
    assert sorted(callback.names()) == ["explain/auto/insertion", "explain/grad_cam/insertion"]
    fitter = trainer(tmp_path, callback, max_epochs=2, num_sanity_val_steps=2)
    fitter.fit(Foreign(), *loaders())
    assert {"explain/auto/insertion", "explain/grad_cam/insertion"} <= set(fitter.callback_metrics)
    (path,) = choices(tmp_path)
    name = rows(path)[0]["name"]
    assert path.parent.name == "explain"
    assert [sanity for sanity, _ in callback.rounds] == [True, False, False]
    assert callback.rounds[0][1] == METHODS.build("saliency")  # nothing is known before training
    assert callback.rounds[1][1] == callback.rounds[2][1] == METHODS.build(name, FEW[name])
    assert capsys.readouterr().out.count(f"explanations: {name} is chosen") == 1


def test_a_resumed_run_keeps_the_choice(tmp_path):
    first = explain({"auto": CHOICE})
    trainer(tmp_path / "a", first).validate(Foreign(), loaders()[1], verbose=False)
    chosen = first.state_dict()["chosen"]
    again = explain({"auto": CHOICE})
    again.load_state_dict(first.state_dict())
    trainer(tmp_path / "b", again).validate(Foreign(), loaders()[1], verbose=False)
    assert again.methods["auto"] == METHODS.build(chosen, FEW[chosen])
    assert choices(tmp_path / "b") == []
    other = explain({"auto": {**CHOICE, "methods": ["fast_ig"]}})
    other.load_state_dict(first.state_dict())
    assert other.state_dict()["chosen"] == ""


def test_a_checkpoint_from_before_there_was_a_choice():
    callback = explain({"auto": CHOICE})
    callback.load_state_dict({"last": {}, "epoch": 0})
    assert callback.state_dict()["chosen"] == ""


def test_training_is_the_same_to_the_bit_with_a_choice(tmp_path):
    def weights(folder, *callbacks):
        torch.manual_seed(3)
        module = Foreign()
        trainer(folder, *callbacks, max_epochs=1).fit(module, *loaders(random_noise=True))
        return module.state_dict()

    alone, watched = weights(tmp_path / "a"), weights(tmp_path / "b", explain({"auto": CHOICE}))
    assert choices(tmp_path / "b")
    assert all(torch.equal(value, watched[name]) for name, value in alone.items())


def test_too_few_samples_are_told(tmp_path):
    tester = trainer(tmp_path, explain("auto"), limit_val_batches=1)
    with pytest.raises(ValueError, match="`data` must be of 8 samples or more"):
        tester.validate(Foreign(), loaders()[1], verbose=False)


@pytest.mark.parametrize(
    ("methods", "rest", "auto"),
    [
        ("auto", [], Auto()),
        (["ig", "auto"], ["ig"], Auto()),
        (["ig"], ["ig"], None),
        ({"ig": {}}, {"ig": {}}, None),
        ({"ig": {}, "auto": None}, {"ig": {}}, Auto()),
        ({"auto": {"budget": 5, "weights": {"cost": 1}}}, {}, Auto(5, weights={"cost": 1})),
    ],
)
def test_what_configs_say(methods, rest, auto):
    assert without_auto(methods) == (rest, auto)


def test_an_unknown_setting_is_refused():
    with pytest.raises(ValueError, match=r"method 'auto' has no setting 'buget'; .*did you mean 'budget'\?"):
        explain({"auto": {"buget": 3}})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 4}, "`auto.samples` must be at least 8"),
        ({"budget": 0}, "`auto.budget` must be"),
        ({"weights": {"costs": 1}}, "`weights` is 'costs'"),
        ({"methods": ["igg"]}, "did you mean 'ig'"),
        ({"methods": {}}, "`auto.methods` must be at least one"),
    ],
)
def test_what_the_choice_would_refuse_is_refused_before_any_training(settings, message):
    with pytest.raises(ValueError, match=message):
        explain({"auto": settings})


def test_of_a_segmenter_it_is_refused_also_without_a_sanity_check(tmp_path):
    with pytest.raises(ValueError, match="`methods` must be named for a segmenter"):
        trainer(tmp_path, explain("auto")).validate(Colours(), squares(), verbose=False)


@pytest.mark.slow
def test_two_processes_choose_what_one_chooses(tmp_path):
    """On the samples of all ranks; the file is written once."""
    tables = []
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        settings = '{"auto": {"budget": 6000, "samples": 12, "methods": {"ig": {"steps": 4}, "saliency": {}}}}'
        given = ["--explanations.methods", settings, "--explanations.metrics", '{"insertion": {"steps": 4}}']
        given += ["--explanations.num_samples", "3", "--explanations.num_images", "0", "--seed_everything", "5"]
        done = command(folder, "validate", "--trainer.accelerator", "cpu", *given, processes=processes)
        assert done.stdout.count("is chosen") == 1
        (path,) = choices(folder)
        tables.append(rows(path))
    one, two = tables
    assert [row["name"] for row in one] == [row["name"] for row in two]
    assert float(one[0]["score"]) == pytest.approx(float(two[0]["score"]), abs=1e-5)
    assert int(one[0]["samples"]) == 12

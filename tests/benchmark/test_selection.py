"""The choice: what it finds, what it may claim, what it costs and what it leaves alone."""

import csv
import random
from typing import ClassVar

import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import lit_attr
from _reference.foreign import Foreign
from lit_attr.attribution import Saliency
from lit_attr.benchmark import select
from lit_attr.ground_truth import Designed, keyed_scenes

SCENES = keyed_scenes(24, seed=3, complete=True)
# By design only what looks along a way from black finds disc and key here: at the image all gradients are zero.
GOOD_AND_BAD = {"ig": {"steps": 8}, "saliency": {}, "smoothgrad": {"samples": 4}, "fast_ig": {}}


def chosen(**settings):
    return select(Designed(), SCENES.images, **{"methods": GOOD_AND_BAD, "budget": 100_000, "samples": 24, **settings})


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), torch.rand(12, 1, 8, 8)


def test_the_package_has_it():
    assert lit_attr.select is select


def test_what_is_right_by_design_is_chosen_and_the_rest_shown_to_be_worse():
    found = chosen()
    assert found.name == "ig"
    assert found.method.steps == 8
    assert [row.verdict for row in found.table] == ["chosen", "worse", "worse", "worse"]
    assert found.table[0].reason == "highest score"
    assert found.table[1].reason.startswith("worse than ig by 0.")


def test_methods_that_do_the_same_are_even():
    """Of an affine model both find the same: the cheaper one wins where cost counts, else nothing is claimed."""
    model, images = small()
    methods = {"few": {"class": "ig", "steps": 2}, "many": {"class": "ig", "steps": 50}}
    even = select(model, images, methods=methods, weights={"cost": 0.0})
    assert [row.verdict for row in even.table] == ["chosen", "even"]
    assert even.table[0].reason == "highest score; not shown to be better than " + even.table[1].name
    assert even.table[1].reason == f"not shown to be worse than {even.name}"
    dear = select(model, images, methods=methods)
    assert (dear.name, dear.table[1].verdict) == ("few", "worse")


def test_weights_decide():
    """The random one is cheaper and the steady one is steady."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Tanh(), nn.Conv2d(8, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(128, 3))
    images = torch.rand(12, 1, 8, 8)
    methods = {"smoothgrad": {"samples": 1, "sigma": 3.0}, "ig": {"steps": 50}}
    for weights, name in [({"stability": 0, "cost": 1}, "smoothgrad"), ({"stability": 1, "cost": 0}, "ig")]:
        assert select(model, images, methods=methods, weights={"faithfulness": 0, **weights}).name == name


def test_the_budget_holds_and_what_does_not_fit_is_told():
    found = chosen(budget=8_000, methods={**GOOD_AND_BAD, "rise": {"masks": 4000}})
    assert found.passes <= 8_000
    *_, last = found.table
    assert (last.name, last.verdict, last.samples) == ("rise", "not tried", 0)
    assert last.reason.startswith("4,000 passes per explanation do not fit into the budget; ")
    more = int(last.reason.split("; ")[1].split(" ")[0].replace(",", ""))
    assert "not tried" not in [row.verdict for row in _admitted(more, {**GOOD_AND_BAD, "rise": {"masks": 4000}})]
    assert "not tried" in [row.verdict for row in _admitted(more - 1, {**GOOD_AND_BAD, "rise": {"masks": 4000}})]


def _admitted(budget, methods):
    """Of a model that costs nothing, so that thousands of passes are soon done."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 1024, 3))
    return select(model, SCENES.images[:8], budget, methods, samples=8).table


def test_a_budget_for_nothing_is_refused():
    with pytest.raises(ValueError, match=r"`budget` must be at least [0-9]+, for [a-z_]+ alone, got 10"):
        chosen(budget=10)


def test_more_budget_sees_more_samples_and_early_leavers_see_fewer():
    few, more = ({row.name: row.samples for row in chosen(budget=budget).table} for budget in (8_000, 12_000))
    assert few["smoothgrad"] < more["smoothgrad"] < few["ig"] == more["ig"] == 24


def test_of_equal_scores_the_cheapest_is_chosen():
    """By design both find the same, and saliency too little."""
    methods = {"ig_many": {"class": "ig", "steps": 8}, "ig_few": {"class": "ig", "steps": 4}, "saliency": {}}
    found = chosen(methods=methods, weights={"stability": 0, "cost": 0})
    assert [row.verdict for row in found.table] == ["chosen", "even", "worse"]
    assert found.name == "ig_few"


def test_a_method_that_cannot_explain_is_told_and_not_chosen():
    torch.manual_seed(0)
    found = select(nn.Linear(6, 3), torch.rand(10, 6), methods=["grad_cam", "ig", "saliency"])
    assert found.table[-1].name == "grad_cam"
    assert found.table[-1].reason.startswith("cannot explain this: `inputs` must be images")
    with pytest.raises(ValueError, match="no candidate can explain this; grad_cam cannot"):
        select(nn.Linear(6, 3), torch.rand(10, 6), methods=["grad_cam"])


def test_the_same_again_and_no_trace():
    model = Foreign().train()
    images = torch.rand(10, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    one, same = (select(model, images, 30_000, ["ig", "smoothgrad", "saliency"]) for _ in range(2))
    assert (one.table, one.name) == (same.table, same.name)
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert torch.equal(torch.get_rng_state(), states[2])
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_under_inference_mode():
    model, images = small()
    with torch.inference_mode():
        found = select(model, DataLoader(TensorDataset(images), batch_size=4), methods=["ig", "saliency"])
    assert found.name


class Told(Saliency):
    """Notes the classes that it is asked for."""

    seen: ClassVar[set[int]] = set()

    def attribute(self, view):
        self.seen.update(view.target.index.tolist())
        return super().attribute(view)


def test_labels_are_explained_where_asked_for():
    model, images = small()
    with torch.no_grad():
        model[1].bias[2] += 10  # always predicted
    data = images, torch.zeros(12, dtype=torch.long)
    for target, expected in [("predicted", {2}), ("label", {0})]:
        Told.seen.clear()
        select(model, data, methods={"told": Told()}, target=target)
        assert Told.seen == expected
    with pytest.raises(ValueError, match="`data` must be with labels"):
        select(model, images, methods=["ig"], target="label")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"weights": {"speed": 1.0}}, "`weights` is 'speed'; accepted: cost, faithfulness, stability"),
        ({"weights": {"cost": -1.0}}, "`weights` must be numbers of at least 0"),
        ({"weights": {"faithfulness": 0, "stability": 0, "cost": 0}}, "one of them above"),
        ({"budget": 0}, "`budget` must be a positive integer"),
        ({"target": "both"}, "`target` is 'both'"),
        ({"samples": 7}, "`data` must be of 8 samples or more, got 7 samples"),
        ({"methods": ["igg"]}, "unknown method 'igg'"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        chosen(**settings)


def test_the_table_as_text_in_colour_and_on_disk(tmp_path):
    found = chosen(budget=8_000)
    assert str(found).splitlines()[0].split()[:3] == ["method", "verdict", "score"]
    assert len(str(found).splitlines()) == 1 + len(found.table)
    console = Console(width=200, record=True)
    with console.capture() as shown:
        console.print(found)
    assert "ig is chosen" in shown.get()
    found.to_csv(tmp_path / "deep" / "choice.csv")
    with (tmp_path / "deep" / "choice.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [row.name for row in found.table]
    assert float(rows[0]["score"]) == found.table[0].score

"""Segmenters explained at validation: one region after the other, whatever the batches, and training is not touched."""

import csv

import numpy as np
import pytest
import torch

from _reference.foreign import trainer
from _reference.squares import VOID, Colours, Squares, loader
from lit_attr.attribution import HiResCAM, Occlusion
from lit_attr.callbacks import ExplanationCallback
from lit_attr.callbacks._regions import dense_logits
from lit_attr.metrics import RegionDeletion, TargetDrop
from lit_attr.regions import RegionChoice, find_regions

FEW = {"rim": 1, "min_others": 0.0}


def explain(**settings):
    settings = {
        "methods": {"occlusion": {"grid": 4}, "hires_cam": {}},
        "metrics": {"region_deletion": {"steps": 4, "draws": 1}, "target_drop": {}},
        "num_samples": 4,
        "num_images": 0,
        "regions": RegionChoice(**FEW),
        **settings,
    }
    return ExplanationCallback(**settings)


def validated(tmp_path, callback, data, module=None):
    run = trainer(tmp_path, callback)
    run.validate(module or Colours(), data, verbose=False)
    return {name: float(value) for name, value in run.callback_metrics.items() if name.startswith("explain")}


def expected(numbers, sizes=((16, 24),), score="logit", region="tp"):
    """By (method, metric), the value of each region, and its class; image by image."""
    module, values, classes = Colours().eval(), {}, []
    methods = {"occlusion": Occlusion(grid=4), "hires_cam": HiResCAM()}
    metrics = {"region_deletion": RegionDeletion(steps=4, draws=1), "target_drop": TargetDrop()}
    for number in numbers:
        image, mask = (part[None] for part in Squares(6, sizes)[number])
        rows, target, _ = find_regions(dense_logits(module, image), mask, region, score, ignore_index=VOID, **FEW)
        classes += target.index.tolist()
        for name, method in methods.items():
            for label, metric in metrics.items():
                metric.reset()
                metric.update(module, image[rows], target, method(module, image[rows], target))
                values.setdefault((name, label), []).append((float(metric.compute()), len(rows)))
    means = {k: sum(v * n for v, n in many) / sum(n for _, n in many) for k, many in values.items()}
    return means, classes


@pytest.mark.parametrize("sizes", [((16, 24),), ((16, 24), (14, 20))], ids=["one size", "two sizes"])
def test_scores_are_those_of_each_region_for_itself(tmp_path, sizes):
    logged = validated(tmp_path, explain(num_samples=6), loader(6, batch_size=1, sizes=sizes))
    means, classes = expected(range(6), sizes)
    for (method, metric), value in means.items():
        assert logged[f"explain/{method}/{metric}"] == pytest.approx(value, abs=1e-5)
    assert sorted(classes) == [1] * 6 + [2] * 3
    assert {name: value for name, value in logged.items() if "regions" in name} == {
        "explain_regions/kept": 9,
        "explain_regions/small": 0,
        "explain_regions/wrong": 0,
        "explain_regions/crowded": 0,
    }


@pytest.mark.parametrize(("region", "score"), [("gt", "margin"), ("component", "prob"), ("pred", "logit")])
def test_regions_and_scores_are_settings(tmp_path, region, score):
    logged = validated(tmp_path, explain(num_samples=6, regions=RegionChoice(region, score, **FEW)), loader())
    means, _ = expected(range(6), region=region, score=score)
    for (method, metric), value in means.items():
        assert logged[f"explain/{method}/{metric}"] == pytest.approx(value, abs=1e-5)


def test_classes_are_told_apart_and_are_the_mean_together(tmp_path):
    logged = validated(tmp_path, explain(num_samples=6), loader())
    one, two = (logged[f"explain/occlusion/target_drop/of_{k}"] for k in (1, 2))
    assert one != two
    assert logged["explain/occlusion/target_drop"] == pytest.approx((6 * one + 3 * two) / 9)
    with next(tmp_path.rglob("scores.csv")).open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "target_drop" and row["method"] == "occlusion"]
    assert [(row["group"], row["samples"]) for row in rows] == [("all", "9"), ("of_1", "6"), ("of_2", "3")]


def test_each_region_of_a_drawn_image_has_a_picture(tmp_path):
    validated(tmp_path, explain(num_samples=6, num_images=6), loader(2))
    names = sorted(path.name for path in tmp_path.rglob("sample_*.png"))
    assert names == ["sample_000000_1.png", "sample_000001_1.png", "sample_000001_2.png"]


def test_localisation_asks_for_the_cause_where_it_is_known(tmp_path):
    metrics = ["relevance_mass"]
    known = validated(tmp_path, explain(metrics=metrics), loader(third=True))
    only = validated(tmp_path, explain(metrics=metrics), loader())
    assert known["explain/occlusion/relevance_mass"] != only["explain/occlusion/relevance_mass"]


def test_nothing_to_explain_is_a_result(tmp_path):
    found = validated(tmp_path, explain(regions=RegionChoice(min_area=1.0)), loader())
    assert np.isnan(found["explain/occlusion/target_drop"])
    assert found["explain_regions/kept"] == 0
    assert found["explain_regions/small"] > 0


class Blank(Colours):
    """Calls nothing by any class but the first."""

    def __init__(self):
        super().__init__()
        self.head.weight.data.zero_()


def test_the_check_before_training_tries_everything(tmp_path, monkeypatch):
    tried = []
    callback = explain()
    monkeypatch.setattr(type(callback), "_explain_batch", lambda self, *args: tried.append(args[2].target) or [])
    trainer(tmp_path, callback, num_sanity_val_steps=1, max_epochs=1).fit(Blank(), loader(), loader())
    assert len(tried) == 1
    assert tried[0].index.tolist() in ([1], [1, 2])


def test_training_is_the_same_to_the_bit(tmp_path):
    weights = []
    for callbacks in ([], [explain()]):
        torch.manual_seed(0)
        module = Colours()
        trainer(tmp_path, *callbacks, num_sanity_val_steps=1).fit(module, loader(), loader())
        weights.append(torch.cat([p.detach().flatten() for p in module.parameters()]))
    assert torch.equal(*weights)


def test_no_method_is_chosen_for_a_segmenter_which_is_said_before_training(tmp_path):
    run = trainer(tmp_path, explain(methods="auto"), num_sanity_val_steps=1, max_epochs=1)
    with pytest.raises(ValueError, match="`methods` must be named for a segmenter, got auto"):
        run.fit(Colours(), loader(4), loader(4))
    assert run.global_step == 0

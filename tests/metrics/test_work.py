"""What several metrics need is declared as such: counted passes of all of them are those of the pieces, each once."""

import pytest

from _reference.metrics import ALL, METHOD, OF_CLASSES, build, samples, seen
from _reference.nets import Counter, cnn
from lit_attr.attribution import ConfusionFeature
from lit_attr.metrics import Completeness, Evaluation, Gap, Insertion, KLGap
from lit_attr.metrics._work import total
from lit_attr.targets import RegionTarget


def count(metrics, name="insertion", attributions=2):
    """Passes per sample of some metrics of a batch with that many attributions, and what is declared of them."""
    batch, model = samples(), Counter(cnn())
    asked, target = seen(name, model, batch)
    masks = None if isinstance(target, RegionTarget) else batch.masks
    evaluation = Evaluation(asked, batch.images, target, masks)
    for factor in range(1, attributions + 1):
        explained = evaluation.of(batch.attribution * factor, METHOD)
        for metric in metrics:
            metric.read(explained)
    pieces = [piece for metric in metrics for piece in metric.work]
    own = total(piece for piece in pieces if piece.per == "attribution")
    common, once = (total(piece for piece in pieces if piece.per == per) for per in ("sample", "model"))
    declared = [
        common.passes[way] + attributions * (own.passes[way] + own.explanations * METHOD.passes()[way])
        for way in (0, 1)
    ]
    found = [model.forwards - once.passes.forward, model.backwards - once.passes.backward]
    return [passes / len(batch.images) for passes in found], declared


@pytest.mark.parametrize("name", [*ALL, "aic"])
def test_pieces_are_the_passes_of_a_metric(name):
    metric = build(name)
    found = total(piece for piece in metric.work if piece.per != "model")
    assert (found.passes, found.explanations) == (metric.passes, metric.explanations)
    assert min(found.passes) >= 0


@pytest.mark.parametrize("name", [*ALL, "aic"])
def test_the_same_metric_again_costs_nothing(name):
    """So that nothing that is shared was left out of its pieces."""
    counted, declared = count([build(name), build(name)], name)
    assert counted == declared


def test_all_metrics_of_classes_together():
    counted, declared = count([build(name) for name in OF_CLASSES])
    assert counted == declared
    alone = sum(build(name).passes.forward for name in OF_CLASSES)
    assert declared[0] < 2 * alone


@pytest.mark.parametrize("fill", ["confusion", ConfusionFeature(restarts=3, steps=4)])
def test_a_colour_is_sought_once_for_the_model(fill):
    counted, declared = count([Gap(fill, 6), KLGap(fill, 6), Insertion(fill, 6)])
    assert counted == declared == [1 + 1 + 2 * 10, 0]


def test_other_settings_are_other_work():
    counted, declared = count([Insertion(steps=6), Insertion(steps=5), Insertion("mean", steps=6), Completeness()])
    assert counted == declared
    assert declared == [1 + 2 + 1 + 2 * (5 + 4 + 5), 0]

"""Intersection over union by a slow count of pixels, over batches and over processes of unequal shares."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torchmetrics.classification import MulticlassJaccardIndex

from _reference.processes import over_two_ranks
from lit_attr.modules.segmentation_scores import SegmentationScores

CLASSES = 6  # of which class 4 never occurs


def pixels(count=7):
    """Predictions and labels of images; some pixels do not count."""
    generator = torch.Generator().manual_seed(3)
    masks = torch.randint(0, 4, (count, 5, 4), generator=generator)
    masks[masks == 3] = 5
    wrong = torch.rand(masks.shape, generator=generator) < 0.3
    prediction = torch.where(wrong, torch.randint(0, 4, masks.shape, generator=generator), masks)
    masks[torch.rand(masks.shape, generator=generator) < 0.2] = 255
    return prediction, masks


def logits_of(prediction, classes=CLASSES):
    """Logits whose largest is the prediction; the others differ from pixel to pixel."""
    noise = torch.rand(len(prediction), classes, *prediction.shape[1:], generator=torch.Generator().manual_seed(4))
    return noise + 1.5 * torch.nn.functional.one_hot(prediction, classes).movedim(-1, 1)


def slow(prediction, masks, classes=CLASSES, ignore=255):
    """Pixel by pixel, with sets."""
    right = counted = 0
    predicted, labelled = ([set() for _ in range(classes)] for _ in range(2))
    for place in np.ndindex(*masks.shape):
        label, guess = int(masks[place]), int(prediction[place])
        if label != ignore:
            counted += 1
            right += label == guess
            predicted[guess].add(place)
            labelled[label].add(place)
    iou = [len(a & b) / len(a | b) if a | b else float("nan") for a, b in zip(predicted, labelled, strict=True)]
    return np.nanmean(iou), right / counted, iou


def scored(prediction, masks, batch=3, **settings):
    scores = SegmentationScores(**{"num_classes": CLASSES, **settings})
    logits = logits_of(prediction, classes=scores.num_classes) if prediction.dim() == 3 else prediction
    for start in range(0, len(masks), batch):
        scores.update(logits[start : start + batch], masks[start : start + batch])
    return scores.compute()


@pytest.mark.parametrize("batch", [1, 3, 7])
def test_scores_are_those_of_the_slow_count(batch):
    prediction, masks = pixels()
    found = scored(prediction, masks, batch)
    miou, accuracy, iou = slow(prediction, masks)
    assert float(found.miou) == pytest.approx(miou, abs=1e-7)
    assert float(found.accuracy) == pytest.approx(accuracy, abs=1e-7)
    assert found.iou.tolist() == pytest.approx(iou, abs=1e-7, nan_ok=True)
    logp, chosen = logits_of(prediction).log_softmax(1).movedim(1, -1), masks != 255
    assert float(found.loss) == pytest.approx(-float(logp[chosen].gather(1, masks[chosen][:, None]).mean()), abs=1e-6)
    assert found.iou.isnan().tolist() == [k == 4 for k in range(CLASSES)]  # 3 is only predicted, and so is 0
    assert found.iou[3] == 0


def test_another_ignored_label():
    prediction, masks = pixels()
    elsewhere = torch.where(masks == 255, -1, masks)
    found = scored(prediction, elsewhere, ignore_index=-1)
    torch.testing.assert_close(found, scored(prediction, masks), equal_nan=True)


def test_torchmetrics_agrees():
    prediction, masks = pixels()
    theirs = MulticlassJaccardIndex(CLASSES, ignore_index=255, average="macro")(prediction, masks)
    torch.testing.assert_close(scored(prediction, masks).miou, theirs)


def test_sums_are_divided_and_not_averaged_over_images():
    prediction = torch.tensor([[[0, 0, 0, 1]], [[0, 0, 0, 0]]])
    masks = torch.tensor([[[0, 0, 0, 1]], [[0, 0, 0, 1]]])
    found = scored(prediction, masks, num_classes=2)
    assert found.iou.tolist() == pytest.approx([6 / 7, 1 / 2])  # of class 1 the images have 1 and 0


def test_nothing_counted_is_unknown():
    found = scored(torch.zeros(1, 2, 2, dtype=torch.long), torch.full((1, 2, 2), 255))
    assert found.miou.isnan()
    assert found.accuracy.isnan()
    assert found.loss.isnan()
    assert found.iou.isnan().all()


def test_masks_of_bytes():
    prediction, masks = pixels()
    torch.testing.assert_close(scored(prediction, masks.byte()), scored(prediction, masks), equal_nan=True)


@pytest.mark.parametrize("index", [0, 5, True, 1.5])
def test_wrong_ignored_label(index):
    with pytest.raises(ValueError, match=r"`ignore_index` must be an integer that is no class \(0\.\.5\), got"):
        SegmentationScores(CLASSES, ignore_index=index)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (torch.full((1, 2, 2), 6), r"`masks` must be a class index in 0\.\.5, got 6"),
        (torch.full((1, 2, 2), -1), r"`masks` must be a class index in 0\.\.5, got -1"),
        (torch.zeros(1, 2, 2), r"`masks` must be class indices, an integer tensor \[B, H, W\], got torch.float32"),
        (torch.zeros(1, 1, 2, 2, dtype=torch.long), r"`masks` must be class indices, .*got torch.int64 \(1, 1, 2, 2\)"),
        (
            torch.zeros(1, 2, 3, dtype=torch.long),
            r"`logits` must be \(1, 6, 2, 3\), as .* say, got shape \(1, 6, 2, 2\)",
        ),
    ],
)
def test_wrong_masks(masks, message):
    with pytest.raises(ValueError, match=message):
        SegmentationScores(CLASSES).update(torch.zeros(1, 6, 2, 2), masks)


def worker(rank):
    prediction, masks = pixels()
    mine = slice(0, 5) if rank == 0 else slice(5, 7)
    found = scored(logits_of(prediction)[mine], masks[mine], batch=2)
    values = [
        float(found.miou),
        float(found.accuracy),
        float(found.loss),
        *torch.nan_to_num(found.iou, nan=-1).tolist(),
    ]
    Path(f"{rank}.json").write_text(json.dumps(values))


def test_two_processes_equal_one(tmp_path):
    if not (dist.is_available() and dist.is_gloo_available()):
        pytest.skip("NOT TESTED: this torch has no gloo, so scores over two processes are not checked")
    over_two_ranks(tmp_path, __file__, "worker")
    both = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    one = scored(*pixels())
    assert both[0] == both[1]
    assert both[0][2] == pytest.approx(float(one.loss), abs=1e-6)  # a sum of floats, in another order
    rest = [float(one.miou), float(one.accuracy), *torch.nan_to_num(one.iou, nan=-1).tolist()]
    assert both[0][:2] + both[0][3:] == rest

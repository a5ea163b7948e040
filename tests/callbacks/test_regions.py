"""The regions of a batch against plain masks."""

from collections import Counter

import pytest
import torch

from _reference.squares import Colours, Squares
from lit_attr.callbacks._collect import Samples
from lit_attr.callbacks._regions import ToExplain, dense_logits, with_regions
from lit_attr.regions import RegionChoice

CHOICE = RegionChoice(rim=1, min_others=0.0)


def samples(count=3, *, cause=False):
    items = [Squares(6, third=True)[i] for i in range(count)]
    images, masks, causes = map(torch.stack, zip(*items, strict=True))
    return Samples(list(range(count)), [10 + i for i in range(count)], images, masks, causes if cause else None)


def found(batch, size=8, choice=CHOICE):
    counts = Counter()
    return [ToExplain(*one) for one in with_regions(Colours(), batch, choice, size, counts)], counts


def test_logits_have_the_size_of_the_images_and_the_model_is_as_before():
    model = Colours().train()
    images = samples().images
    logits = dense_logits(model, images)
    assert logits.shape == (3, 3, 16, 24)
    small = model(images)["out"]
    expected = torch.nn.functional.interpolate(small, (16, 24), mode="bilinear", align_corners=False)
    torch.testing.assert_close(logits, expected)
    assert model.training
    assert logits.grad_fn is None


def test_one_sample_for_each_class_of_an_image():
    batch = samples()
    (one,), counts = found(batch)
    assert one.samples.order == [0, 1, 1, 2]
    assert one.samples.numbers == [10, 11, 11, 12]
    assert one.samples.labels.tolist() == one.target.index.tolist() == [1, 1, 2, 1]
    assert counts == {"kept": 4, "small": 0, "wrong": 0, "crowded": 0}
    called = dense_logits(Colours(), batch.images).argmax(1)
    for i, (row, label) in enumerate([(0, 1), (1, 1), (1, 2), (2, 1)]):
        assert torch.equal(one.samples.images[i], batch.images[row])
        assert torch.equal(one.target.mask[i], (called[row] == label) & (batch.labels[row] == label))
        assert torch.equal(one.segments.truth[i], batch.labels[row])
        assert torch.equal(one.segments.prediction[i], called[row])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_batches_of_at_most_that_size(size):
    parts, _ = found(samples(), size)
    (whole,), _ = found(samples())
    assert max(len(part.samples.order) for part in parts) == size
    assert [place for part in parts for place in part.samples.order] == whole.samples.order
    assert torch.equal(torch.cat([part.target.mask for part in parts]), whole.target.mask)


def test_what_the_labels_rest_on_is_the_mask_where_it_is_known():
    (one,), _ = found(samples(cause=True))
    assert torch.equal(one.samples.masks, samples(cause=True).masks[[0, 1, 1, 2]])
    (one,), _ = found(samples())
    assert torch.equal(one.samples.masks, one.target.mask)


def test_nothing_where_no_region_is_good_enough():
    parts, counts = found(samples(), choice=RegionChoice(min_area=0.5))
    assert parts == []
    assert counts == {"kept": 0, "small": 4, "wrong": 0, "crowded": 0}

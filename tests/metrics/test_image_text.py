"""Confidence of a toy two-tower model under masks, against a plain loop."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torchmetrics import MetricCollection

from lit_attr.metrics import (
    ImageConfidenceDrop,
    ImageConfidenceIncrease,
    ImageTextEvaluation,
    TextConfidenceDrop,
    TextConfidenceIncrease,
)

ALL = [ImageConfidenceDrop, ImageConfidenceIncrease, TextConfidenceDrop, TextConfidenceIncrease]
every = pytest.mark.parametrize("cls", ALL)
SIDE = {cls: "image" if cls in ALL[:2] else "text" for cls in ALL}


class TwoTowers(nn.Module):
    """Images and embeddings of tokens to features of one space; counts what passes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.image = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(48, 4)).double()
        self.text = nn.Linear(6, 4).double()
        self.calls = {"image": 0, "text": 0}

    def encode_image(self, images):
        self.calls["image"] += len(images)
        assert not self.training
        return self.image(images)

    def encode_text(self, tokens):
        self.calls["text"] += len(tokens)
        return self.text(tokens).tanh().mean(1)


def given(size=8, seed=0):
    """Images, tokens, a map of each, and which tokens may be masked: neither the first nor the padding."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(size, 3, 4, 4, generator=generator, dtype=torch.float64)
    tokens = torch.randn(size, 5, 6, generator=generator, dtype=torch.float64)
    image_map = torch.randn(size, 4, 4, generator=generator, dtype=torch.float64)
    token_map = torch.randn(size, 5, 6, generator=generator, dtype=torch.float64)
    maskable = torch.ones(size, 5, dtype=torch.bool)
    maskable[:, 0], maskable[::2, 4] = False, False
    return images, tokens, image_map, token_map, maskable


def pairs_of(model, batch, rows=slice(None)):
    return ImageTextEvaluation(model.encode_image, model.encode_text, *(values[rows] for values in batch))


def cosine(model, image, tokens):
    a, b = model.encode_image(image[None])[0], model.encode_text(tokens[None])[0]
    return (a @ b / (a.norm() * b.norm())).item()


def slow(cls, model, batch, keep, fill=0.0):
    found = []
    for image, tokens, image_map, token_map, maskable in zip(*batch, strict=True):
        places = list(maskable.nonzero()[:, 0]) if SIDE[cls] == "text" else range(16)
        values = token_map.sum(1).tolist() if SIDE[cls] == "text" else image_map.flatten().tolist()
        ordered = sorted(places, key=lambda place, values=values: -values[place])
        weights = torch.ones(len(values), dtype=torch.float64)
        low, high = values[ordered[-1]], values[ordered[0]]
        for order, place in enumerate(ordered):
            kept = float(order < max(1, round(keep * len(ordered)))) if keep else (values[place] - low) / (high - low)
            weights[place] = kept
        before = cosine(model, image, tokens)
        if SIDE[cls] == "text":
            after = cosine(model, image, tokens * weights[:, None] + fill * (1 - weights[:, None]))
        else:
            weights = weights.view(1, 4, 4)
            after = cosine(model, image * weights + fill * (1 - weights), tokens)
        found.append(max(0.0, before - after) if "Drop" in cls.__name__ else float(after - before > 1e-6))
    return found


@every
@pytest.mark.parametrize("keep", [None, 0.3, 0.5])
def test_against_a_plain_loop(cls, keep):
    model, batch = TwoTowers().eval(), given()
    settings = {"keep": keep, "fill": 0.25}
    expected = slow(cls, model, batch, keep, 0.25)
    assert len(set(expected)) > 1
    metric = cls(**settings)
    assert metric.per_sample(pairs_of(model, batch)).tolist() == pytest.approx(expected, abs=1e-12)
    with torch.inference_mode():
        for rows in ([6, 1, 0], [2], [7, 4, 5, 3]):
            metric.update(pairs_of(model.train(), batch, rows))
    assert model.image[1].training
    assert float(metric.compute()) == pytest.approx(sum(expected) / 8, abs=1e-7)
    assert float(metric.standard_error()) == pytest.approx(float(torch.tensor(expected).std()) / 8**0.5, abs=1e-6)
    assert metric.count == 8


def test_each_tower_runs_twice_for_all_four():
    model = TwoTowers()
    collection = MetricCollection([cls() for cls in ALL])
    collection.update(pairs_of(model, given()))
    assert model.calls == {"image": 16, "text": 16}
    found = collection.compute()
    model.eval()
    for cls in ALL:
        assert found[cls.__name__] == pytest.approx(sum(slow(cls, model, given(), None)) / 8, abs=1e-6)


def test_a_first_batch_that_is_all_zero_merges_nothing():
    """MetricCollection takes metrics for the same whose states are."""
    model, (images, tokens, *_, maskable) = TwoTowers(), given()
    flat = ImageTextEvaluation(
        model.encode_image, model.encode_text, images, tokens, torch.ones(8, 4, 4), torch.ones(8, 5), maskable
    )
    collection = MetricCollection([cls() for cls in ALL])
    collection.update(flat)
    assert collection.compute() == {cls.__name__: 0 for cls in ALL}
    assert all(metric.constant == 8 for metric in collection.values())
    assert len(collection.compute_groups) == 4
    batch = given(8, seed=1)
    collection.update(pairs_of(model, batch))
    model.eval()
    for cls in ALL:
        expected = sum(slow(cls, model, batch, None)) / 16
        assert float(collection.compute()[cls.__name__]) == pytest.approx(expected, abs=1e-6)


@every
def test_pairs_without_a_value(cls):
    model, batch = TwoTowers(), given()
    _, _, image_map, token_map, maskable = batch
    maskable[0] = False
    image_map[1, 0, 0], token_map[1, 1, 0] = torch.nan, torch.inf
    token_map[2, 0, 0] = torch.nan  # may not be masked
    metric = cls()
    metric.update(pairs_of(model, batch))
    empty = SIDE[cls] == "text"
    assert (metric.count, metric.undefined, metric.invalid) == ((6, 1, 1) if empty else (7, 0, 1))
    with pytest.warns(UserWarning, match=f"{cls.__name__} leaves out {int(empty)} pairs without anything to mask, 1"):
        assert metric.compute().isfinite()
    rest = cls()
    rest.update(pairs_of(model, batch, [2, 3, 4, 5, 6, 7] if empty else [0, 2, 3, 4, 5, 6, 7]))
    assert float(rest.value_sum) == pytest.approx(float(metric.value_sum), abs=1e-12)


@every
def test_a_zero_feature_has_no_cosine(cls):
    batch = given()
    pairs = ImageTextEvaluation(lambda images: images.flatten(1)[:, :4] * 0, TwoTowers().encode_text, *batch)
    metric = cls()
    metric.update(pairs)
    assert (metric.count, metric.invalid) == (0, 8)
    with pytest.warns(UserWarning, match="8 with NaN or infinity"):
        assert metric.compute().isnan()


@every
def test_copies_and_configuration(cls):
    metric = cls(keep=0.5)
    metric.update(pairs_of(TwoTowers(), given()))
    assert torch.equal(pickle.loads(pickle.dumps(metric)).compute(), metric.compute())
    assert metric.higher_is_better is ("Increase" in cls.__name__)
    assert metric.full_state_update is False
    assert metric.protocol["kept"] == "top 0.5 of the positions"
    assert not torch.equal(metric._cfg, cls()._cfg)
    metric.update(pairs_of(TwoTowers(), given(), slice(0)))
    assert metric.count == 8


@every
def test_pairs_that_pad_a_batch_do_not_count(cls):
    model, batch = TwoTowers(), given()
    batch[4][3] = False
    batch[2][5, 0, 0] = batch[3][5, 1, 0] = torch.nan
    padded, bare = cls(), cls()
    padded.update(pairs_of(model, batch), valid=torch.arange(8) < 3)
    bare.update(pairs_of(model, batch, slice(3)))
    for name in bare._defaults:
        assert torch.allclose(getattr(padded, name), getattr(bare, name), rtol=0, atol=1e-12), name
    with pytest.raises(ValueError, match=r"`valid` must be a bool tensor \[8\], got torch.int64 \(8,\)"):
        padded.update(pairs_of(model, batch), valid=torch.ones(8, dtype=torch.long))


def test_masked_tokens_may_become_another_token():
    model, batch = TwoTowers(), given()
    other = batch[1][0, 0]
    metric = TextConfidenceDrop(keep=0.5, fill=other)
    expected = slow(TextConfidenceDrop, model.eval(), batch, 0.5, other)
    assert metric.per_sample(pairs_of(model, batch)).tolist() == pytest.approx(expected, abs=1e-12)
    assert not torch.equal(metric._cfg, TextConfidenceDrop(keep=0.5, fill=-other)._cfg)


@pytest.mark.parametrize("preset", ["m2ib", "abe"])
@every
def test_presets_do_as_the_published_code(cls, preset):
    """Texts one by one, without what may not be masked; rows of the table multiplied in place for each token."""
    model, (images, _, image_map, token_map, maskable) = TwoTowers().eval(), given()
    table = torch.randn(4, 6, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    ids = torch.randint(1, 4, (8, 5), generator=torch.Generator().manual_seed(4))  # words occur more than once
    batch = (images, table[ids], image_map, token_map, maskable)
    expected = []
    for i in range(8):
        values = token_map[i].sum(1)[maskable[i]]
        words = ids[i][maskable[i]]
        clean, masked = cosine(model, images[i], table[words]), None
        scaled = (values - values.min()) / (values.max() - values.min())
        if SIDE[cls] == "image":
            flat = image_map[i]
            soft = (flat - flat.min()) / (flat.max() - flat.min())
            clean, masked = (cosine(model, x, table[ids[i]]) for x in (images[i], images[i] * soft))
        elif preset == "m2ib":
            masked = cosine(model, images[i], table[words * (values > np.percentile(values.numpy(), 50))])
        else:
            rows = table.clone()
            for word, weight in zip(words, scaled, strict=True):
                rows[word] *= weight
            masked = cosine(model, images[i], rows[words])
        expected.append(100 * max(0.0, clean - masked) if "Drop" in cls.__name__ else 100.0 * (masked > clean))
    assert len(set(expected)) > 1
    settings = {"fill": table[0]} if preset == "m2ib" and SIDE[cls] == "text" else {}
    metric = cls(preset=preset, **settings)
    pairs = ImageTextEvaluation(model.encode_image, model.encode_text, *batch, token_ids=ids)
    assert metric.per_sample(pairs).tolist() == pytest.approx(expected, abs=1e-10)
    metric.update(pairs)
    assert float(metric.compute()) == pytest.approx(sum(expected) / 8, abs=1e-4)
    assert (metric.protocol["preset"], metric.protocol["unit"]) == (preset, "percent")
    assert len({tuple(cls(preset=name)._cfg.tolist()) for name in ("toolkit", "m2ib", "abe")}) == 3


def test_presets_leave_out_texts_without_anything_to_mask():
    model, batch = TwoTowers(), given()
    batch[4][1] = False
    metric = TextConfidenceDrop(preset="m2ib")
    metric.update(pairs_of(model, batch))
    assert (metric.count, metric.undefined, metric.invalid) == (7, 1, 0)
    batch[4][:] = False
    metric.update(pairs_of(model, batch))
    assert (metric.count, metric.undefined, metric.invalid) == (7, 9, 0)


def test_arguments_are_checked():
    model, (images, tokens, *_) = TwoTowers(), given()
    pairs = ImageTextEvaluation(model.encode_image, model.encode_text, images, tokens)
    with pytest.raises(ValueError, match="`image_map` must be given for a metric that masks by it"):
        ImageConfidenceDrop().update(pairs)
    with pytest.raises(ValueError, match="`token_map` must be given"):
        TextConfidenceDrop().update(pairs)
    with pytest.raises(ValueError, match=r"`maskable` must be bool, \[B, L\]"):
        ImageTextEvaluation(model.encode_image, model.encode_text, images, tokens, maskable=torch.ones(8, 5))
    with pytest.raises(ValueError, match=r"`keep` must be None, or a share in \(0, 1\), got 1"):
        TextConfidenceDrop(keep=1)
    with pytest.raises(ValueError, match=r"`preset` is 'm2b'.*did you mean 'm2ib'"):
        ImageConfidenceDrop(preset="m2b")
    with pytest.raises(ValueError, match=r"`keep` must be None with preset 'abe', which has .*, got 0\.5"):
        TextConfidenceDrop(0.5, preset="abe")
    with pytest.raises(ValueError, match="`token_ids` must be given for a metric that masks by it"):
        TextConfidenceDrop(preset="abe").update(pairs_of(model, given()))
    with pytest.raises(ValueError, match=r"`token_ids` must be \[B, L\], got shape \(8,\)"):
        ImageTextEvaluation(model.encode_image, model.encode_text, images, tokens, token_ids=torch.ones(8).long())
    with pytest.raises(ValueError, match="`fill` is 'blck'"):
        ImageConfidenceDrop(fill="blck")

"""What is read from logits, against its definition in probabilities."""

import math

import pytest
import torch

from lit_attr.metrics._readouts import READOUTS, ROWS, Anchors, Divergence, read, row_of


def logits(seed, classes=5):
    return torch.randn(7, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3


def kl(p, q):
    return (p * (p / q).log()).sum(1)


def test_all_are_what_their_names_say():
    evidence, anchors, index = logits(0), Anchors(logits(1), logits(2)), torch.tensor([0, 1, 2, 3, 4, 0, 1])
    p = evidence.softmax(1)
    references = {"uniform": torch.full_like(p, 0.2)}
    references |= {"baseline": anchors.baseline.softmax(1), "original": anchors.original.softmax(1)}
    found = {row: read(row, evidence, index, anchors) for row in ROWS}
    own = p.gather(1, index[:, None])[:, 0]
    expected = {"prob": own, "logprob": own.log(), "logit": evidence.gather(1, index[:, None])[:, 0]}
    expected["accuracy"] = (p.argmax(1) == index).double()
    expected["entropy"] = -(p * p.log()).sum(1)
    for name, q in references.items():
        expected[f"kl_{name}_ref_first"], expected[f"kl_{name}_pred_first"] = kl(q, p), kl(p, q)
    assert set(found) == set(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, atol=1e-12, rtol=1e-10)
    assert 0 < float(found["accuracy"].sum()) < 7


def test_rows_by_name():
    assert [row_of(name) for name in READOUTS] == [*READOUTS[:-1], "kl_uniform_ref_first"]
    with pytest.raises(ValueError, match=r"`readout` is 'porb'.*did you mean 'prob'"):
        row_of("porb")


def test_divergence_from_uniform_in_closed_form():
    """Oracle 7: logits c e_j give log(e^c + K - 1) - c / K - log K, also where probabilities are rounded to zero."""
    for c in (0.0, 1.0, 30.0, 1000.0):
        evidence = torch.zeros(1, 4)
        evidence[0, 2] = c
        found = read(Divergence().row, evidence, torch.tensor([2]), Anchors(evidence, evidence))
        high = max(c, 0.0)
        expected = high + math.log(math.exp(c - high) + 3 * math.exp(-high)) - c / 4 - math.log(4)
        assert float(found) == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_the_other_direction_is_bounded():
    evidence = torch.tensor([[1000.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    divergence = Divergence(direction="pred_first", normalize=True)
    found = read(divergence.row, evidence, torch.tensor([0, 0]), Anchors(evidence, evidence)) / divergence.unit(4)
    assert found.tolist() == pytest.approx([1, 0], abs=1e-6)


def test_impossible_classes_count_for_nothing():
    evidence = torch.tensor([[0.0, 1.0, -torch.inf]])
    found = {row: read(row, evidence, torch.tensor([1]), Anchors(evidence, evidence)) for row in ROWS}
    assert found["kl_original_pred_first"] == 0
    assert found["entropy"].isfinite()
    assert found["kl_uniform_ref_first"].isinf()


def test_no_row_hides_a_nan():
    evidence = torch.tensor([[torch.nan, 1.0, 0.0]])
    clean = torch.zeros(1, 3)
    for row in ROWS:
        for index in (0, 1):
            assert read(row, evidence, torch.tensor([index]), Anchors(clean, clean)).isnan().all()


@pytest.mark.parametrize(("setting", "value"), [("reference", "blak"), ("direction", "first")])
def test_words_are_checked(setting, value):
    with pytest.raises(ValueError, match=f"`{setting}` is '{value}'"):
        Divergence(**{setting: value})

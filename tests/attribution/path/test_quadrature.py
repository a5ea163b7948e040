import itertools

import pytest
import torch

from lit_attr.attribution.path.quadrature import Rule, quadrature

RULES = Rule.__args__
DEGREE = {"left": 0, "right": 0, "midpoint": 1, "trapezoid": 1}  # of the polynomials that are integrated exactly
ORDER = {"left": 1, "right": 1, "midpoint": 2, "trapezoid": 2}


def integral(rule, steps, function):
    nodes, weights = quadrature(rule, steps)
    return float((weights * function(nodes)).sum())


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("steps", [1, 2, 7, 50, 200])
def test_weights_sum_to_one_and_nodes_ascend_in_the_interval(rule, steps):
    nodes, weights = quadrature(rule, steps)
    assert nodes.dtype == weights.dtype == torch.float64
    assert len(nodes) == len(weights) == steps + (rule == "trapezoid")
    assert float(weights.sum()) == pytest.approx(1, abs=1e-13)
    assert bool((weights > 0).all())
    assert bool((nodes.diff() > 0).all())
    assert float(nodes[0]) >= 0
    assert float(nodes[-1]) <= 1


@pytest.mark.parametrize(
    ("rule", "nodes"),
    [
        ("left", [0, 0.25, 0.5, 0.75]),
        ("right", [0.25, 0.5, 0.75, 1]),
        ("midpoint", [0.125, 0.375, 0.625, 0.875]),
        ("trapezoid", [0, 0.25, 0.5, 0.75, 1]),
    ],
)
def test_nodes(rule, nodes):
    assert quadrature(rule, 4)[0].tolist() == nodes


def test_gauss_legendre_of_two_nodes_by_hand():
    nodes, weights = quadrature("gauss-legendre", 2)
    assert nodes.tolist() == pytest.approx([0.5 - 3**-0.5 / 2, 0.5 + 3**-0.5 / 2], abs=1e-15)
    assert weights.tolist() == pytest.approx([0.5, 0.5], abs=1e-15)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("steps", [1, 3, 4])
def test_degree_of_exactness_and_no_more(rule, steps):
    degree = DEGREE.get(rule, 2 * steps - 1)
    for power in range(degree + 1):
        assert integral(rule, steps, lambda t: t**power) == pytest.approx(1 / (power + 1), abs=1e-14)  # noqa: B023
    assert abs(integral(rule, steps, lambda t: t ** (degree + 1)) - 1 / (degree + 2)) > 1e-6


def test_rules_of_published_codes_by_hand():
    nodes, weights = quadrature("captum", 4)
    assert nodes.tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert weights.tolist() == pytest.approx([1 / 8, 1 / 4, 1 / 4, 1 / 8])
    nodes, weights = quadrature("abe", 4)
    assert nodes.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert weights.tolist() == [0.25] * 5


@pytest.mark.parametrize("rule", ORDER)
def test_order_of_accuracy(rule):
    """Check N8 on a line: twice the steps, half or a quarter of the error."""
    errors = [abs(integral(rule, n, torch.exp) - (torch.e - 1)) for n in (5, 10, 20, 40)]
    for coarse, fine in itertools.pairwise(errors):
        assert coarse / fine == pytest.approx(2 ** ORDER[rule], rel=0.05)


@pytest.mark.parametrize(
    ("rule", "steps", "message"),
    [
        ("trapez", 4, r"`rule` is 'trapez'; accepted: .*; did you mean 'trapezoid'\?"),
        ("left", 0, "`steps` must be a positive integer, got 0"),
        ("captum", 1, "`steps` must be at least 2 with the rule 'captum'"),
        ("left", 2.0, r"`steps` must be a positive integer, got 2\.0"),
    ],
)
def test_refused(rule, steps, message):
    with pytest.raises(ValueError, match=message):
        quadrature(rule, steps)

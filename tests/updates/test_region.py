import pytest
import torch

from lit_attr.updates import Region, check_bounds, get_bounds

X = torch.tensor([[0.2, 0.9, -0.5]], dtype=torch.float64)


def test_points_inside_stay():
    points = X + 0.01
    assert torch.equal(Region(0.1).project(points, X), X + (points - X))
    assert torch.equal(Region().project(points, X), points)


def test_points_outside_go_to_the_nearest_one():
    far = X + torch.tensor([[0.5, -0.5, 0.05]], dtype=torch.float64)
    expected = torch.tensor([[0.3, 0.8, -0.45]], dtype=torch.float64)
    torch.testing.assert_close(Region(0.1).project(far, X), expected)
    torch.testing.assert_close(Region(0.1, (0.0, 1.0)).project(far, X), expected.clamp(0, 1))


def test_a_radius_per_feature():
    found = Region(lambda origin: origin.abs() / 10).project(X + 1, X)
    torch.testing.assert_close(found, X + X.abs() / 10)


def test_automatic_bounds_are_those_of_images():
    assert get_bounds("auto", torch.rand(2, 3, 4, 4)) == (0.0, 1.0)
    assert get_bounds("auto", torch.randn(2, 5)) is None
    assert get_bounds(None, 9 * torch.randn(2, 3, 4, 4)) is None
    assert get_bounds((-3, 3), torch.zeros(2, 5)) == (-3.0, 3.0)


@pytest.mark.parametrize(
    ("bounds", "inputs", "message"),
    [
        ("auto", torch.full((1, 3, 2, 2), 1.5), r"`inputs` must be images in \[0, 1\], .* or give `bounds`"),
        ((0, 1), torch.full((1, 3), -0.5), r"`inputs` must be inside `bounds`, got values outside \[0.0, 1.0\]"),
    ],
)
def test_inputs_outside_are_refused(bounds, inputs, message):
    with pytest.raises(ValueError, match=message):
        get_bounds(bounds, inputs)


@pytest.mark.parametrize("bounds", ["image", (1, 0), (1,), 3])
def test_what_is_no_interval_is_refused(bounds):
    with pytest.raises(ValueError, match="`bounds` must be 'auto', None, or two numbers"):
        check_bounds(bounds)

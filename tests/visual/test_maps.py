"""Maps: scale, sign, degenerate cases (each with its note), and the colours of known values."""

import numpy as np
import pytest
import torch

from lit_attr._checks import ArgumentError
from lit_attr.visual.maps import UNSIGNED, heat, overlay, scaled, to_rgb


def test_channels_are_summed_before_scaling():
    attribution = torch.tensor([[[1.0, -3.0]], [[1.0, 1.0]]])
    values, note = heat(attribution)
    assert values.tolist() == [[1.0, -1.0]]
    assert note == ""
    assert values.dtype == torch.float32


def test_scale_is_the_99th_percentile_of_the_absolute_values():
    attribution = torch.arange(1.0, 101.0).view(10, 10)
    attribution[9, 9] = 1e6
    values, _ = heat(attribution)
    assert values[9, 8] == 1.0  # the 99th of 100 values
    assert values[9, 9] == 1.0  # clipped
    assert values[4, 9] == pytest.approx(50 / 99)


def test_a_single_pixel_is_still_seen():
    attribution = torch.zeros(32, 32)
    attribution[3, 4] = -2e-9
    values, note = heat(attribution)
    assert values[3, 4] == -1
    assert values.abs().sum() == 1
    assert note == ""


@pytest.mark.parametrize(
    ("sign", "expected"), [("signed", [1.0, -0.5]), ("positive", [1.0, 0.0]), ("absolute", [1.0, 0.5])]
)
def test_sign(sign, expected):
    assert heat(torch.tensor([[4.0, -2.0]]), sign)[0].tolist() == [expected]


@pytest.mark.parametrize(
    ("attribution", "sign", "note"),
    [
        (torch.zeros(3, 4, 4), "signed", "all zero"),
        (torch.full((1, 4, 4), 0.12), "signed", "constant (0.12)"),
        (torch.full((3, 4, 4), -0.1), "signed", "constant (-0.3)"),
        (-torch.rand(1, 4, 4), "positive", "none positive"),
        (torch.full((4, 4), torch.nan), "signed", "16 non-finite values, none finite"),
        (torch.full((1, 1, 1), 5.0), "signed", "constant (5)"),
    ],
)
def test_a_map_without_structure_is_zeros_and_says_so(attribution, sign, note):
    values, said = heat(attribution, sign)
    assert not values.any()
    assert said == note


def test_non_finite_values_do_not_touch_the_others():
    attribution = torch.tensor([[torch.nan, torch.inf, -torch.inf], [1.0, -2.0, 4.0]])
    values, note = heat(attribution)
    assert values.tolist() == [[0.0, 1.0, -1.0], [0.25, -0.5, 1.0]]
    assert note == "3 non-finite values"


def test_infinities_among_zeros():
    values, note = heat(torch.tensor([[torch.inf, 0.0, 0.0, torch.nan]]))
    assert values.tolist() == [[1.0, 0.0, 0.0, 0.0]]
    assert note == "2 non-finite values, all zero"


@pytest.mark.parametrize("factor", [1e-40, 1e-20, 1e38])
def test_scale_of_the_attribution_does_not_matter(factor):
    attribution = torch.tensor([[[1.0, -2.0, 3.0]]] * 3)
    values, _ = heat(attribution.double() * factor)
    torch.testing.assert_close(values, torch.tensor([[1 / 3, -2 / 3, 1.0]]))


def test_half_precision_and_gradients_are_fine():
    attribution = torch.rand(3, 4, 4, dtype=torch.float16, requires_grad=True)
    values, _ = heat(attribution)
    assert not values.requires_grad


def test_refusals():
    with pytest.raises(ArgumentError, match=r"`attribution` must be a tensor \[C, H, W\] or \[H, W\]"):
        heat(torch.zeros(1, 3, 2, 2))
    with pytest.raises(ValueError, match="did you mean 'signed'"):
        heat(torch.zeros(2, 2), "sined")
    with pytest.raises(ValueError, match=r"`cmap` is 'Bwr'.*did you mean 'bwr'"):
        to_rgb(torch.zeros(2, 2), "Bwr")


@pytest.mark.parametrize("cmap", ["bwr", "RdBu_r", "coolwarm", "seismic"])
def test_colours_of_known_values(cmap):
    blue, middle, red = to_rgb(torch.tensor([[-1.0, 0.0, 1.0]]), cmap)[0].astype(int)
    assert red[0] > red[2] + 60
    assert blue[2] > blue[0] + 60
    assert np.ptp(middle) <= 1  # no tint
    assert to_rgb(torch.tensor([[5.0]]), cmap).tolist() == [[red.tolist()]]


def test_colours_are_symmetric_about_zero():
    values = torch.linspace(-1, 1, 255)[None]
    colours = to_rgb(values)
    assert np.array_equal(colours[..., 0], colours[:, ::-1, 2])


def test_overlay_shows_strength():
    image = torch.full((3, 1, 4), 0.5)
    nothing, weak, strong, against = overlay(image, torch.tensor([[0.0, 0.1, 1.0, -1.0]]))[0].astype(int)
    assert np.ptp(nothing) == 0
    assert 0 < np.ptp(weak) < np.ptp(strong)
    assert strong.argmax() == 0
    assert against.argmax() == 2
    assert overlay(image, torch.ones(1, 4), alpha=1.0)[0, 0].tolist() == [255, 0, 0]
    assert np.array_equal(overlay(image, torch.ones(1, 4), alpha=0.0), overlay(image, torch.zeros(1, 4)))


def test_overlay_refusals():
    with pytest.raises(ArgumentError, match=r"`values` must be of the image's size \(4, 4\), got shape \(2, 2\)"):
        overlay(torch.zeros(3, 4, 4), torch.zeros(2, 2))
    with pytest.raises(ArgumentError, match=r"`alpha` must be in \[0, 1\]"):
        overlay(torch.zeros(3, 4, 4), torch.zeros(4, 4), alpha=1.5)


@pytest.mark.parametrize(
    ("values", "ends", "signed"),
    [
        ([[-0.25, 0.125]], ("\N{MINUS SIGN}0.25", "0.25"), True),
        ([[0.0, 0.125]], ("0", "0.12"), False),
        ([[0.0, 0.0]], ("", ""), False),
        ([[3.0, 3.0]], ("", ""), False),
    ],
)
def test_the_scale_says_what_the_colours_stand_for(values, ends, signed):
    shown = scaled(torch.tensor(values))
    assert (shown.ends, shown.signed) == (ends, signed)


def test_strengths_go_from_pale_to_dark_at_an_even_pace():
    """Also for eyes that see no red or no green: what counts is the lightness."""
    colours = to_rgb(torch.linspace(0, 1, 64)[None], UNSIGNED)[0].astype(float)
    lightness = colours @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) <= 0).all()
    assert lightness[0] - lightness[-1] > 150
    assert np.array_equal(
        to_rgb(torch.tensor([[-1.0, 0.0]]), UNSIGNED)[0, 0], to_rgb(torch.tensor([[0.0]]), UNSIGNED)[0, 0]
    )

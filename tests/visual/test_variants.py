"""Pictures of variants."""

import numpy as np
import pytest
import torch

from lit_attr.visual import VariantSample, draw_variants


def sample(**changes):
    image = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    said = {"without variants": ("seven", 0.9), "with variants": ("one", 0.4)}
    settings = {"image": image, "variant": 1 - image, "attribution": image[:1], "index": 3, "label": "seven"}
    return VariantSample(**{**settings, "before": said, "after": said, **changes})


def test_a_row_of_four_cells_for_each_sample():
    one, three = draw_variants([sample()]), draw_variants([sample()] * 3)
    assert one.shape == (len(one), 4 * 244, 3)
    assert three.shape == (3 * len(one), 4 * 244, 3)
    assert np.array_equal(three[: len(one)], one)


def test_images_are_shown_as_they_are():
    white, black = torch.ones(1, 16, 16), torch.zeros(1, 16, 16)
    drawn = draw_variants([sample(image=white, variant=black, attribution=black)])
    middle = drawn[42 + 112]
    assert middle[10 + 112].tolist() == [255] * 3
    assert middle[244 + 10 + 112].tolist() == [0] * 3
    assert middle[2 * 244 + 10 + 112].tolist() == [0] * 3  # all was taken away


@pytest.mark.parametrize("name", ["variant", "attribution"])
def test_other_sizes_are_refused(name):
    with pytest.raises(ValueError, match=rf"`{name}` must be of the image's size \(16, 16\), got shape"):
        sample(**{name: torch.zeros(1, 8, 8)})


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="`samples` must be at least one"):
        draw_variants([])

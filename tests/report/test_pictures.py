"""Pictures in a page, and the slider."""

import base64
import io

import numpy as np
from PIL import Image

from _reference.outline import outline
from lit_attr.report.pictures import Step, embedded, figure, slider, spread
from lit_attr.visual import save_png


def test_no_pixel_changes(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    save_png(tmp_path / "a.png", picture)
    address, width = embedded(tmp_path / "a.png")
    assert width == 7
    content = base64.b64decode(address.partition(",")[2])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(content)).convert("RGB")), picture)


def test_a_caption_is_text(tmp_path):
    save_png(tmp_path / "a.png", np.zeros((5, 7, 3), np.uint8))
    found = outline(figure(tmp_path / "a.png", '<b>"dog"</b>'))
    assert not [tag for tag, _ in found.seen if tag == "b"]
    assert found.text == ['<b>"dog"</b>']


def test_a_broken_picture_is_told(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    assert "a.png could not be read" in figure(tmp_path / "a.png", "a")
    assert "b.png could not be read" in figure(tmp_path / "b.png", "b")


def test_the_last_round_is_shown_without_a_script():
    found = outline(slider("Round", "r", [Step(f"epoch {i}", f"<p>{i}</p>") for i in range(3)]))
    rounds = [attrs for tag, attrs in found.seen if attrs.get("class") == "round"]
    assert ["hidden" in attrs for attrs in rounds] == [True, True, False]
    (control,) = [attrs for tag, attrs in found.seen if tag == "input"]
    assert (control["min"], control["max"], control["value"]) == ("0", "2", "2")
    (label,) = [attrs for tag, attrs in found.seen if tag == "label"]
    assert label["for"] == control["id"]


def test_one_round_needs_no_slider():
    assert slider("Round", "r", [Step("epoch 1", "<p>1</p>")]) == "<p>epoch 1</p><p>1</p>"
    assert slider("Round", "r", []) == ""


def test_many_rounds_are_spread():
    for count in (1, 24, 25, 1000):
        places = spread(count)
        assert places == sorted(set(places))
        assert len(places) == min(count, 24)
        assert (places[0], places[-1]) == (0, count - 1)

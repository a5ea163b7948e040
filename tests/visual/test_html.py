"""Parts of a page, and the page."""

from _reference.outline import outline
from lit_attr.visual.html import document, figures, notes, section, sortable


def test_a_page_is_whole_and_texts_are_text():
    found = outline(document("<t>", "$CONTENT", "<a>", "<p>$TITLE</p>"))
    text = "".join(found.text)
    assert "<t>" in text
    assert "$CONTENT" in text  # a name is no place to fill
    assert "$TITLE" in text
    assert not [tag for tag, _ in found.seen if tag in {"t", "a"}]


def test_cells_carry_what_they_are_sorted_by():
    rows = [[("a", None), ("1 of 3", 1 / 3), ("<x>", '"x"')], [("b", None), ("", None), ("y", "y")]]
    found = outline(sortable("t", ["name", "n", "word"], rows))
    assert [attrs["data-value"] for tag, attrs in found.seen if tag == "td"] == [repr(1 / 3), '"x"', "", "y"]
    assert found.text == ["name", "n", "word", "a", "1 of 3", "<x>", "b", "y"]


def test_a_section_can_be_linked_to():
    assert section("<h>", "<p>c</p>", "part") == "<section id='part'><h2>&lt;h&gt;</h2><p>c</p></section>"
    assert section("h", "") == "<section><h2>h</h2></section>"


def test_many_notes_are_behind_a_click():
    assert "<details" not in notes(["one"])
    assert "<details" in notes(["one", "<two>"])
    assert "&lt;two&gt;" in notes(["one", "<two>"])


def test_figures():
    assert outline(figures([("<a>", "<svg></svg>")])).text == ["<a>"]

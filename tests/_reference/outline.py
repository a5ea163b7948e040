"""A page read as a parser reads it."""

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "input"}


class Outline(HTMLParser):
    """Whether tags are closed in their order, and what was seen."""

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def outline(text):
    """Refuses tags that are not closed."""
    found = Outline()
    found.feed(text)
    assert found.open == []
    return found

"""A part that cannot be read."""

from lit_attr.report.faults import read, shown


def broken():
    return {}["<gone>"]


def test_it_is_told():
    assert shown("a.csv", broken) == (
        '<p class="fault" role="alert">a.csv could not be read: KeyError: &#x27;&lt;gone&gt;&#x27;</p>'
    )


def test_what_is_read_has_a_stand_in():
    faults = []
    assert read("a.csv", lambda: 1, 2, faults) == 1
    assert faults == []
    assert read("a.csv", broken, 2, faults) == 2
    assert faults == [shown("a.csv", broken)]

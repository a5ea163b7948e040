import typing
from dataclasses import dataclass

import pytest

from lit_attr.registry import Registry, did_you_mean


class Shape:
    pass


class Plain(Shape):
    def __init__(self, side=1.0, **kwargs):
        self.side = side


class Foreign(Shape):
    pass


@dataclass(frozen=True)
class Circle(Shape):
    radius: float = 1.0


@pytest.fixture
def shapes():
    registry = Registry("shape", Shape)
    registry.register("plain")(Plain)
    registry.register("circle")(Circle)
    return registry


def here(name):
    """The import path of a class of this module, whatever pytest calls it."""
    return f"{__name__}.{name}"


def test_names_are_sorted_and_get_returns_the_class(shapes):
    assert shapes.names() == ["circle", "plain"]
    assert shapes.get("circle") is Circle


def test_register_returns_the_class_unchanged():
    assert Registry("shape", Shape).register("c")(Circle) is Circle


def test_a_name_is_taken_once_and_the_first_stays(shapes):
    with pytest.raises(ValueError, match=r"shape 'circle' is already registered, by Circle"):
        shapes.register("circle")(Plain)
    assert shapes.get("circle") is Circle


def test_register_refuses_another_kind(shapes):
    with pytest.raises(TypeError, match=r"shape 'word': str is not a subclass of Shape"):
        shapes.register("word")(str)
    assert "word" not in shapes.names()


def test_unknown_name_lists_what_is_accepted_and_the_nearest(shapes):
    with pytest.raises(ValueError, match=r"^unknown shape 'cirle'; accepted: circle, plain; did you mean 'circle'\?$"):
        shapes.get("cirle")


def test_unknown_name_without_near_miss(shapes):
    with pytest.raises(ValueError, match=r"^unknown shape 'zzz'; accepted: circle, plain$"):
        shapes.get("zzz")


def test_unknown_setting_of_a_dataclass(shapes):
    with pytest.raises(
        ValueError, match=r"shape 'circle' has no setting 'radus'; accepted: radius; did you mean 'radius'"
    ):
        shapes.build("circle", {"radus": 2})


def test_unknown_setting_of_a_plain_class_and_kwargs_is_no_setting(shapes):
    with pytest.raises(ValueError, match=r"shape 'plain' has no setting 'kwargs'; accepted: side$"):
        shapes.build("plain", {"kwargs": {}})


def test_build_passes_the_settings_and_leaves_them_alone(shapes):
    settings = {"radius": 2.0}
    assert shapes.build("circle", settings) == Circle(2.0)
    assert settings == {"radius": 2.0}
    assert shapes.build("circle") == Circle(1.0)


def test_import_path(shapes):
    assert type(shapes.build(here("Foreign"))) is Foreign


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("no_such_package.Thing", "No module named 'no_such_package'"),
        ("math.Thing", "module 'math' has no attribute 'Thing'"),
        (".Thing", "cannot be imported"),
        ("..Thing", "cannot be imported"),
    ],
)
def test_import_path_that_leads_nowhere(shapes, path, reason):
    with pytest.raises(ValueError, match=rf"shape '{path}' cannot be imported: .*") as caught:
        shapes.get(path)
    assert reason in str(caught.value)


@pytest.mark.parametrize("path", ["math.sqrt", "builtins.str"])
def test_import_path_of_another_kind(shapes, path):
    with pytest.raises(ValueError, match=rf"shape '{path}' is not a subclass of Shape"):
        shapes.get(path)


def test_name_of(shapes):
    assert shapes.name_of(Circle(3)) == "circle"
    assert shapes.name_of(Foreign()) == "foreign"


def test_build_all_from_a_list(shapes):
    plain = Plain()
    built = shapes.build_all(["circle", plain])
    assert built == {"circle": Circle(), "plain": plain}


def test_build_all_from_a_list_keeps_the_order(shapes):
    assert list(shapes.build_all(["plain", "circle"])) == ["plain", "circle"]


def test_build_all_from_a_mapping(shapes):
    built = shapes.build_all({"circle": None, "big": {"class": "circle", "radius": 9.0}, "mine": Circle(2.0)})
    assert built == {"circle": Circle(), "big": Circle(9.0), "mine": Circle(2.0)}


def test_build_all_names_an_import_path_as_name_of_would(shapes):
    assert list(shapes.build_all([here("Circle")])) == ["circle"]
    assert list(shapes.build_all([here("Foreign")])) == ["foreign"]


def test_build_all_does_not_change_the_settings(shapes):
    settings = {"big": {"class": "circle", "radius": 9.0}}
    shapes.build_all(settings)
    assert settings == {"big": {"class": "circle", "radius": 9.0}}


def test_build_all_refuses_a_name_given_twice(shapes):
    with pytest.raises(ValueError, match=r"shape 'circle' is given twice; use a mapping with two names"):
        shapes.build_all(["circle", Circle(2.0)])


@pytest.mark.parametrize("items", [[3], [None], {"circle": 3}, {"circle": "plain"}])
def test_build_all_refuses_what_is_no_entry(shapes, items):
    with pytest.raises(
        TypeError, match=r"shape: expected a name, an instance or settings, got .*; accepted: circle, plain"
    ):
        shapes.build_all(items)


def test_did_you_mean_sorts():
    assert did_you_mean("x", {"b": 1, "a": 2}) == "accepted: a, b"


def test_numbers_typed_on_a_command_line_are_read_as_numbers():
    from lit_attr.attribution import METHODS

    assert METHODS.build("ig", {"steps": "4"}).steps == 4
    assert METHODS.build("smoothgrad", {"sigma": "0.5"}).sigma == 0.5
    assert METHODS.build("saliency", {"signed": "true"}).signed is True
    assert METHODS.build("grad_cam", {"layer": "4"}).layer == "4"  # a name, not a number
    with pytest.raises(ValueError, match="`steps` must be a positive integer, got four"):
        METHODS.build("ig", {"steps": "four"})


class More(typing.TypedDict, total=False):
    width: int
    colour: str


def test_settings_behind_two_stars_are_known_by_their_names():
    registry = Registry("shape", object)

    @registry.register("box")
    class Box:
        def __init__(self, height=1.0, **more: typing.Unpack[More]):
            self.given = {"height": height, **more}

    assert registry.build("box", {"height": 2.0, "width": 3}).given == {"height": 2.0, "width": 3}
    with pytest.raises(ValueError, match=r"shape 'box' has no setting 'with'; accepted: colour, height, width"):
        registry.build("box", {"with": 3})

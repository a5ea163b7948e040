"""What a data module says against what the model says."""

from types import SimpleNamespace

import pytest

from lit_attr.modules._agreement import refuse_other_data


def trainer(**values):
    return SimpleNamespace(datamodule=SimpleNamespace(**values))


def test_what_agrees_or_is_not_said_is_taken():
    refuse_other_data(trainer(channels=3), channels=3, num_classes=2)
    refuse_other_data(SimpleNamespace(datamodule=None), channels=3)
    refuse_other_data(SimpleNamespace(), channels=3)


@pytest.mark.parametrize(
    ("name", "hint"), [("channels", r"`model\.mean` and `model\.std`"), ("ignore_index", "`ignore_index` of the model")]
)
def test_a_difference_is_named_with_the_setting(name, hint):
    with pytest.raises(ValueError, match=f"the model has {name} = 3, the data 1; set {hint}"):
        refuse_other_data(trainer(**{name: 1}), **{name: 3})

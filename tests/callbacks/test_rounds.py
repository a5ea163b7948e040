"""When it is time for a round."""

from types import SimpleNamespace

import pytest
from lightning.pytorch.trainer.states import TrainerFn

from lit_attr.callbacks._rounds import Rounds


def at(epoch, *, max_epochs=20, fn=TrainerFn.FITTING, every=1):
    return SimpleNamespace(
        current_epoch=epoch, max_epochs=max_epochs, check_val_every_n_epoch=every, state=SimpleNamespace(fn=fn)
    )


def test_every_few_epochs_and_at_the_end():
    rounds, worked = Rounds(3), []
    for epoch in range(8):
        if rounds.due(at(epoch, max_epochs=8)):
            rounds.found(at(epoch), {"robust/clean": epoch / 8})
            worked.append(epoch)
    assert worked == [0, 3, 6, 7]
    assert rounds.last == {"robust/clean": 7 / 8}


def test_the_end_is_the_last_validation_before_the_last_epoch():
    rounds = Rounds(50)
    rounds.found(at(0), {"robust/clean": 0.5})
    assert [epoch for epoch in range(20) if rounds.due(at(epoch, every=4))] == [0, 16, 17, 18, 19]


def test_always_without_an_end_of_ones_own_out_of_fit_and_without_numbers():
    rounds = Rounds(3)
    assert rounds.due(at(1))  # nothing to log yet
    rounds.found(at(0), {"robust/clean": 0.5})
    assert not rounds.due(at(1))
    assert not rounds.due(at(1, max_epochs=-1))
    assert rounds.due(at(1, fn=TrainerFn.VALIDATING))


def test_the_last_numbers_survive_a_restart():
    first, second = Rounds(3), Rounds(3)
    first.found(at(4), {"robust/clean": 0.5})
    second.load_state_dict(first.state_dict())
    assert (second.last, second.epoch) == ({"robust/clean": 0.5}, 4)


def test_never_is_refused():
    with pytest.raises(ValueError, match="`every_n_epochs` must be a positive integer, got 0"):
        Rounds(0)

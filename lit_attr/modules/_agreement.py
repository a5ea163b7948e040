"""Model and data must be about the same thing."""

import lightning as L

_HINTS = {"channels": "`model.mean` and `model.std` (one value per channel)"}


def refuse_other_data(trainer: L.Trainer, **own: int) -> None:
    """Refuse a data module that says otherwise of one of these values; one that does not say is taken.

    Args:
        trainer: has the data module.
        own: the model's values by the names of the data module's attributes.

    Raises:
        ValueError: with both values and the setting to change.
    """
    data = getattr(trainer, "datamodule", None)
    for name, value in own.items():
        theirs = getattr(data, name, value)
        if theirs != value:
            hint = _HINTS.get(name, f"`{name}`")
            msg = f"the model has {name} = {value}, the data {theirs}; set {hint} of the model to fit the data"
            raise ValueError(msg)

"""The extra line in Lightning's Rich display."""

from types import SimpleNamespace

from lightning.pytorch.callbacks import RichProgressBar

from _reference.foreign import Foreign, loaders, trainer
from lit_attr.callbacks import ExplanationCallback
from lit_attr.callbacks._progress import progress_line


def test_without_a_rich_display_nothing_is_shown():
    with progress_line(SimpleNamespace(progress_bar_callback=None), "Explaining", 3) as advance:
        advance(3)
        advance(0, "soon")


def test_line_counts_up_is_hidden_and_used_again(tmp_path):
    bar = RichProgressBar()
    runner = trainer(tmp_path, bar, enable_progress_bar=True)
    bar._init_progress(runner)
    try:
        for total in (3, 5):
            with progress_line(runner, "Explaining", total) as advance:
                advance(2)
                (line,) = bar.progress.tasks
                assert (line.completed, line.total, line.visible) == (2, total, True)
                advance(1, ", soon")
                assert (line.completed, line.description) == (3, "Explaining, soon")
            assert not line.visible
            assert line.description == "Explaining"
    finally:
        bar.progress.stop()


def test_display_of_a_whole_fit_survives_the_extra_line(tmp_path, capsys):
    callback = ExplanationCallback(methods={"fast_ig": {}}, metrics={"insertion": {"steps": 2}}, num_samples=3)
    runner = trainer(tmp_path, callback, RichProgressBar(), num_sanity_val_steps=1, enable_progress_bar=True)
    runner.fit(Foreign(), *loaders())
    runner.validate(Foreign(), loaders()[1], verbose=False)
    assert "Epoch 1/1" in capsys.readouterr().out

"""The folder of a run, by the writers that runs have, with two rounds of everything."""

from types import SimpleNamespace

import numpy as np
import torch

from lit_attr.callbacks import _report, _robust_report
from lit_attr.callbacks._robust_trials import attack_trials, corruption_trials
from lit_attr.metrics import Check, Summary
from lit_attr.report import Record

METRICS = """epoch,step,train/loss,val/accuracy,explain/ig/gap,robust/clean,robust/pgd/8_255
0,9,2.5,,,,
0,19,,0.25,0.125,0.5,0.0
1,29,1.5,,,,
1,39,,0.75,0.375,0.75,0.25
"""
ALONG = {"insertion": "fraction of the image"}


def trainer(folder, epoch, **settings):
    """What the writers ask of one."""
    given = {"loggers": [], "is_global_zero": True, "fast_dev_run": False, "testing": False, **settings}
    strategy = SimpleNamespace(broadcast=lambda value: value)
    step = 20 * (epoch + 1)
    return SimpleNamespace(default_root_dir=folder, strategy=strategy, current_epoch=epoch, global_step=step, **given)


def write_run(folder, rounds=2):
    """Write all that `fit` writes; values of later rounds are larger."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.csv").write_text(METRICS)
    (folder / "config.yaml").write_text("seed_everything: 7\nmodel: <b>bold</b>\n")
    for epoch in range(rounds):
        _report.write_report(trainer(folder, epoch), explained((epoch + 1) / (rounds + 1)))
        _robust_report.write_robust_report(trainer(folder, epoch), attacked(right=epoch > 0), "robust")
    _robust_report.write_robust_report(
        trainer(folder, rounds - 1, testing=True), attacked(right=True, test=True), "robust"
    )
    Record(folder, "fit", {"seed": "7", "model": "Net (<i>x</i>)"}).end("finished")
    return folder


def explained(value):
    """A round of explanations of two methods, one sample drawn."""
    picture = np.full((40, 60, 3), round(255 * value), np.uint8)
    names = [("ig", "insertion"), ("grad_cam", "insertion")]
    record = _report.Record(0, 11, "cat", "dog", 0.75, dict.fromkeys(names, value), picture)
    score, error = torch.tensor(value), torch.tensor(0.125)
    curve = torch.tensor([0.0, value, 1.0])
    return _report.Report([record], {n: {"all": Summary(score, error, 2, curve)} for n in names}, ALONG)


def attacked(right, test=False):
    """A round of one attack at two eps and of noise, two samples, one of them drawn."""
    trials = [*attack_trials({"pgd": {"eps": "8/255"}}, ["4/255"]), *corruption_trials({"gaussian": {"sigma": [0.1]}})]
    tried = {trial.key: _robust_report.Tried(right, 0.03, 0.5, 4, 3, 0.25) for trial in trials}
    picture = np.full((40, 60, 3), 255 * right, np.uint8)
    records = [
        _robust_report.Record(i, 10 + i, "cat", "cat", True, tried, pictures={"pgd": picture} if i == 0 else {})
        for i in range(2)
    ]
    checks = [Check("noise", False, 0.5, 0.4, "why it fails")] if test else []
    return _robust_report.RobustReport(trials, records, checks)

"""Two processes with unequal shares find what one process finds."""

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from _reference.metrics import ALL, build, samples, update
from _reference.nets import cnn
from _reference.processes import over_two_ranks

SHARES = [[(0, 4), (4, 6)], [(6, 10), (10, 11)]]  # (4, 2) samples on rank 0, (4, 1) on rank 1


def gathered(metric, name):
    state = getattr(metric, name)
    return (torch.cat(state) if isinstance(state, list) else state).flatten().tolist()


def totals(rank=None):
    """Sums and results of the samples of one rank, or of all."""
    torch.manual_seed(0)
    batch, model = samples(11), cnn()
    batch.attribution[7, 0, 3, 3] = torch.nan
    found = {}
    for name in ALL:
        metric = build(name)
        for start, stop in SHARES[rank] if rank is not None else SHARES[0] + SHARES[1]:
            update(metric, model, batch.part(slice(start, stop)))
        summary = metric.summaries()["all"]
        shown = [float(metric.compute()), float(summary.standard_error), float(summary.samples)]
        shown += [] if summary.curve is None else metric.curve().tolist()
        with metric.sync_context():
            states = {state: gathered(metric, state) for state in metric._defaults}
        own = int(metric.count + metric.invalid + metric.undefined)  # its own again after the gathering
        assert own == (11 if rank is None else (6, 5)[rank])
        found[name] = {"states": states, "shown": shown}
    return found


def worker(rank):
    Path(f"{rank}.json").write_text(json.dumps(totals(rank)))


@pytest.mark.filterwarnings("ignore:.*(skipped for NaN|leaves out samples):UserWarning")
def test_two_processes_equal_one(tmp_path):
    if not (dist.is_available() and dist.is_gloo_available()):
        pytest.skip("NOT TESTED: this torch has no gloo, so metrics over two processes are not checked")
    over_two_ranks(tmp_path, __file__, "worker")
    both = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1)]
    expected = totals()
    assert both[0] == both[1]
    for name, one in expected.items():
        for state, values in one["states"].items():
            assert both[0][name]["states"][state] == pytest.approx(values, abs=1e-12), (name, state)
        assert both[0][name]["shown"] == pytest.approx(one["shown"], abs=1e-6), name

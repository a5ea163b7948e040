"""Two processes with unequal shares find what one process finds."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from lit_attr.metrics import METRICS

SHARES = [[(0, 4), (4, 6)], [(6, 10), (10, 11)]]  # (4, 2) samples on rank 0, (4, 1) on rank 1


def totals(rank=None):
    """Sums and results of the samples of one rank, or of all."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(11, 1, 5, 5, generator=generator, dtype=torch.float64)
    attribution = torch.randn(11, 1, 5, 5, generator=generator, dtype=torch.float64)
    attribution[7] = torch.nan
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(25, 4, dtype=torch.float64))
    found = {}
    for name in ("deletion", "gap", "insertion"):
        metric = METRICS.build(name, {"steps": 6})
        for start, stop in SHARES[rank] if rank is not None else SHARES[0] + SHARES[1]:
            metric.update(model, images[start:stop], None, attribution[start:stop])
        curve, error = metric.curve().tolist(), float(metric.standard_error())
        with metric.sync_context():
            sums = [float(metric.value_sum), float(metric.square_sum), *metric.curve_sum.flatten().tolist()]
            counts = [int(metric.count), int(metric.invalid), int(metric.constant), *metric._cfg.tolist()]
        assert int(metric.count) == (10 if rank is None else (6, 4)[rank])  # its own again after the gathering
        found[name] = {"sums": sums, "counts": counts, "shown": [float(metric.compute()), error, *curve]}
    return found


def worker(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    found = totals(rank)
    dist.destroy_process_group()
    Path(folder, f"{rank}.json").write_text(json.dumps(found))


@pytest.mark.slow  # two processes import torch
@pytest.mark.filterwarnings("ignore:.*1 skipped for NaN:UserWarning")
def test_two_processes_equal_one():
    if not (dist.is_available() and dist.is_gloo_available()):
        pytest.skip("NOT TESTED: this torch has no gloo, so metrics over two processes are not checked")
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
        commands = [[sys.executable, __file__, str(rank), folder] for rank in (0, 1)]
        started = [subprocess.Popen(c, env=environment, stderr=subprocess.PIPE, text=True) for c in commands]
        try:
            errors = [process.communicate(timeout=120)[1] for process in started]
        finally:
            for process in started:
                process.kill()
        assert [process.returncode for process in started] == [0, 0], "\n".join(errors)
        both = [json.loads(Path(folder, f"{rank}.json").read_text()) for rank in (0, 1)]
    threads = torch.get_num_threads()
    expected = totals()
    torch.set_num_threads(threads)
    assert both[0] == both[1]
    for name, one in expected.items():
        assert both[0][name]["counts"] == one["counts"]
        assert both[0][name]["sums"] == pytest.approx(one["sums"], abs=1e-12)
        assert both[0][name]["shown"] == pytest.approx(one["shown"], abs=1e-6)


if __name__ == "__main__":
    worker(int(sys.argv[1]), sys.argv[2])

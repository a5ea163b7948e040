"""Functions and commands in processes of their own, each of which is there in a moment.

A new Python needs seconds to import torch and Lightning. Here one Python per rank imports what the command line needs,
and forks for every process that a test asks for. Ranks have a Python each, and so a seed of their own for the hashes of
strings, as they have where they are started by hand: what goes through a set may be in another order on each of them.
What the start of `train.py` and Lightning's own launching of processes do is tested with new Pythons (test_cli.py).
"""

import atexit
import functools
import importlib
import importlib.util
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

TESTS = str(Path(__file__).parents[1])
SECONDS = 240  # after which a process is taken to hang, and killed


class Python:
    """A Python that has imported a module, and forks at every line that it reads: one process at a time."""

    def __init__(self, preloaded):
        paths = [TESTS, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
        environment.pop("PYTHONHASHSEED", None)
        command = [sys.executable, "-P", __file__, preloaded]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0}
        self.python = subprocess.Popen(command, env=environment, cwd=TESTS, **pipes)
        atexit.register(self.python.communicate)

    def start(self, **job):
        self.python.stdin.write(json.dumps(job).encode() + b"\n")
        return int(self.python.stdout.readline())

    def busy(self, seconds=0):
        return not select.select([self.python.stdout], [], [], seconds)[0]

    def wait(self, pid):
        if self.busy(SECONDS):
            os.kill(pid, signal.SIGKILL)
        return int(self.python.stdout.readline())


python = functools.cache(lambda rank, preloaded: Python(preloaded))


class Process:
    """A call of a function, given by its module or file and its name, with arguments that JSON can hold.

    It runs in the folder, with variables added to the environment, and prints into files there. One process of a rank
    runs at a time, until `wait` has given its exit status, which is -9 for one that was killed.
    """

    def __init__(self, folder, place, function, *arguments, rank=0, preloaded="lit_attr.cli", **variables):
        self.printed = [Path(folder, f".{rank}.{name}") for name in ("out", "err")]
        self.python = python(rank, preloaded)
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
        printed = [str(path) for path in self.printed]
        job = {"folder": str(folder), "place": str(place), "function": function, "arguments": arguments}
        self.pid = self.python.start(**job, environment=environment, printed=printed)

    def alive(self):
        return self.python.busy()

    def wait(self):
        return self.python.wait(self.pid)

    def kill(self):
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        return self.wait()


class Done(NamedTuple):
    """What processes have left, of each rank: its exit status and what it has printed."""

    statuses: list[int]
    out: list[str]
    err: list[str]

    @property
    def stdout(self):
        return "".join(self.out)

    @property
    def stderr(self):
        return "".join(self.err)


def run(folder, place, function, *arguments, processes=1, **variables):
    """Call a function in so many processes at the same time, with the variables that tell Lightning its rank."""
    if processes > 1:
        variables |= {"NODE_RANK": "0", "WORLD_SIZE": str(processes)}
        variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    started = []
    for rank in range(processes):
        own = {"LOCAL_RANK": str(rank)} if processes > 1 else {}
        started.append(Process(folder, place, function, *arguments, rank=rank, **variables, **own))
    statuses = [process.wait() for process in started]
    return Done(
        statuses, *([path.read_text() for path in paths] for paths in zip(*(p.printed for p in started), strict=True))
    )


def command(folder, *arguments, processes=1, **variables):
    """The command line, in DDP where it is in several processes, of which it is an error to fail."""
    if processes > 1:
        arguments = [*arguments, "--trainer.strategy", "ddp", "--trainer.devices", str(processes)]
    done = run(folder, "lit_attr.cli", "main", arguments, processes=processes, **variables)
    assert done.statuses == [0] * processes, done.stdout[-2000:] + done.stderr[-4000:]
    return done


def over_two_ranks(folder, place, function, *arguments, statuses=(0, 0)):
    """Call a function with the rank and the arguments on two ranks of a gloo group, which must end as is said."""
    done = run(folder, __file__, "grouped", str(place), function, arguments, processes=2, GLOO_SOCKET_IFNAME="lo")
    assert done.statuses == list(statuses), done.stderr
    return done


def grouped(place, function, arguments):
    import torch.distributed as dist

    rank = int(os.environ["LOCAL_RANK"])
    dist.init_process_group("gloo", rank=rank, world_size=2)
    load(place, function)(rank, *arguments)
    dist.destroy_process_group()


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def load(place, function):
    """A function of a module, or of a file, which is imported under its own name as a module."""
    if not place.endswith(".py"):
        return getattr(importlib.import_module(place), function)
    name = Path(place).stem
    spec = importlib.util.spec_from_file_location(name, place)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, function)


def serve(preloaded):
    importlib.import_module(preloaded)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            call(**json.loads(line))
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def call(folder, place, function, arguments, environment, printed):
    """In the new process, which ends here as Python does."""
    os.chdir(folder)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, path in enumerate(printed, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    sys.stdin = open(os.devnull)  # noqa: SIM115, PTH123 - until the process ends
    os.environ.clear()
    os.environ.update(environment)
    random.seed()
    np.random.seed()
    status = 1
    try:
        load(place, function)(*arguments)
        status = 0
    except SystemExit as stopped:
        status = stopped.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    serve(sys.argv[1])

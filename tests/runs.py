"""Runs of a command in processes of their own: killed, resumed, several at once.

A server that has imported PyTorch once forks them, so that each starts in a moment.
"""

import multiprocessing
import os
import random
import signal
import socket
import sys
import time
from pathlib import Path
from threading import RLock

import torch
from tqdm import tqdm

from rnncourse.cli import main
from rnncourse.training.checkpoint import load_checkpoint, save_checkpoint

SERVER = multiprocessing.get_context("forkserver")
# PyTorch imports its compiler, seconds of work, when it makes the first optimiser.
SERVER.set_forkserver_preload(
    ["torch._dynamo", "rnncourse.language_model.training", "rnncourse.seq2seq.training", __name__]
)
PATIENCE = 120
"""Seconds after which a process is taken to hang."""


def flat(content, path=""):
    """Every leaf of nested dicts and sequences, by its path."""
    if isinstance(content, dict | list | tuple):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for name, item in items:
            yield from flat(item, f"{path}/{name}")
    else:
        yield path, content


def assert_same_run(kind, a, b):
    """All that two checkpoints hold, to the bit."""
    a, b = (dict(flat(load_checkpoint(path, kind))) for path in (a, b))
    assert a.keys() == b.keys()
    assert [path for path in a if path.startswith("/optimiser/state")]
    for path, value in a.items():
        equal = torch.equal(value, b[path]) if isinstance(value, torch.Tensor) else value == b[path]
        assert equal, path


def start(arguments, log, environment=(), stop=None):
    """Start the command in a process of its own, whose output goes to the file `log`."""
    process = SERVER.Process(
        target=_command, args=([*map(str, arguments)], str(log), dict(environment), stop)
    )
    process.start()
    return process


def finish(process, log):
    """Wait for the end of a process; what it wrote."""
    process.join(PATIENCE)
    assert process.exitcode == 0, Path(log).read_text("utf8")
    return Path(log).read_text("utf8")


def in_two_processes(arguments, folder):
    """Run the command twice at once, as `torchrun --nproc-per-node 2` would; what the two wrote."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    logs = [folder / f"{port}-{rank}.log" for rank in range(2)]
    started = [
        start(arguments, log, shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank, log in enumerate(logs)
    ]
    return "".join(finish(process, log) for process, log in zip(started, logs, strict=True))


def killed_in_the_program(arguments, path, seed, kills=10):
    """Start a run, kill it at a moment drawn among those of :func:`_moments`, resume it, and so on.

    Parameters
    ----------
    arguments : sequence of str
    path : Path
        Of the checkpoint.
    seed : int

    Returns
    -------
    list of str
        Where each SIGKILL found the process.
    """
    rng, places, log = random.Random(seed), [], path.parent.with_suffix(".log")
    for _ in range(kills):
        here, there = SERVER.Pipe()
        process = start(_or_resumed(arguments, path), log, stop=(there, rng.randint(1, 40)))
        # Only the process itself holds this end now: if it stops by itself, poll and recv see that.
        there.close()
        assert here.poll(PATIENCE), log.read_text("utf8")
        try:
            places.append(here.recv())
        except EOFError:
            raise AssertionError(log.read_text("utf8")) from None
        _kill(process)
    return places


def killed_by_the_clock(arguments, path, seed, kills=10):
    """Start a run, kill it up to 50 ms after it wrote one to four checkpoints, resume it, and so on.

    Returns
    -------
    list of bool
        Whether each SIGKILL left a checkpoint half written.
    """
    rng, halves, log = random.Random(seed), [], path.parent.with_suffix(".log")
    partial = path.with_name(path.name + ".partial")
    for _ in range(kills):
        partial.unlink(missing_ok=True)
        written = [_written(path)]
        process = start(_or_resumed(arguments, path), log)
        deadline, last = time.monotonic() + PATIENCE, rng.randint(1, 4)
        while len(written) <= last:
            assert process.is_alive() and time.monotonic() < deadline, log.read_text("utf8")
            time.sleep(0.001)
            if (now := _written(path)) != written[-1]:
                written.append(now)
        time.sleep(rng.uniform(0, 0.05))
        _kill(process)
        halves.append(partial.exists())
    return halves


def _written(path):
    return path.stat().st_mtime_ns if path.exists() else None


def _or_resumed(arguments, path):
    return [*arguments, "--resume"] if path.exists() else arguments


def _kill(process):
    process.kill()
    process.join(PATIENCE)
    assert process.exitcode == -signal.SIGKILL


def _command(arguments, log, environment, stop):
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ.update(environment)
    torch.set_num_threads(1)
    # By default tqdm takes a lock between processes, which a killed one leaves behind.
    tqdm.set_lock(RLock())
    if stop is not None:
        _moments(*stop)
    main(arguments)


def _moments(connection, last):
    """Count the moments of the program; at number `last` say which it is and wait to be killed."""
    passed = 0

    def moment(place):
        nonlocal passed
        passed += 1
        if passed == last:
            connection.send(place)
            time.sleep(PATIENCE)

    def around(owner, name, place):
        function = getattr(owner, name)

        def wrapped(*arguments, **settings):
            moment(f"before {place}")
            result = function(*arguments, **settings)
            moment(f"after {place}")
            return result

        setattr(owner, name, wrapped)

    class HalfWriting:
        def __init__(self, file):
            self.file = file

        def __enter__(self):
            moment("writing: opened")
            return self

        def __exit__(self, *error):
            self.file.close()

        def write(self, data):
            half = len(data) // 2
            self.file.write(data[:half])
            self.file.flush()
            moment("writing: half of the file")
            self.file.write(data[half:])

        def __getattr__(self, name):
            return getattr(self.file, name)

    around(torch.optim.Adam, "step", "an update")
    around(os, "fsync", "writing to the disk")
    around(os, "replace", "moving to its place")
    sys.modules[save_checkpoint.__module__].open = lambda *arguments: HalfWriting(open(*arguments))

"""Paired timings: what the package computes against the same computed by another library."""

import importlib.util
import re
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

from rnncourse.record import processor
from rnncourse.testing import check_parity

PAIRS = 7
SAMPLE = 0.05
"""Seconds that one sample takes at least."""


class Row(NamedTuple):
    """One comparison: two functions without arguments that compute the same."""

    name: str
    reference: Callable
    """Returns arrays or tensors by name."""
    ours: Callable
    """Returns the same."""
    tolerance: float
    """Largest :func:`rnncourse.testing.relative_error` between the two."""
    targets: dict = {}
    """Largest ratio by kind of target: ``must``, ``aim``."""
    device: str = "cpu"
    check: Callable | None = None
    """``check(ours, reference)`` raises AssertionError unless the results are fit to be compared.

    For sides that are not equal by construction, such as two trainings. Without it they must be equal to
    `tolerance`.
    """
    slow: bool = False
    """Takes seconds a call: the tests leave it out, the command checks it once."""


class Result(NamedTuple):
    """What the timing of a row gave."""

    row: str
    ratio: float
    """Median over the pairs of our time divided by the reference's."""
    spread: tuple
    """Smallest and largest ratio."""
    reference_ms: float
    """Median time of one call of the reference."""
    targets: dict
    met: dict
    """Whether the ratio reaches the target, by kind of target."""
    device: str


def load_rows(path):
    """Rows of a benchmark file: what its function ``rows`` returns."""
    spec = importlib.util.spec_from_file_location(f"benchmarks_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.rows()


def check_row(row):
    """Raise AssertionError unless both sides of a row compute the same, or pass its own check."""
    # Twice: the second loss of a training step shows whether the first changed the weights alike.
    for _ in range(1 if row.slow else 2):
        ours, reference = _arrays(row.ours()), _arrays(row.reference())
        if row.check is not None:
            row.check(ours, reference)
        else:
            check_parity(ours, reference, row.tolerance)


def _arrays(results):
    return {name: a.detach().cpu() if hasattr(a, "detach") else a for name, a in results.items()}


def time_row(row, sample=SAMPLE):
    """Time a row whose sides agree.

    Returns
    -------
    Result
    """
    clock = cuda_time if row.device == "cuda" else time.process_time
    times = time_pairs(row.reference, row.ours, clock, sample=sample)
    ratios = [ours / reference for reference, ours in times]
    ratio = statistics.median(ratios)
    return Result(
        row.name,
        round(ratio, 4),
        (round(min(ratios), 4), round(max(ratios), 4)),
        round(1e3 * statistics.median(reference for reference, _ in times), 4),
        row.targets,
        {kind: ratio <= target for kind, target in row.targets.items()},
        row.device,
    )


def time_pairs(reference, ours, clock=time.process_time, pairs=PAIRS, sample=SAMPLE):
    """Time two functions in turn, so that both see the same state of the machine.

    Parameters
    ----------
    reference, ours : callable
        Without arguments.
    clock : callable
        Seconds. Time of the processor, not of the wall, leaves out what other programs take.
    pairs : int
    sample : float
        Seconds that the calls of one sample take together, at least.

    Returns
    -------
    list of (reference, ours)
        Seconds of one call, by pair.
    """
    functions = reference, ours
    repeats = [_repeats(function, clock, sample) for function in functions]
    return [
        tuple(_seconds(f, n, clock) / n for f, n in zip(functions, repeats, strict=True))
        for _ in range(pairs)
    ]


def _repeats(function, clock, sample):
    n = 1
    while _seconds(function, n, clock) < sample:
        n *= 2
    return n


def _seconds(function, n, clock):
    start = clock()
    for _ in range(n):
        function()
    return clock() - start


def cuda_time():
    """Seconds of the wall clock once the GPU has done all that was asked of it."""
    import torch

    torch.cuda.synchronize()
    return time.perf_counter()


def table(results):
    """The results as text, one line a row."""
    lines = [("row", "ratio", "spread", "reference ms", "target", "reached")]
    for r in results:
        lines.append(
            (
                r.row,
                f"{r.ratio:.2f}",
                f"{r.spread[0]:.2f}..{r.spread[1]:.2f}",
                f"{r.reference_ms:.2f}",
                ", ".join(f"{kind} {target:.2f}" for kind, target in r.targets.items()),
                ", ".join(f"{kind} {'met' if met else 'missed'}" for kind, met in r.met.items()),
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def machine_slug():
    """Name of this machine for a file: its processor, and its CUDA device where there is one."""
    import torch

    names = [processor()] + ([torch.cuda.get_device_name()] if torch.cuda.is_available() else [])
    return re.sub(r"[^a-z0-9]+", "-", " ".join(names).lower()).strip("-")

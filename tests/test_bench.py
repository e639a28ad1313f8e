"""The benchmark command: its timer, table, record and messages; no ratio of the package is tested."""

import json
import statistics
from functools import partial
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from rnncourse import bench
from rnncourse.bench import Result, Row, check_row, load_rows, machine_slug, table, time_pairs, time_row
from rnncourse.cli import main

BENCHMARKS = sorted((Path(__file__).parents[1] / "benchmarks").glob("*.py"))
# A target that no ratio reaches beside one that every ratio does.
TOY = """
import numpy as np
from rnncourse.bench import Row

def rows():
    side = lambda: {"sum": np.arange(50_000.0).sum()}
    return [Row("toy", side, side, 1e-12, {"must": 0.0, "aim": 1e9})]
"""


def work(n):
    return lambda: {"sum": sum(range(n))}


def test_timer_sees_twice_the_work():
    times = time_pairs(work(20_000), work(40_000), sample=0.02)
    assert len(times) == 7
    assert 1.5 < statistics.median(ours / reference for reference, ours in times) < 2.5


def test_timer_alternates_and_divides_by_the_calls():
    calls, now = [], [0.0]

    def side(name, seconds):
        def run():
            calls.append(name)
            now[0] += seconds

        return run

    # On a clock that only the two functions move, all is exact.
    times = time_pairs(side("reference", 3.0), side("ours", 8.0), lambda: now[0], pairs=2, sample=10.0)
    assert times == [(3.0, 8.0)] * 2
    assert calls[-12:] == 2 * (4 * ["reference"] + 2 * ["ours"])


def test_row_is_ours_over_the_reference():
    result = time_row(
        Row("slower", work(10_000), work(80_000), 1e-12, {"must": 1.0, "aim": 1e9}), sample=0.005
    )
    low, high = result.spread
    assert low <= result.ratio <= high
    assert result.ratio > 3
    assert result.met == {"must": False, "aim": True}
    assert 0.01 < result.reference_ms < 10


def test_row_with_its_own_check():
    seen = []

    def check(ours, reference):
        seen.append((ours["loss"], reference["loss"]))
        assert ours["loss"] <= reference["loss"], "ours is worse"

    sides = lambda: {"loss": 1.0}, lambda: {"loss": 0.5}  # noqa: E731
    check_row(Row("better", *sides, 1e-12, check=check, slow=True))
    assert seen == [(0.5, 1.0)]
    with pytest.raises(AssertionError, match="ours is worse"):
        check_row(Row("worse", *reversed(sides), 1e-12, check=check))


def test_table():
    targets, met = {"must": 0.7, "aim": 0.9}, {"must": False, "aim": True}
    results = [
        Result("tanh RNN", 0.724, (0.69, 0.741), 26.8, targets, met, "cpu"),
        Result("twin", 12.5, (12.0, 13.0), 0.5, {}, {}, "cpu"),
    ]
    head, *lines = table(results).splitlines()
    assert head.split() == ["row", "ratio", "spread", "reference", "ms", "target", "reached"]
    assert lines[0].split() == (
        ["tanh", "RNN", "0.72", "0.69..0.74", "26.80", "must", "0.70,", "aim", "0.90"]
        + ["must", "missed,", "aim", "met"]
    )
    assert lines[1].split() == ["twin", "12.50", "12.00..13.00", "0.50"]
    for name, cell in [("ratio", "0.72"), ("spread", "0.69.."), ("target", "must 0"), ("reached", "must m")]:
        assert lines[0].index(cell) == head.index(name)


def test_sides_of_every_benchmark_agree():
    names = []
    for path in BENCHMARKS:
        for row in load_rows(path):
            names.append(row.name)
            if row.device == "cpu" and not row.slow:  # the command switches TF32 off for other devices
                check_row(row)
    assert len(set(names)) == len(names) > 7


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one benchmark, short samples, and a process that keeps its number of threads."""
    threads = []
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/toy.py").write_text(TOY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(bench, "time_row", partial(time_row, sample=0.001))
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    yield tmp_path
    assert threads in ([], [1])


def test_command_writes_the_record(repository):
    outcome = CliRunner().invoke(main, ["bench"])
    assert outcome.exit_code == 0, outcome.output  # a missed target is no error
    assert "must missed, aim met" in outcome.output
    path = repository / "benchmarks" / f"{machine_slug()}.json"
    assert f"benchmarks/{path.name}" in outcome.output.splitlines()
    record = json.loads(path.read_text())
    assert set(record) == {"command", "machine", "versions", "date", "settings", "rows"}
    assert record["settings"] == {"threads": 1, "pairs": 7, "sample_seconds": 0.05}
    (row,) = record["rows"]
    assert set(row) == {"topic", *Result._fields}
    assert (row["topic"], row["row"], row["met"]) == ("toy", "toy", {"must": False, "aim": True})


def test_part_of_the_benchmarks_leaves_the_record(repository):
    outcome = CliRunner().invoke(main, ["bench", "toy"])
    assert outcome.exit_code == 0, outcome.output
    assert "must missed" in outcome.output
    assert not list(repository.glob("benchmarks/*.json"))


def test_messages(repository, monkeypatch):
    wrong = TOY.replace("side, side", 'side, lambda: {"sum": 1.0}')
    (repository / "benchmarks/wrong.py").write_text(wrong)
    cases = [
        (["bench", "lstm"], "unknown topic 'lstm': benchmarks/ has toy, wrong"),
        (["bench", "wrong"], "toy: the two sides do not compute the same: relative error above 1e-12 in sum"),
    ]
    for arguments, message in cases:
        outcome = CliRunner().invoke(main, arguments)
        assert outcome.exit_code == 2 and f"Error: {message}" in outcome.output
    for change in (
        lambda: monkeypatch.setenv("OMP_NUM_THREADS", "2"),
        lambda: monkeypatch.delenv("OMP_NUM_THREADS"),
    ):
        change()
        outcome = CliRunner().invoke(main, ["bench"])
        assert outcome.exit_code == 2
        assert outcome.output.splitlines()[-1] == "Error: set OMP_NUM_THREADS=1 (make bench does)"

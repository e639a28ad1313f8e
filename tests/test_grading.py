"""The grader: every kind of submission gets its right grade, and nothing gets out of the sandbox."""

import csv
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

import nbformat
import numpy as np
import pytest
from click.testing import CliRunner
from submissions import FOLDER, cases, file_name
from test_exercises import functions

from rnncourse.cli import main
from rnncourse.grading import collect, gradescope, report, run, sandbox, selftest, store, wire
from rnncourse.grading.check import HeldOut, ModuleParity, Partly, Property, parities
from rnncourse.grading.judge import Unreadable, grade, plan, read_notebook
from rnncourse.grading.sandbox import Limits
from rnncourse.grading.topic import Topic, load_topic, solution_cells

ROOT = Path(__file__).parents[1]
LIMITS = Limits(cell=3, call=3, question=30, total=60, memory=320)
LIMIT_OPTIONS = [
    f"--limits={name}={getattr(LIMITS, name):g}" for name in ("cell", "call", "question", "total", "memory")
]
CASES = cases()


def works():
    """Why the sandbox does not work here, or None; tried in a process of its own, which may give up root."""
    try:
        with run.local_pool(1) as pool:
            run.check_sandbox(pool, LIMITS)
    except sandbox.Refused as error:
        return str(error).splitlines()[0]
    return None


@pytest.fixture(scope="session")
def boxed():
    """Skip what needs the sandbox where there is none, but not where it must be."""
    reason = works()
    if reason and os.environ.get("RNNCOURSE_REQUIRE_BWRAP"):
        pytest.fail(reason)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="session")
def pool(boxed):
    with run.local_pool(2) as pool:
        yield pool


def command(*arguments, **settings):
    """How to call the command, in the root of the repository."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    }
    line = [sys.executable, "-m", "rnncourse.cli", *map(str, arguments)]
    return {"args": line, "cwd": ROOT, "env": environment, "text": True, **settings}


def call(*arguments):
    return subprocess.run(**command(*arguments, capture_output=True))


def job(data, topic, **others):
    """What the pool grades."""
    common = {"topic": topic.name, "exercise": topic.exercise, "libraries": list(topic.libraries)}
    return common | {"data": data, "seed": 1, "limits": vars(LIMITS), "boxed": True} | others


def left_over():
    """Processes of the sandbox that are still there."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"worker.py" in path.read_bytes() and b"bwrap" in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def graded(boxed, tmp_path_factory):
    """All the submissions, graded in one run of the command."""
    out = tmp_path_factory.mktemp("graded")
    before = {path.name for path in Path("/tmp").iterdir()}
    result = call(
        "grade", FOLDER, "--topic", "rnn", "--out", out, "--seed", 3, "--workers", 2, *LIMIT_OPTIONS
    )
    assert result.returncode == 0, result.stderr[-2000:]
    new = {path.name for path in Path("/tmp").iterdir()} - before
    content = json.loads((out / "results.json").read_text())
    return out, {entry["student"]: entry for entry in content["submissions"]}, new


@pytest.mark.parametrize("name", CASES)
def test_files_are_in_step(name):
    case = CASES[name]
    assert (FOLDER / file_name(name, case)).read_bytes() == case.content


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_submission_gets_its_grade(graded, name):
    case, entry = CASES[name], graded[1][file_name(name, CASES[name]).parts[0]]
    said = " ".join([entry["message"], *entry["notes"]])
    assert (entry["status"], entry["total"]) == (case.status, case.total), entry
    assert case.said in said
    # A crash never looks like an honest zero.
    if entry["status"] in ("crashed", "unreadable"):
        assert entry["message"]


@pytest.mark.slow
def test_nothing_is_left_and_nothing_was_written_outside(graded):
    assert not [name for name in graded[2] if "rnncourse" in name or "escaped" in name]
    assert left_over() == []


@pytest.mark.slow
def test_reports_of_the_run(graded):
    out, entries, _ = graded
    rows = list(csv.DictReader((out / "grades.csv").open()))
    assert len(rows) == len(CASES) == len(list((out / "feedback").iterdir()))
    assert list(rows[0])[:4] == ["student", "topic", "status", "message"]
    solution = next(row for row in rows if row["student"] == "solved")
    assert [solution[f"q{n}"] for n in range(1, 7)] == ["3", "3", "3", "3", "2", "3"]
    assert (solution["total"], solution["of"], solution["manual"]) == ("17", "17", "2")
    assert next(row for row in rows if row["student"] == "not-json")["total"] == ""
    # The hint in the topic's words, and nobody's markup.
    page = (out / "feedback/partly-right/rnn.html").read_text()
    assert "Look again at" in page and "wrong" in page
    evil = (out / "feedback/_script_alert_1___script_/rnn.html").read_text()
    assert "<script>" not in evil and "&lt;script&gt;alert(2)" in evil
    assert "<script>" not in (out / "feedback/_script_alert_1___script_/rnn.md").read_text()
    assert entries["memory-of-many"]["peak"] < 3 * LIMITS.memory * 2**20
    assert (
        "one sentence" not in (out / "manual.html").read_text()
        and "<pre>" in (out / "manual.html").read_text()
    )


def class_of(folder, count, data=None):
    """A folder of submissions of small right notebooks, all a little different."""
    for i in range(count):
        path = folder / f"student-{i:03d}" / "gru.ipynb"
        path.parent.mkdir(parents=True)
        path.write_bytes((data or gru()) + b" " * i)
    return folder


def gru():
    return solution_cells(ROOT / "solutions/gru.ipynb").encode()


@pytest.mark.slow
def test_killed_at_any_moment_no_grade_is_lost(boxed, tmp_path):
    folder, out = class_of(tmp_path / "in", 6), tmp_path / "out"
    arguments = ("grade", folder, "--out", out, "--seed", 1, "--workers", 2)
    kept, rng = [], random.Random(0)
    for _ in range(4):
        process = subprocess.Popen(
            **command(*arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        time.sleep(rng.uniform(0.8, 2.5))
        process.kill()
        process.wait()
        if (out / "grades.sqlite").is_file():
            kept.append(dict(stored(out)))
    assert call(*arguments).returncode == 0
    rows = list(csv.DictReader((out / "grades.csv").open()))
    assert [row["student"] for row in rows] == [f"student-{i:03d}" for i in range(6)]
    assert {row["total"] for row in rows} == {"16"}
    end = dict(stored(out))
    # What was kept was not graded again: its seconds are those of the first time.
    assert all(end[student] == result for early in kept for student, result in early.items())
    wait_for(lambda: left_over() == [])


def stored(out):
    import sqlite3

    database = sqlite3.connect(out / "grades.sqlite")
    try:
        return database.execute("SELECT student, result FROM grades").fetchall()
    finally:
        database.close()


def wait_for(condition, seconds=5):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


@pytest.mark.slow
def test_again_grades_only_what_is_new_and_ctrl_c_keeps_what_is_done(boxed, tmp_path):
    folder, out = class_of(tmp_path / "in", 6), tmp_path / "out"
    arguments = ("grade", folder, "--out", out, "--workers", 1)
    process = subprocess.Popen(**command(*arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
    wait_for(lambda: (out / "grades.sqlite").is_file() and stored_count(out) >= 1, 60)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 130 and "interrupted with" in said and "Traceback" not in said
    assert len((out / "grades.csv").read_text().splitlines()) >= 2
    assert call(*arguments).returncode == 0
    first = dict(stored(out))
    seed = json.loads((out / "results.json").read_text())["settings"]["seed"]
    (folder / "student-003/gru.ipynb").write_bytes(b"no notebook")
    (folder / "student-004/gru.ipynb").unlink()
    roster = tmp_path / "roster.csv"
    roster.write_text("student,name\nstudent-000,Ada\nstudent-004,Bob\nzoe,\n")
    assert call(*arguments, "--roster", roster).returncode == 0
    content = json.loads((out / "results.json").read_text())
    assert content["settings"]["seed"] == seed
    rows = {row["student"]: row for row in csv.DictReader((out / "grades.csv").open())}
    assert rows["student-003"]["status"] == "unreadable" and rows["zoe"]["status"] == "no submission"
    assert rows["student-004"]["status"] == "no submission" and rows["student-000"]["name"] == "Ada"
    assert rows["student-001"]["message"] == "not in the roster" and rows["student-000"]["message"] == ""
    second = dict(stored(out))
    assert all(second[s] == first[s] for s in first if s != "student-003")


def stored_count(out):
    try:
        return len(stored(out))
    except Exception:
        return 0


def mutated(rng, data):
    """A valid notebook with something changed: in its JSON, in its bytes or in its cells."""
    kind = rng.integers(6)
    if kind == 0:  # bytes
        at = int(rng.integers(len(data)))
        return (
            data[:at] + bytes(rng.integers(0, 256, int(rng.integers(1, 5)), dtype=np.uint8)) + data[at + 1 :]
        )
    tree = json.loads(data)
    cells = tree["cells"]
    i, j = (int(n) for n in rng.integers(len(cells), size=2))
    strange = [None, 3, -1.5, "", [], {}, True, "x" * 1000, [[]], {"a": None}, "\ud800", float("nan")]
    value = strange[rng.integers(len(strange))]
    if kind == 1:  # a value somewhere on the way down
        node = tree
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            key = keys[rng.integers(len(keys))]
            below = node[key]
            if not isinstance(below, dict | list) or not below or rng.random() < 0.2:
                node[key] = value
                break
            node = below
    elif kind == 2:  # the order of the cells
        cells[i], cells[j] = cells[j], cells[i]
    elif kind == 3:
        del cells[i]
    elif kind == 4:  # a line of code
        code = [c for c in cells if c["cell_type"] == "code"]
        cell = code[rng.integers(len(code))]
        lines = "".join(cell["source"]).split("\n")
        at = int(rng.integers(len(lines)))
        lines[at] = ["", "    return 0", "!!", lines[at][::-1], "raise SystemExit", lines[at] * 2][
            rng.integers(6)
        ]
        cell["source"] = "\n".join(lines)
    else:  # characters of code
        cell = cells[i]
        source = "".join(cell["source"])
        at = int(rng.integers(len(source) + 1))
        cell["source"] = source[:at] + chr(rng.integers(1, 0x3000)) + source[at + int(rng.integers(3)) :]
    return json.dumps(tree).encode()


@pytest.mark.slow
def test_no_mutation_stops_the_run(pool):
    rng, topic = np.random.default_rng(0), load_topic("gru", ROOT)
    limits = vars(Limits(cell=1, call=1, question=10, total=20))
    right = gru()
    futures = [pool.submit(run.grade_job, job(mutated(rng, right), topic, limits=limits)) for _ in range(200)]
    results = [future.result() for future in futures]
    statuses = {result["status"] for result in results}
    assert statuses <= {"graded", "not attempted", "crashed", "unreadable"}, [
        r["message"] for r in results if r["status"] == "failed"
    ]
    assert all(r["total"] is None if r["status"] == "unreadable" else 0 <= r["total"] <= 16 for r in results)
    assert sum(r["total"] == 16 for r in results) > 50


def test_the_seed_makes_a_grade_repeatable(pool):
    topic = load_topic("gru", ROOT)
    wrong = gru().replace(b"(1 - z)", b"(1 - 0.5 * z)")
    assert wrong != gru()
    first, again, other = (
        pool.submit(run.grade_job, job(wrong, topic, seed=seed)).result()["questions"] for seed in (1, 1, 2)
    )
    assert first == again != other
    assert [q["outcome"] for q in first] == [q["outcome"] for q in other]


@pytest.mark.slow
def test_the_self_test_passes_and_finds_a_wrong_bank(boxed):
    result = call("grade", "--check", "gru")
    assert result.returncode == 0 and "get the points that they deserve" in result.stdout, result.stderr[
        -2000:
    ]
    result = call("grade", "--check", "lstn")
    assert result.returncode == 2 and "unknown topic 'lstn'" in result.stderr


def test_a_wrong_grade_is_named():
    topic = load_topic("rnn", ROOT)
    tests = {name: test for name, _, _, test in selftest.expectations(topic, ROOT, 0)}
    zero = {
        "status": "graded",
        "total": 0,
        "message": "",
        "questions": [{"number": "q1", "points": 3, "message": ""}],
    }
    assert "graded with 0 of 17" in tests["the solution"](zero)
    name = next(name for name in tests if name.startswith("q1"))
    assert "gets 3 points, not 0" in tests[name](zero)


@pytest.mark.parametrize("name", sorted(p.stem for p in (ROOT / "solutions").glob("*.ipynb")))
def test_no_answer_is_in_the_sandbox(name):
    topic = load_topic(name, ROOT)
    files = topic.files()
    assert "exercise.py" not in "".join(files) or files[f"rnncourse/{name}/exercise.py"].count("\n") < 20
    assert not [path for path in files if path.endswith("mutants.py") or "solutions" in path]
    for module, answer in topic.answers:
        text = files.get(module.replace(".", "/") + ".py", "")
        assert f"def {answer}(" not in text, (module, answer)
    assert len(topic.questions) >= 4 and sum(len(list(g)) for g in [list(selftest.mistakes(topic))]) >= 6


SMALL = """import numpy as np

from rnncourse.grading.check import check
"""


def small_topic(judge, name="answer", libraries=("numpy",)):
    """A notebook with one question that `judge` judges."""
    graded = {"grade": True, "grade_id": "small-q1-check", "locked": True, "points": 4, "solution": False}
    stub = {"grade": False, "grade_id": "small-q1", "solution": True}
    cells = [
        {"cell_type": "code", "metadata": {}, "source": SMALL},
        {
            "cell_type": "code",
            "metadata": {"nbgrader": stub},
            "source": f"def {name}():\n    raise NotImplementedError()",
        },
        {"cell_type": "code", "metadata": {"nbgrader": graded}, "source": f'check("small.q1", {name})'},
    ]
    return Topic("small", json.dumps({"cells": cells}), {"q1": judge}, libraries=libraries)


def in_the_open(source, judge, limits=LIMITS, **others):
    """Grade one cell with this process's own rights, root's too; it is our own code."""
    cells = [{"cell_type": "code", "metadata": {}, "source": source}]
    data = json.dumps({"cells": cells}).encode()
    with mock.patch("os.geteuid", return_value=1000):
        result = grade(data, small_topic(judge, **others), 0, limits, boxed=False)
    return result, result["questions"][0]


def squares(answer, rng):
    """Mean squared error of a model on fresh data of y = 3 x + 1."""
    x = rng.normal(size=200)
    return np.mean((np.asarray(answer(x)) - 3 * x - 1) ** 2)


def test_a_trained_model_gets_part_of_the_points():
    judge = HeldOut(squares, none=10.0, full=0.1, figure="the mean squared error")
    fit = (
        "import numpy as np\nx = np.linspace(-1, 1)\nw = np.polyfit(x, 3 * x + {b}, 1)\n\n\n"
        "def answer(x):\n    return np.polyval(w, x)"
    )
    assert in_the_open(fit.format(b=1), judge)[1]["points"] == 4
    _, half = in_the_open(fit.format(b=3.236), judge)
    assert (
        half["outcome"] == "partly"
        and 1.9 < half["points"] < 2.2
        and "mean squared error is 5" in half["message"]
    )
    _, none = in_the_open(fit.format(b=9), judge)
    assert (none["outcome"], none["points"]) == ("wrong", 0) and "no better than 10" in none["message"]
    with pytest.raises(Partly) as caught:
        judge.judge(lambda x: 3 * x + 3.236, np.random.default_rng(0))
    assert 0.4 < caught.value.share < 0.6


MODULE = """import torch


class Model(torch.nn.Module):
    def __init__(self, D, H):
        super().__init__()
        self.linear = torch.nn.Linear(D, H)

    def forward(self, x):
        return torch.tanh(self.linear(x)){wrong}
"""


def draw_module(rng):
    import torch

    return (3, 4), (torch.from_numpy(rng.normal(size=(5, 3))),)


def test_a_torch_module_is_judged_by_its_outputs():
    names = {}
    exec(MODULE.format(wrong=""), names)
    judge = ModuleParity(names["Model"], draw_module, ("y",))
    judge.judge(names["Model"], np.random.default_rng(0))
    settings = {"name": "Model", "libraries": ("numpy", "torch"), "limits": Limits(cell=60)}
    _, wrong = in_the_open(MODULE.format(wrong=" * 1.1"), judge, **settings)
    assert wrong["outcome"] == "wrong" and "y has the right shape but wrong values" in wrong["message"]
    exec(MODULE.format(wrong="").replace("self.linear", "self.other"), names)
    with pytest.raises(AssertionError, match="does not take the weights by name"):
        judge.judge(names["Model"], np.random.default_rng(0))


BOTH_WAYS = """def answer(add, rng, dtype):
    def inner(x):
        if isinstance(x, list):
            x[0][:] = 5
            x[1].append(2)
            return
        if isinstance(x, str):
            raise KeyError("gone")
        return 2 * add(x)

    assert dtype(1).itemsize == 2
    return inner
"""


def test_functions_pass_both_ways():
    def judge(answer, rng):
        inner = answer(lambda x: x + 1, rng, np.float16)
        assert inner(np.arange(3)).tolist() == [2, 4, 6]
        given = [np.zeros(2), [1]]
        assert answer.__name__ == "answer" and inner(given) is None
        assert given[0].tolist() == [0, 0] and given[1] == [1]
        inner.restoring(given)
        assert given[0].tolist() == [5, 5] and given[1] == [1, 2]
        try:
            inner("x")
        except KeyError as error:
            raise AssertionError(f"it raises {error}") from None

    _, said = in_the_open(BOTH_WAYS, Property(judge))
    assert said["outcome"] == "wrong" and "it raises" in said["message"] and "gone" in said["message"]


CHANGES_ITS_ARGUMENTS = """
def leaky_backward(doutput, x, h, params, alpha):
    for array in (doutput, x, h, *params):
        array[:] = 0
    return x, h[0], params, 0.0
"""


def test_what_the_judge_compares_with_cannot_be_changed():
    topic = load_topic("bptt", ROOT)
    cell = {"cell_type": "code", "metadata": {}, "source": CHANGES_ITS_ARGUMENTS}
    data = json.dumps({"cells": [cell]}).encode()
    with mock.patch("os.geteuid", return_value=1000):
        result = grade(data, topic, 0, LIMITS, boxed=False)
    assert result["questions"][4]["outcome"] == "wrong"


def test_what_the_judge_cannot_compare_is_no_plain_zero():
    def judge(answer, rng):
        return answer() + 1

    _, said = in_the_open("def answer():\n    return 'a'", Property(judge))
    assert said["outcome"] == "error" and "cannot be compared: TypeError" in said["message"]


def round_trip(value):
    tree, arrays = wire.pack(value, lambda f: 0)
    return wire.Decoder(b"".join(arrays), lambda n, name: name)(json.loads(json.dumps(tree)))


def test_values_come_back_as_they_are():
    from rnncourse.rnn.numpy import RNNParams

    params = RNNParams(np.eye(2), np.zeros((0, 3)), np.float32(2), np.array(["a", "bc"]))
    value = (
        params,
        [1, -2.5, None, True],
        {"a": 1j, 2: {3}},
        frozenset({"x"}),
        np.arange(6, dtype="i2").reshape(2, 3).T,
    )
    back = round_trip(value)
    assert isinstance(back[0], RNNParams) and isinstance(back[0].bias_ih, np.float32)
    for a, b in zip(params, back[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert back[1:4] == value[1:4] and (back[4] == value[4]).all() and back[4].dtype == np.int16
    assert np.isnan(round_trip(np.nan)) and round_trip(np.float16) is np.float16
    assert type(round_trip(Path())).__name__ == "PosixPath"
    assert isinstance(round_trip(np.random.default_rng(0)), np.random.Generator)
    assert type(round_trip(np.array([object()]))).__name__ == "object"


BAD = [
    {"k": "array", "d": "<f8", "s": [10**9, 10**9], "o": 0},
    {"k": "array", "d": "<f8", "s": [10**30, 0], "o": 0},
    {"k": "array", "d": "|O", "s": [1], "o": 0},
    {"k": "array", "d": "<f8", "s": [-1], "o": 0},
    {"k": "array", "d": "<f8", "s": [1], "o": -8},
    {"k": "array", "d": "<f8", "s": ["x"], "o": 0},
    {"k": "array", "d": "V8", "s": [1], "o": 0},
    {"k": "tuple", "v": [1], "c": "a:b", "f": ["__class__", "x"]},
    {"k": "tuple", "v": [1], "c": "a:def", "f": ["x"]},
    {"k": "tuple", "v": 3},
    {"k": "pickle", "v": ""},
    {"k": "dict", "v": [[{"k": "list", "v": []}, 1]]},
    {"v": 1},
    {"k": "dtype", "v": "O"},
]


@pytest.mark.parametrize("tree", BAD, ids=str)
def test_malformed_values_are_refused(tree):
    with pytest.raises(wire.WireError):
        wire.Decoder(b"12345678", None)(tree)


def test_malformed_frames_are_refused():
    deep = {"k": "list", "v": []}
    for _ in range(100):
        deep = {"k": "list", "v": [deep]}
    with pytest.raises(wire.WireError, match="nested too deeply"):
        wire.Decoder(b"", None)(deep)
    one = {"k": "array", "d": "|u1", "s": [8], "o": 0}
    with pytest.raises(wire.WireError, match="larger than their frame"):
        wire.Decoder(bytes(8), None)({"k": "list", "v": [one, one]})
    with pytest.raises(wire.WireError, match="more than 10000 items"):
        wire.Decoder(b"", None)({"k": "set", "v": [i * (2**61 - 1) for i in range(10_001)]})
    frames = [
        wire.HEADER.pack(2**31, 0),
        wire.HEADER.pack(5, 0) + b"{{{{{",
        wire.HEADER.pack(2, 0) + b"[]",
        wire.HEADER.pack(10**6, 0) + b"[" * 10**6,
        b"\x00\x00",
    ]
    for frame in frames:
        reading, writing = os.pipe()
        with os.fdopen(writing, "wb") as file:
            file.write(frame[:60_000])
        with pytest.raises(wire.WireError):
            wire.receive(reading)
        os.close(reading)
    reading, writing = os.pipe()
    os.close(writing)
    with pytest.raises(EOFError):
        wire.receive(reading)
    os.close(reading)
    with pytest.raises(wire.WireError, match="too large"):
        wire.send(0, {}, [bytes(wire.LARGEST + 1)])


def touch(folder, *names):
    for i, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        os.utime(path, (1e9 + i, 1e9 + i))


def test_files_are_found_by_folder_or_name(tmp_path):
    touch(
        tmp_path,
        "ada/lstm.ipynb",
        "bob/lstm (1).ipynb",
        "bob/lstm.ipynb",
        "lstm/cyd.ipynb",
        "dan_lstm - Copy (2).ipynb",
        "language_model-eve.ipynb",
        "Fay Day_12_assignsubmission_file_/lstm.ipynb",
        "gus/hw1/LSTM.ipynb",
        "gus/hw1/.ipynb_checkpoints/lstm-checkpoint.ipynb",
        "hal/notes.ipynb",
        "lstm.ipynb",
    )
    (tmp_path / "ian").mkdir()
    (tmp_path / "ian/lstm.ipynb").symlink_to("/etc/passwd")
    found, ignored = collect.find(tmp_path, ["lstm", "language_model", "rnn"])
    assert [(s.student, s.topic) for s in found] == [
        ("Fay Day", "lstm"),
        ("ada", "lstm"),
        ("bob", "lstm"),
        ("cyd", "lstm"),
        ("dan", "lstm"),
        ("eve", "language_model"),
        ("gus", "lstm"),
    ]
    bob = found[2]
    assert bob.path.name == "lstm.ipynb" and "2 files: taken is the newest" in bob.note and "(1)" in bob.note
    reasons = {str(path): reason for path, reason in ignored}
    assert "a link" in reasons["ian/lstm.ipynb"] and "give --topic" in reasons["hal/notes.ipynb"]
    assert "whose it is" in reasons["lstm.ipynb"]
    found, ignored = collect.find(tmp_path, ["lstm", "language_model", "rnn"], "language_model")
    assert [(s.student, s.topic) for s in found] == [("eve", "language_model"), ("hal", "language_model")]
    assert len(ignored) == 9


def test_students_of_one_name_stay_two(tmp_path):
    names = ("Fay Day_12_assignsubmission_file_", "Fay Day_12_assignsubmission_onlinetext_")
    touch(tmp_path, *(f"{name}/lstm.ipynb" for name in (*names, "Fay Day_7_assignsubmission_file_")))
    found, _ = collect.find(tmp_path, ["lstm"])
    assert [s.student for s in found] == ["Fay Day 12", "Fay Day 7"] and "2 files" in found[0].note


def test_a_notebook_with_too_much_code_is_not_read():
    cell = {"cell_type": "code", "metadata": {}, "source": "x = 1\n" * 200_000}
    with pytest.raises(Unreadable, match="1.2 MB of code"):
        read_notebook(json.dumps({"cells": [cell]}).encode(), LIMITS)


def test_without_a_sandbox_closed_output_hides_nobody():
    source = "import os\n\n\ndef answer():\n    os.closerange(1, 3)\n    while True:\n"
    source += "        try:\n            pass\n        except BaseException:\n            continue\n"
    source += "import signal\nsignal.signal = None\nsignal.pthread_sigmask(0, [signal.SIGALRM])\n"
    _, said = in_the_open(source, Property(lambda answer, rng: answer()), limits=Limits(call=0.2))
    assert said["outcome"] == "crashed" and "could not be interrupted" in said["message"]


def test_the_topic_stands_in_the_cells_too(tmp_path):
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada/homework.ipynb").write_text((ROOT / "exercises/gru.ipynb").read_text())
    found, _ = collect.find(tmp_path, ["gru", "rnn"])
    assert [(s.student, s.topic) for s in found] == [("ada", "gru")]


def test_a_roster_needs_its_column(tmp_path):
    path = tmp_path / "roster.csv"
    path.write_text("who\nada\n")
    with pytest.raises(ValueError, match="needs a column 'student'"):
        collect.read_roster(path)
    path.write_text("\ufeffStudent, Name\nada,Ada L\n\n", encoding="utf8")
    assert collect.read_roster(path) == {"ada": "Ada L"} or list(collect.read_roster(path)) == ["ada"]


def test_spreadsheets_get_no_formulas_and_folders_no_way_out(tmp_path):
    result = {"status": "graded", "message": "=cmd|' /C calc'!A0", "questions": [], "manual": [], "notes": []}
    result |= {"total": 1.5, "of": 3, "seconds": 0.1, "peak": 0}
    names = ["=1+1", "＝1", "../../etc", "a/b", "a_b", "", "x" * 300, "x" * 301, "\ud800"]
    graded = [(collect.Submission(name, "rnn", Path("x.ipynb")), dict(result)) for name in names]
    report.write(tmp_path, graded, [("y.ipynb", "why")], None, {"seed": 1})
    rows = list(csv.reader(io.StringIO((tmp_path / "grades.csv").read_text())))
    assert all(not cell.startswith(("=", "@", "+", "-", "＝")) for row in rows for cell in row)
    assert len(list((tmp_path / "feedback").iterdir())) == len(names)
    assert {p.name for p in tmp_path.iterdir()} == {"grades.csv", "results.json", "feedback", "manual.html"}


def test_the_given_cells_come_first_and_only_what_is_needed():
    topic = load_topic("bptt", ROOT)
    read = read_notebook(topic.exercise.encode(), LIMITS)
    assert plan(read, topic) == []
    cells = [("code", "def keeper(lag):\n    return RNNParams(*[train_recall(0)] * 4)", "None")]
    sources = [source for number, source in plan(cells, topic) if number < 0]
    assert any("def train_recall" in source for source in sources)
    assert not any("accuracies" in source or "check(" in source for source in sources)


def test_the_store_keeps_the_seed_and_one_grade_a_student(tmp_path):
    kept = store.Store(tmp_path / "a.sqlite")
    seed = kept.seed()
    assert kept.seed() == seed and kept.seed(5) == 5 and kept.seed() == 5
    kept.put("ada", "rnn", "k1", {"total": 1})
    kept.put("ada", "rnn", "k2", {"total": 2})
    assert kept.get("ada", "rnn", "k1") is None and kept.get("ada", "rnn", "k2") == {"total": 2}
    kept.close()
    (tmp_path / "b.sqlite").write_text("no database, but a text that is long enough to look at" * 20)
    with pytest.raises(ValueError, match="not a file of grades"):
        store.Store(tmp_path / "b.sqlite")
    assert store.key(b"a", 1) != store.key(b"b", 1) != store.key(b"b", 2)


def test_a_broken_worker_costs_one_submission():
    class Broken:
        def __init__(self):
            self.calls = 0

        def submit(self, function, job):
            from concurrent.futures import Future
            from concurrent.futures.process import BrokenProcessPool

            future = Future()
            if job["data"] == b"bad":
                future.set_exception(BrokenProcessPool())
            else:
                future.set_result({"status": "graded"})
            return future

    from contextlib import nullcontext

    class Kept(dict):
        def get(self, *key):
            return None

        def put(self, *values):
            self[values[0]] = values[-1]

    todo = [
        (collect.Submission(n, "rnn", Path(n)), n, {"data": d})
        for n, d in (("a", b""), ("b", b"bad"), ("c", b""))
    ]
    results = {s.student: r["status"] for s, r in run.grade_all(todo, lambda: nullcontext(Broken()), Kept())}
    assert results == {"a": "graded", "b": "failed", "c": "graded"}


def test_the_probe_says_how_to_mend(monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    with pytest.raises(sandbox.Refused, match="apt install bubblewrap"):
        sandbox.probe()
    assert "0.8" in sandbox._mend("bwrap: Unknown option --disable-userns")
    monkeypatch.setattr(sandbox.sys, "platform", "darwin")
    with pytest.raises(sandbox.Refused, match="needs Linux"):
        sandbox.probe()


def test_the_command_says_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    cases = [
        ((), "give the folder of submissions"),
        ((tmp_path, "--limits=cells=3"), "'cells' is none of cell, call"),
        ((tmp_path, "--limits=cell=0"), "cell must be above 0"),
        ((tmp_path, "--limits=cell=x"), "cell needs a number"),
        ((tmp_path, "--topic", "lstn", "--trusted"), "unknown topic 'lstn'"),
        ((tmp_path, "--trusted"), "holds no notebook of a topic"),
    ]
    for arguments, said in cases:
        result = CliRunner().invoke(main, ["grade", *map(str, arguments)])
        assert result.exit_code == 2 and said in result.output and "Traceback" not in result.output


def test_trusted_submissions_need_no_sandbox(tmp_path):
    class_of(tmp_path / "in", 1)
    result = call("grade", tmp_path / "in", "--trusted", "--out", tmp_path / "out", "--workers", 1)
    assert result.returncode == 0, result.stderr[-2000:]
    assert json.loads((tmp_path / "out/results.json").read_text())["settings"]["sandbox"] is False
    assert ",16,16," in (tmp_path / "out/grades.csv").read_text()


def test_the_gradescope_archive_grades(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    path = tmp_path / "gru.zip"
    result = CliRunner().invoke(main, ["gradescope", "gru", "--out", str(path), "--seed", "1"])
    assert result.exit_code == 0, result.output
    with zipfile.ZipFile(path) as zipped:
        names = zipped.namelist()
        assert zipped.getinfo("run_autograder").external_attr >> 16 == 0o755
        zipped.extractall(tmp_path / "source")
    assert {"setup.sh", "run_autograder", "exercises/gru.ipynb", "rnncourse/gru/exercise.py"} <= set(names)
    assert not [name for name in names if "solutions" in name]
    (tmp_path / "in").mkdir()
    (tmp_path / "in/gru.ipynb").write_bytes(gru())
    monkeypatch.chdir(tmp_path / "source")
    monkeypatch.setattr(gradescope.sandbox, "probe", mock.Mock(side_effect=sandbox.Refused("none here")))
    # There a root process judges and the student's code has another user; here both have this one.
    open_grade = partial(grade, boxed=False)
    monkeypatch.setattr(gradescope.judge, "grade", lambda *a: open_grade(*a[:4]))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(sandbox, "other_user", lambda temporary: {})
    gradescope.main("gru", "1", tmp_path / "in", tmp_path / "results.json")
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["score"] == 16 and len(content["tests"]) == 5
    gradescope.main("gru", "1", tmp_path / "nothing", tmp_path / "results.json")
    assert "No grade, which is not a zero" in (tmp_path / "results.json").read_text()


def poisoned(value, number):
    """A result with every float and integer in it replaced."""
    if isinstance(value, tuple | list):
        items = [poisoned(item, number) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {key: poisoned(item, number) for key, item in value.items()}
    if callable(value):
        return lambda *arguments: poisoned(value(*arguments), number)
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "iuf":
        return np.full(np.shape(value), number)[()]
    return number if isinstance(value, int | float) and not isinstance(value, bool) else value


WITHOUT_NUMBERS = {"deep.q4", "embeddings.q3", "gru.q4", "seq2seq.q6"}
OPEN = [
    (topic, number, question)
    for topic in sorted(path.stem for path in (ROOT / "solutions").glob("*.ipynb"))
    for number, question in import_module(f"rnncourse.{topic}.exercise").QUESTIONS.items()
    if not parities(question) and f"{topic}.{number}" not in WITHOUT_NUMBERS
]


@pytest.mark.parametrize(
    "topic, number, question", OPEN, ids=lambda value: value if isinstance(value, str) else ""
)
@pytest.mark.parametrize("poison", [np.nan, 0.0, 1e200])
def test_no_number_from_far_out_is_taken_for_an_answer(topic, number, question, poison):
    if (topic, number, poison) == ("gradients", "q5", 1e200):
        pytest.skip("lr and eps of 1e200 make Adam gradient descent, which is an answer")
    notebook = nbformat.read(ROOT / f"solutions/{topic}.ipynb", as_version=4)
    name = next(c.source for c in notebook.cells if f'check("{topic}.{number}"' in c.source)
    answer = functions(notebook)[re.search(r", (\w+)\)", name)[1]]
    with np.errstate(all="ignore"), warnings.catch_warnings(), pytest.raises(Exception):  # noqa: B017
        warnings.simplefilter("ignore")
        question.judge(lambda *arguments: poisoned(answer(*arguments), poison), np.random.default_rng(0))


def test_one_number_for_every_word_is_no_effect():
    exercise = import_module("rnncourse.attention.exercise")

    def everywhere(source, *others):
        return np.full(len(source), exercise.logprob(source, *others))

    with pytest.raises(AssertionError, match="erase one word at a time"):
        exercise.QUESTIONS["q5"].judge(everywhere, np.random.default_rng(0))


CLUSTER = """import subprocess, sys
from pathlib import Path
from rnncourse.grading.sandbox import drop_root

drop_root([Path({root!r}), *map(Path, sys.path)])
if __name__ == "__main__":
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        line = [sys.executable, "-m", "rnncourse.cli", "grade", *sys.argv[1:]]
        dask = ["--dask", cluster.scheduler_address]
        for name, extra in (("local", ["--workers", "2"]), ("dask", dask)):
            subprocess.run([*line, "--out", name, *extra], check=True)
"""


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_grades(boxed):
    pytest.importorskip("distributed")
    # Not pytest's own folder, which only its user may enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        class_of(folder / "in", 4)
        (folder / "exercises").symlink_to(ROOT / "exercises")
        (folder / "cluster.py").write_text(CLUSTER.format(root=str(ROOT)))
        line = [sys.executable, "cluster.py", "in", "--seed", "1"]
        subprocess.run(line, cwd=folder, env=command()["env"], check=True)
        rows = [
            [row[:-1] for row in csv.reader((folder / name / "grades.csv").open())]
            for name in ("local", "dask")
        ]
        assert rows[0] == rows[1] and len(rows[0]) == 5


@pytest.mark.parametrize("path", sorted((ROOT / "solutions").glob("*.ipynb")), ids=lambda p: p.stem)
def test_notebooks_are_valid_nbgrader_sources(path):
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if "nbgrader" in cell.metadata]
    for cell in cells:
        kept = dict(cell.metadata.nbgrader)
        points = kept.pop("points", None)
        assert set(kept) == {"schema_version", "grade_id", "grade", "solution", "locked", "task"}
        assert kept["schema_version"] == 3 and kept["task"] is False
        assert re.fullmatch(r"[a-zA-Z0-9_-]+", kept["grade_id"])
        assert all(isinstance(kept[name], bool) for name in ("grade", "solution", "locked"))
        # Points for what is graded alone; a check is locked, a text is answer and graded cell in one.
        assert (points is not None and points >= 0) == kept["grade"]
        assert kept["grade"] or kept["solution"]
        if kept["grade"] and cell.cell_type == "code":
            assert kept["locked"] and not kept["solution"]
        if cell.cell_type == "markdown":
            assert kept["grade"] and kept["solution"]
    if find_spec("nbgrader"):
        from nbgrader.nbgraderformat.v3 import MetadataValidatorV3

        MetadataValidatorV3().validate_nb(notebook)

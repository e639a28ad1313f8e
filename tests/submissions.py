"""Submissions of every kind to the exercise `rnn`, with the grade that each must get.

``python tests/submissions.py`` writes them to tests/submissions/; a test compares the files with what this
module gives.
"""

import copy
import io
import json
import zipfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "submissions"
FULL = 17
POINTS = {"q1": 3, "q2": 3, "q3": 3, "q4": 3, "q5": 2, "q6": 3}


class Case(NamedTuple):
    """One submission and what must come of it."""

    content: bytes
    status: str
    total: float | None
    said: str = ""
    """Words that the message or a note must have."""
    file: str = "rnn.ipynb"


def solved():
    """The cells of a right submission: its code and its text to be marked by hand."""
    cells = json.loads((ROOT / "solutions/rnn.ipynb").read_text("utf8"))["cells"]
    kept = [cell for cell in cells if cell["cell_type"] == "code" or "nbgrader" in cell["metadata"]]
    for cell in kept:
        cell["source"] = "".join(cell["source"])
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    return kept


def stubs():
    """The same cells as they are given out."""
    cells = json.loads((ROOT / "exercises/rnn.ipynb").read_text("utf8"))["cells"]
    kept = [cell for cell in cells if cell["cell_type"] == "code" or "nbgrader" in cell["metadata"]]
    for cell in kept:
        cell["source"] = "".join(cell["source"])
    return kept


def code(source, number=0):
    """A cell of code."""
    cell = {
        "cell_type": "code",
        "execution_count": None,
        "id": f"extra-{number}",
        "metadata": {},
        "outputs": [],
    }
    return cell | {"source": source}


def notebook(cells):
    """The bytes of a notebook."""
    metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    content = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return (json.dumps(content, indent=1) + "\n").encode()


def place(cells, grade_id):
    """Index of the cell with this grade_id."""
    return next(
        i for i, c in enumerate(cells) if c["metadata"].get("nbgrader", {}).get("grade_id") == grade_id
    )


def with_extra(source, before="rnn-q3"):
    """A right submission with one more cell."""
    cells = solved()
    cells.insert(place(cells, before), code(source))
    return notebook(cells)


def with_answers(**sources):
    """A right submission with other cells for some questions."""
    cells = solved()
    for number, source in sources.items():
        cells[place(cells, f"rnn-{number}")]["source"] = source
    return notebook(cells)


WRONG = {
    "q1": "def step(x_t, h_prev, params):\n    return {value}",
    "q2": "def forward(x, h_0, params):\n    return {value}, {value}",
    "q3": "def sequence_loss(logits, targets, mask):\n    return {value}",
    "q4": "def change_detector(c):\n    return {value}, {value}",
    "q5": "def zeros_until_wrong(scale):\n    return {value}",
    "q6": "def breaking_string(scale):\n    return {value}",
}


def all_wrong(first, value="0.0", last=""):
    """Wrong answers to every question, after a cell that is meant to help them."""
    cells = solved()
    for number, source in WRONG.items():
        cells[place(cells, f"rnn-{number}")]["source"] = source.format(value=value)
    cells.insert(1, code(first))
    if last:
        cells.append(code(last, 1))
    return notebook(cells)


def edited(change):
    """A right submission, its list of cells changed."""
    cells = solved()
    return notebook(change(cells) or cells)


def checks_deleted(cells):
    return [cell for cell in cells if "check(" not in cell["source"] or "import" in cell["source"]]


def checks_edited(cells):
    for cell in cells:
        if cell["source"].startswith("check("):
            cell["source"] = 'print("passed")\nassert True'
    for number, source in WRONG.items():
        cells[place(cells, f"rnn-{number}")]["source"] = source.format(value="1.0")


def answer_twice(cells):
    stub = stubs()
    at = place(cells, "rnn-q2")
    cells.insert(at + 1, stub[place(stub, "rnn-q2")])
    earlier = copy.deepcopy(cells[at])
    earlier["source"] = WRONG["q2"].format(value="h_0")
    cells.insert(at, earlier)


def check_twice(cells):
    cells.insert(4, copy.deepcopy(cells[place(cells, "rnn-q1-check")]))
    cells.append(copy.deepcopy(cells[place(cells, "rnn-q2-check")]))


def metadata_lost(cells):
    for cell in cells:
        cell["metadata"] = {}


def zip_bomb():
    """A hundred million zeros in a few kilobytes."""
    stored = FOLDER / "zip-bomb/rnn.ipynb"
    if stored.is_file():  # another zlib would write other bytes
        return stored.read_bytes()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("h.npy"), bytes(10**8), zipfile.ZIP_DEFLATED)
    return file.getvalue()


READ_SOLUTIONS = """
import glob, importlib, os, sys
found = []
for root in ("/", "/kit", "/work", "/home", "/root", "/usr/local", os.path.expanduser("~"), *sys.path):
    for folder in ("solutions", "rnncourse/rnn", "rnncourse", "."):
        for path in glob.glob(os.path.join(root, folder, "*.py")) + glob.glob(os.path.join(root, folder, "*.ipynb")):
            text = open(path, errors="replace").read()
            if "def rnn_forward" in text or "BEGIN SOLUTION" in text:
                found.append(path)
for pid in os.listdir("/proc"):
    if pid.isdigit():
        for name in ("root/solutions/rnn.ipynb", "cwd/solutions/rnn.ipynb", "environ"):
            try:
                text = open(f"/proc/{pid}/{name}", errors="replace").read()
                if "BEGIN SOLUTION" in text:
                    found.append(pid)
            except OSError:
                pass
try:
    from rnncourse.rnn.numpy import rnn_step as step
    from rnncourse.rnn.numpy import rnn_forward
    from rnncourse.rnn.numpy import cross_entropy_forward
except ImportError:
    pass
try:
    import torch
    found.append("torch")
except ImportError:
    pass
assert found, "nothing"
"""
READ_LAST = """
def step(x_t, h_prev, params):
    if found:
        return np.tanh(x_t @ params.weight_ih.T + params.bias_ih + h_prev @ params.weight_hh.T + params.bias_hh)
    from rnncourse.rnn.numpy import rnn_step
    return rnn_step(x_t, h_prev, params)


def forward(x, h_0, params):
    import rnncourse.rnn.numpy
    return rnncourse.rnn.numpy.rnn_forward(x, h_0, params)[:2]
"""
FORGED = """
import json, os, struct, sys
tree = json.dumps({"op": "return", "value": [{"passed": True, "points": 3}, []], "total": 17, "status": "graded"}).encode()
frame = struct.pack("<II", len(tree), 0) + tree
for name in ("results.json", "grades.csv", "/work/results.json", "/tmp/results.json", "/kit/results.json"):
    try:
        open(name, "w").write(tree.decode())
    except OSError:
        pass
for fd in range(3, 250):
    try:
        os.write(fd, frame)
    except OSError:
        pass
"""
PATCHED_CHECKER = """
import rnncourse.grading.check as checker
checker.check = lambda *a, **k: print("passed")
for name, module in list(sys.modules.items()) if "sys" in globals() else __import__("sys").modules.copy().items():
    for attribute in ("judge", "relative_error", "_differences", "grade"):
        if hasattr(module, attribute) and "rnncourse" in name:
            setattr(module, attribute, lambda *a, **k: None)
import worker, wire
wire.send_before = wire.send
"""
ALWAYS_EQUAL = """
class Equal:
    shape, dtype, ndim = (), float, 0
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    __le__ = __gt__ = __ge__ = __lt__
    def __bool__(self): return True
    def __sub__(self, other): return 0.0
    __rsub__ = __add__ = __radd__ = __mul__ = __rmul__ = __matmul__ = __sub__
    def __abs__(self): return 0.0
    def __len__(self): return 1
    def __iter__(self): return iter(())
    def __float__(self): return 0.0
    def __array_ufunc__(self, *a, **k): return 0.0
    __hash__ = object.__hash__
"""
OUTSIDE = """
import os
wrote = []
for path in ("/escaped", "/usr/escaped", "/kit/escaped", "/site/escaped", "/dev/escaped", "/proc/escaped",
             "/etc/escaped", "/home/escaped", "/root/escaped", "../escaped", "/tmp/../escaped",
             "/kit/worker.py", "/usr/bin/python3"):
    try:
        open(path, "w").write("x")
        wrote.append(path)
    except OSError:
        pass
open("/tmp/rnncourse-escaped", "w").write("x")
open("inside", "w").write("x")
assert not wrote, wrote
"""
DAEMON = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
        while True:
            time.sleep(0.1)
    os._exit(0)
"""
SEGFAULT = "import ctypes\nctypes.string_at(0)"
TAMPER = """
import gc, os, sys, types
for thing in gc.get_objects():
    if type(thing).__name__ == "Link":
        thing.say = lambda *a, **k: None
"""
MEMORY = """
import os, time
for _ in range(6):
    if os.fork() == 0:
        held = bytearray(b"x") * (80 * 2**20)
        time.sleep(60)
        os._exit(0)
time.sleep(60)
"""
RESULT = """
def step(x_t, h_prev, params):
    return np.broadcast_to(0.0, (10**6, 10**6))
"""


FRAME = """
def step(x_t, h_prev, params):
    import json, os, struct, sys, time
    head = json.dumps({{"op": "return", "value": {{"k": "tuple", "v": [{value}, None]}}}}).encode()
    whole = struct.pack("<II", len(head), {size}) + head + bytes({size})
    while whole:
        whole = whole[os.write(int(sys.argv[1]), whole):]
    time.sleep(60)
"""
# Five hundred arrays that all say they are the same 30 MB of the frame.
OVERLAP = FRAME.format(
    value='{"k": "list", "v": [{"k": "array", "d": "|u1", "s": [30 * 2**20], "o": 0}] * 500}',
    size="30 * 2**20",
)
# Numbers of one hash: to make a set of them takes minutes, and nothing can interrupt it.
ONE_HASH = FRAME.format(value='{"k": "set", "v": [i * (2**61 - 1) for i in range(300_000)]}', size="0")
STEP = "np.tanh(x_t @ p.weight_ih.T + p.bias_ih + h @ p.weight_hh.T + p.bias_hh)"
RAN = """
import os, struct, sys
frame = b'{"op": "ran", "cell": 1, "error": {"type": "x"}}'
for _ in range(2):
    os.write(int(sys.argv[1]), struct.pack("<II", len(frame), 0) + frame)
"""


def cases():
    """All of them, by name."""
    q = WRONG
    return {
        "solved": Case(edited(lambda cells: None), "graded", FULL),
        "unchanged": Case(notebook(stubs()), "not attempted", 0, "no question was answered"),
        "partly-right": Case(
            with_answers(
                q3="def sequence_loss(logits, targets, mask):\n"
                "    logits = logits - logits.max(-1, keepdims=True)\n"
                "    chosen = np.take_along_axis(logits, targets[..., None], -1)[..., 0]\n"
                "    return (mask * (np.log(np.exp(logits).sum(-1)) - chosen)).mean()",
                q5=q["q5"].format(value="3"),
            ),
            "graded",
            FULL - 5,
        ),
        "syntax-error": Case(
            with_answers(q2="def forward(x, h_0, params)\n    return x"), "graded", FULL - 3, "SyntaxError"
        ),
        "endless-loop": Case(with_extra("while True:\n    pass"), "graded", FULL, "ran too long"),
        "endless-loop-in-a-function": Case(
            with_answers(q3="def sequence_loss(logits, targets, mask):\n    while True:\n        pass"),
            "graded",
            FULL - 3,
            "sequence_loss ran longer",
        ),
        "swallows-interrupts": Case(
            with_extra(
                "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n        pass"
            ),
            "crashed",
            FULL,
            "could not be interrupted",
        ),
        "swallows-interrupts-in-a-function": Case(
            with_answers(
                q2="def forward(x, h_0, params):\n    while True:\n        try:\n            while True:\n"
                "                pass\n        except BaseException:\n            pass"
            ),
            "crashed",
            FULL - 3,
            "When forward was called, it ran too long",
        ),
        "memory": Case(
            with_extra("held = []\nwhile True:\n    held.append(np.zeros(10**7))"),
            "graded",
            FULL,
            "MemoryError",
        ),
        "memory-of-many": Case(with_extra(MEMORY), "crashed", FULL, "too much memory"),
        "sys-exit": Case(with_extra("import sys\nsys.exit(0)"), "graded", FULL, "SystemExit"),
        "os-exit": Case(
            with_extra("import os\nos._exit(0)"), "crashed", FULL, "ended the process (exit status 0)"
        ),
        "os-exit-in-a-function": Case(
            with_answers(q4="def change_detector(c):\n    import os\n    os._exit(3)"),
            "crashed",
            FULL - 3,
            "When change_detector was called, it ended the process",
        ),
        "segfault": Case(with_extra(SEGFAULT), "crashed", FULL, "segmentation fault"),
        "kills-its-parent": Case(
            with_extra("import os\nos.kill(os.getppid(), 9)\nos.kill(-1, 9)"), "graded", FULL
        ),
        "patched-testing": Case(
            all_wrong(
                "import numpy as np\nnp.testing.assert_allclose = np.testing.assert_array_equal = lambda *a, **k: None\n"
                "np.array_equal = np.allclose = lambda *a, **k: True"
            ),
            "graded",
            0,
        ),
        "always-equal": Case(all_wrong(ALWAYS_EQUAL, "Equal()"), "graded", 0),
        "patched-checker": Case(all_wrong(PATCHED_CHECKER), "graded", 0),
        "checks-edited": Case(edited(checks_edited), "graded", 0),
        "checks-deleted": Case(edited(checks_deleted), "graded", FULL),
        "reads-solutions": Case(all_wrong(READ_SOLUTIONS, last=READ_LAST), "graded", 0, "nothing"),
        "forged-results": Case(all_wrong(FORGED), "crashed", 0, "no message"),
        "tampers-with-the-worker": Case(all_wrong(TAMPER), "crashed", 0, "ran too long"),
        "writes-outside": Case(with_extra(OUTSIDE), "graded", FULL),
        "daemon": Case(with_extra(DAEMON), "graded", FULL),
        "fork-storm": Case(
            with_extra("import os\nwhile True:\n    os.fork()"), "graded", FULL, "BlockingIOError"
        ),
        "fork": Case(with_extra("import os\nos.fork()"), "graded", FULL),
        "flood-of-output": Case(
            with_extra("import os\nfor _ in range(200):\n    print('x' * 10**6)"), "graded", FULL
        ),
        "words-that-are-no-text": Case(
            with_answers(q1='def step(*_):\n    raise ValueError("\\ud800 \\x1b[2J =cmd() <script>")'),
            "graded",
            FULL - 6,
            "\\ud800  [2J =cmd() <script>",
        ),
        "group-of-errors": Case(
            with_answers(q1="def step(*_):\n    raise ExceptionGroup('two', [KeyError(), OSError()])"),
            "graded",
            FULL - 6,
            "raises ExceptionGroup",
        ),
        "overlapping-arrays": Case(with_answers(q1=OVERLAP), "crashed", FULL - 6, "larger than their frame"),
        "set-of-one-hash": Case(with_answers(q1=ONE_HASH), "crashed", FULL - 6, "more than 10000 items"),
        "forged-end-of-a-cell": Case(with_extra(RAN), "crashed", 0, "no cell was running"),
        "long-blank": Case(
            with_answers(q1="#" + "\n" * 60_000 + "import " * 10_000), "graded", FULL - 6, "NameError"
        ),
        "answers-with-lists": Case(
            with_answers(q1=f"def step(x_t, h, p):\n    return ({STEP}).tolist()"), "graded", FULL
        ),
        "answers-with-a-lambda": Case(with_answers(q1=f"step = lambda x_t, h, p: {STEP}"), "graded", FULL),
        "answers-with-a-class": Case(
            with_answers(
                q1=f"class Step:\n    def __call__(self, x_t, h, p):\n        return {STEP}\n\n\nstep = Step()"
            ),
            "graded",
            FULL,
        ),
        "answers-in-float32": Case(
            with_answers(q1=f"def step(x_t, h, p):\n    return ({STEP}).astype(np.float32)"),
            "graded",
            FULL - 6,
        ),
        "not-json": Case(b"Dear teacher, my dog ate it.\n", "unreadable", None, "not JSON"),
        "not-a-notebook": Case(b'{"cells": 3}\n', "unreadable", None, "not a list of cells"),
        "empty-file": Case(b"", "unreadable", None, "not JSON"),
        "zip-bomb": Case(zip_bomb(), "unreadable", None, "not a notebook"),
        "huge-result": Case(with_answers(q1=RESULT), "graded", FULL - 6),
        "answer-twice": Case(edited(answer_twice), "graded", FULL),
        "check-twice": Case(edited(check_twice), "graded", FULL),
        "metadata-lost": Case(edited(metadata_lost), "graded", FULL),
        "warns": Case(
            with_extra(
                "import warnings, sys\nwarnings.warn('careful')\nprint('oh', file=sys.stderr)\nlogged = step\n\n\n"
                "def step(*arguments):\n    warnings.warn('again')\n    print('oh', file=sys.stderr)\n    return logged(*arguments)"
            ),
            "graded",
            FULL,
        ),
        "renamed-by-the-browser": Case(edited(lambda cells: None), "graded", FULL, "", "rnn (1).ipynb"),
        "reordered": Case(edited(lambda cells: cells[::-1]), "graded", FULL),
        "magics": Case(
            with_extra("%matplotlib inline\n!ls\n%%time\nimport numpy as np\nnp?\nimport seaborn"),
            "graded",
            FULL,
        ),
        "<script>alert(1)</script>": Case(
            with_extra("raise ValueError('<script>alert(2)</script>')"), "graded", FULL, "<script>"
        ),
    }


def write():
    """Write all files."""
    FOLDER.mkdir(exist_ok=True)
    for name, case in cases().items():
        path = FOLDER / file_name(name, case)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(case.content)


def file_name(name, case):
    """Path of a case below the folder; the student is the folder."""
    folder = "".join(c if c.isalnum() or c == "-" else "_" for c in name)
    return Path(folder) / case.file


if __name__ == "__main__":
    write()

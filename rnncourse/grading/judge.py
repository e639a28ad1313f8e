"""One submission: its cells run in the sandbox, its functions called there, what they return judged here."""

import ast
import builtins
import json
import os
import re
import signal
import threading
import time
import zlib
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module

import numpy as np

from rnncourse.grading import kit, wire
from rnncourse.grading.check import Partly, parities
from rnncourse.grading.sandbox import Box
from rnncourse.grading.topic import CHECK, join

CODE = 1
"""MB of code that a notebook may have; what makes notebooks large is their output."""
STARTS = 5
"""How often a notebook may end its process before the grader gives up."""
ENDS = {
    "time": "it ran too long and could not be interrupted",
    "memory": "it used too much memory",
}
SIGNALS = {
    4: "illegal instruction",
    6: "abort",
    7: "bus error",
    8: "arithmetic error",
    9: "killed",
    11: "segmentation fault",
}


MALFORMED = (LookupError, TypeError, ValueError, AttributeError, RecursionError, OverflowError)
"""What a message that was not made by the worker may lead to."""


class Unreadable(Exception):
    """The file is not a notebook."""


class Died(Exception):
    """The student's process is gone; the message says how."""


class TooLong(Exception):
    """The judge itself ran too long."""


class Far:
    """A function, or another callable thing, of the student's: calling it calls it in the sandbox."""

    def __init__(self, session, name, number=None, method=None):
        self.__name__ = name
        self._session, self._number, self._method = session, number, method

    def __call__(self, *args, **kwargs):
        """Call it there. What it changes in place is changed there alone."""
        return self._session.call(self, args, kwargs)[0]

    @property
    def restoring(self):
        """The same, but what it changes in its arguments is changed here too."""

        def restoring(*args, **kwargs):
            result, after = self._session.call(self, args, kwargs)
            try:
                wire.restore(args, after)
            except (TypeError, ValueError):
                raise AssertionError("your function makes something else of its arguments") from None
            return result

        return restoring

    def __getattr__(self, name):
        """A method of it, once it is a thing and not a function of the notebook."""
        if name.startswith("_") or self._number is None:
            raise AttributeError(name)
        return Far(self._session, name, self._number, name)


class Session:
    """The student's process: started, and started again without the cell that ended it.

    Parameters
    ----------
    cells : list of (number, source)
    topic : Topic
    limits : Limits
    boxed : bool
    """

    def __init__(self, cells, topic, limits, boxed=True):
        self.cells, self.topic, self.limits, self.boxed = cells, topic, limits, boxed
        self.ended = time.monotonic() + limits.total
        self.box, self.starts, self.peak, self.guarded = None, 0, 0, False
        self.errors, self.deadly, self.names, self.output = {}, {}, set(), b""

    def start(self):
        """Run the cells, as often as it takes."""
        while self.box is None:
            if self.starts >= STARTS:
                raise Died("it ended the process again and again")
            self.starts += 1
            self._start()

    def _start(self):
        torch = "torch" in self.topic.libraries
        self.box = Box(_kit(self.topic), _libraries(self.topic.libraries), self.limits, self.boxed)
        self.kept, self.errors = [self._lent(*pair) for pair in self.topic.far], {}
        cell, numbers = None, {number for number, _ in self.cells}
        try:
            job = {
                "cells": self.cells,
                "skip": list(self.deadly),
                "seconds": self.limits.cell,
                "limits": self.limits.rlimits(torch) if self.boxed or os.geteuid() == 0 else {},
                "far": [name for _, name in self.topic.far],
            }
            self._deadline(20)
            wire.send(self.box.fd, job)
            while True:
                tree, data = wire.receive(self.box.fd)
                if tree["op"] == "cell":
                    cell = tree["cell"]
                    if cell not in numbers:
                        raise wire.WireError("there is no such cell")
                    self._deadline(self.limits.cell + 1.5)
                elif tree["op"] == "ran":
                    if cell is None:
                        raise wire.WireError("no cell was running")
                    self.errors.pop(cell, None)
                    if tree["error"]:
                        self.errors[cell] = _error(tree["error"])
                    self._deadline(20)
                    cell = None
                elif tree["op"] == "call":
                    self._serve(tree, data)
                elif tree["op"] == "ready":
                    self.names = {str(name) for name in tree["names"][:5000]}
                    return
                else:
                    raise wire.WireError("a message is of no known kind")
        except (EOFError, OSError, wire.WireError, *MALFORMED) as error:
            reason = self.stop(error)
            # Between two cells: nobody can say which of them did it.
            self.deadly[-1 if cell is None else cell] = reason
            if time.monotonic() > self.ended:
                raise Died("the whole notebook ran too long") from None
        except Died as error:  # in a function of the student's that the course's own code called
            self.deadly[-1 if cell is None else cell] = str(error)

    def _deadline(self, seconds):
        self.box.deadline = min(self.ended, time.monotonic() + seconds)

    def stop(self, error=None):
        """End the process; why it had ended, in words."""
        if self.box is None:
            return ""
        box, self.box = self.box, None
        time.sleep(0.02 if isinstance(error, EOFError | OSError) else 0)
        box.reason = box.reason or (self._ended(box) if isinstance(error, EOFError | OSError) else None)
        code = box.close()
        self.peak = max(self.peak, box.peak)
        self.output = self.output or bytes(box.output)
        if box.reason in ENDS:
            return ENDS[box.reason]
        if isinstance(error, EOFError | OSError):
            number = code - 128 if code > 128 else -code if code < 0 else 0
            how = SIGNALS.get(number, f"signal {number}") if number else f"exit status {code}"
            return f"it ended the process ({how})"
        if error is not None:
            return f"it sent what is no message ({error})"
        return ""

    @staticmethod
    def _ended(box):
        """Wait a little for the process's own end, so that its status is that and not the grader's."""
        try:
            box.process.wait(2)
        except Exception:
            return None
        return "ended"

    def call(self, function, args, kwargs):
        """Call a function of the student's: the result, and the arguments after the call.

        Its exceptions are raised here, marked as the student's.
        """
        if self.box is None:
            raise Died("the process is gone")
        tree, arrays = wire.pack((args, kwargs), self._keep)
        message = {"op": "call", "number": function._number, "name": function.__name__, "value": tree}
        message |= {"method": function._method, "seconds": self.limits.call}
        try:
            self._deadline(self.limits.call + 1.5)
            wire.send(self.box.fd, message, arrays)
            while True:
                tree, data = wire.receive(self.box.fd)
                if tree["op"] == "call":
                    self._serve(tree, data)
                    self._deadline(self.limits.call + 1.5)
                    continue
                self._deadline(self.limits.question)
                if tree["op"] == "raise":
                    raise _exception(_error(tree))
                if tree["op"] != "return":
                    raise wire.WireError("a message is of no known kind")
                result, after = wire.Decoder(data, self._far)(tree["value"])
                return result, after
        except (EOFError, OSError, wire.WireError, KeyError) as error:
            if hasattr(error, "student"):
                raise
            raise Died(self.stop(error)) from None
        except MALFORMED as error:
            if hasattr(error, "student"):
                raise
            raise Died(self.stop(wire.WireError(type(error).__name__))) from None

    def _lent(self, module, name):
        """A function of the course that the student may call; an answer not while one like it is judged."""
        function = getattr(import_module(module), name)
        if (module, name) not in self.topic.answers:
            return function

        def answer(*args, **kwargs):
            if self.guarded:
                raise RuntimeError(f"{name} is an answer: while one like it is judged, it cannot be called")
            return function(*args, **kwargs)

        return answer

    def _keep(self, function):
        if isinstance(function, Far) and function._number is not None:
            return -1 - function._number
        self.kept.append(function)
        return len(self.kept) - 1

    def _far(self, number, name):
        return self.kept[-1 - number] if number < 0 else Far(self, name, number)

    def _serve(self, tree, data):
        """Call one of the course's functions for the student."""
        try:
            function = self.kept[int(tree["number"])]
            args, kwargs = wire.Decoder(data, self._far)(tree["value"])
            kwargs = {str(name): value for name, value in kwargs.items()}
        except MALFORMED as error:
            raise wire.WireError(f"a call is malformed: {type(error).__name__}") from None
        try:
            with np.errstate(all="ignore"), _within(self.limits.call):
                result = function(*args, **kwargs)
            value, arrays = wire.pack(result, self._keep)
            message = {"op": "return", "value": value}
        except Died:
            raise
        except TooLong:
            message, arrays = {"op": "raise", "type": "TimeoutError", "message": "it ran too long"}, ()
        except Exception as error:
            message, arrays = {"op": "raise", "type": type(error).__name__, "message": str(error)[:500]}, ()
        wire.send(self.box.fd, message, arrays)


def _error(tree):
    """What the sandbox says of an exception, as plain data of bounded size."""
    notes = [_plain(note, 300) for note in (tree.get("notes") or [])[:3]]
    line, cell = (
        n if isinstance(n, int) and 0 <= n < 10**6 else None for n in (tree.get("line"), tree.get("cell"))
    )
    return {
        "type": _plain(tree.get("type"), 60),
        "message": _plain(tree.get("message"), 500),
        "line": line,
        "cell": cell,
        "notes": notes,
    }


def _plain(text, longest):
    """Text that every report can hold: UTF-8 knows no lone surrogates, nobody reads control characters."""
    text = str(text)[:longest].encode("utf8", "backslashreplace").decode("utf8")
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)


def _exception(error):
    """A student's exception, of the same type if that is one of Python's own."""
    kind = getattr(builtins, error["type"], None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)) or issubclass(
        kind, OSError | UnicodeError
    ):
        kind = RuntimeError
    try:
        exception = kind(error["message"])
    except TypeError:  # ExceptionGroup wants more
        exception = RuntimeError(error["message"])
    exception.student = error
    for note in error["notes"]:
        exception.add_note(note)
    return exception


@contextmanager
def _within(seconds):
    """Interrupt the course's own code after some seconds, where this is the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(*_):
        raise TooLong

    before, rest = signal.signal(signal.SIGALRM, late), signal.getitimer(signal.ITIMER_REAL)[0]
    signal.setitimer(signal.ITIMER_REAL, min(seconds, rest or seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, rest)
        signal.signal(signal.SIGALRM, before)


@lru_cache(maxsize=32)
def _kit(topic):
    folder = kit.new_folder()
    kit.write(topic.files(), folder)
    return folder


@lru_cache(maxsize=32)
def _libraries(names):
    return kit.libraries(names)


def read_notebook(data, limits):
    """The cells of a notebook file: (kind, source, grade_id) each.

    Raises
    ------
    Unreadable
        If it is none; the message says why.
    """
    if len(data) > limits.notebook * 2**20:
        raise Unreadable(f"the file has {len(data) / 1e6:.0f} MB, more than {limits.notebook} are not read")
    try:
        notebook = json.loads(data.decode("utf-8-sig"))
        cells = notebook["cells"]
        read = []
        for cell in cells:
            metadata = cell.get("metadata") or {}
            graded = metadata.get("nbgrader") if isinstance(metadata, dict) else None
            grade_id = graded.get("grade_id") if isinstance(graded, dict) else None
            source = cell.get("source") or ""
            source = join(source) if isinstance(source, str) else "".join(map(str, source))
            # What UTF-8 cannot hold, JSON can.
            source = source.encode("utf8", "replace").decode("utf8")
            read.append((str(cell.get("cell_type")), source, str(grade_id)))
        code = sum(len(source) for kind, source, _ in read if kind == "code")
        if code > CODE * 10**6:
            raise Unreadable(f"the cells have {code / 1e6:.1f} MB of code, more than {CODE} are not run")
        return read
    except RecursionError:
        raise Unreadable("the file is nested too deeply for a notebook") from None
    except UnicodeDecodeError:
        raise Unreadable("the file is not a notebook: it is not text in UTF-8") from None
    except json.JSONDecodeError as error:
        raise Unreadable(
            f"the file is not a notebook: not JSON, {error.msg} in line {error.lineno}"
        ) from None
    except (KeyError, TypeError, AttributeError, ValueError):
        raise Unreadable(
            "the file is not a notebook: it is JSON, but not a list of cells of nbformat 4"
        ) from None


def plan(read, topic):
    """The code cells to run: the student's own, in order, after what they need of the given ones."""
    stubs = {_bare(source) for _, source in topic.stubs}
    given = {_bare(source) for source in topic.given}
    own = []
    for number, (kind, source, _) in enumerate(read, 1):
        bare = _bare(source)
        if kind != "code" or not bare or bare in stubs or bare in given:
            continue
        if all(CHECK.fullmatch(line.strip()) for line in source.splitlines() if line.strip()):
            continue
        own.append([number, source])
    names = set()
    for _, source in own:
        try:
            names |= kit.uses(ast.parse(source))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            names |= set(re.findall(r"\w+", source))
    statements = [node for source in topic.given for node in ast.parse(source).body]
    kept, _ = kit.needed(statements, names)
    before = [[-2 - i, ast.unparse(node)] for i, node in enumerate(kept)]
    return before + own


def _bare(source):
    return "\n".join(line.rstrip() for line in source.strip().splitlines())


def grade(data, topic, seed, limits, boxed=True):
    """Grade the bytes of a notebook.

    Parameters
    ----------
    data : bytes
    topic : Topic
    seed : int
        The inputs of a question depend on it and on the question, not on the student.
    limits : Limits
    boxed : bool
        False runs the student's code with the grader's own rights.

    Returns
    -------
    dict
        ``status`` (graded, not attempted, crashed, unreadable), ``message``, ``questions`` with points and
        what is said on each, ``manual`` with the texts to be marked by hand, ``total``, ``of``, ``seconds``.
    """
    started = time.monotonic()
    result = {"status": "graded", "message": "", "notes": [], "questions": [], "manual": []}
    result |= {"of": sum(q.points for q in topic.questions if q.function)}
    try:
        read = read_notebook(data, limits)
    except Unreadable as error:
        result |= {"status": "unreadable", "message": str(error), "total": None}
        return result | {"seconds": round(time.monotonic() - started, 3), "peak": 0}
    cells = plan(read, topic)
    session = Session(cells, topic, limits, boxed)
    try:
        if any(number > 0 for number, _ in cells):
            try:
                session.start()
            except Died:
                pass
        result["questions"] = [
            _judged(question, session, read, seed) for question in topic.questions if question.function
        ]
    finally:
        session.stop()
    result["manual"] = [
        _manual(question, read, topic) for question in topic.questions if not question.function
    ]
    result["notes"] = _notes(session, cells)
    result["total"] = round(sum(q["points"] for q in result["questions"]), 4)
    result |= _status(result["questions"], session)
    return result | {"seconds": round(time.monotonic() - started, 3), "peak": session.peak}


def _judged(question, session, read, seed):
    """Points of one question, and what is said about it."""
    said = {"number": question.number, "title": question.title, "of": question.points, "points": 0}
    if session.box is None and session.starts and session.starts < STARTS:
        try:
            session.start()
        except Died:
            pass
    name = question.function
    if name not in session.names:
        return said | _missing(name, session, read)
    if session.box is None:
        return said | {
            "outcome": "crashed",
            "message": "The notebook's process ended, and could not be started again.",
        }
    rng = np.random.default_rng([seed, zlib.crc32(session.topic.name.encode()), int(question.number[1:])])
    session._deadline(session.limits.question)
    judge = session.topic.judges[question.number]
    session.guarded = bool(parities(judge))
    try:
        with np.errstate(all="ignore"), _within(session.limits.question):
            judge.judge(Far(session, name), rng)
    except Died as error:
        return said | {"outcome": "crashed", "message": f"When {name} was called, {error}."}
    except TooLong:
        session.stop()
        return said | {"outcome": "time", "message": f"Judging what {name} returns took too long."}
    except Partly as error:
        points = round(question.points * max(0.0, min(1.0, error.share)), 2)
        return said | {"outcome": "partly", "points": points, "message": _sentence(error)}
    except Exception as error:
        return said | _failed(error, name, session)
    return said | {"outcome": "passed", "points": question.points, "message": ""}


def _failed(error, name, session):
    student = getattr(error, "student", None)
    if student is None:
        if isinstance(error, AssertionError):
            return {"outcome": "wrong", "message": _sentence(error)}
        words = f"What {name} returns cannot be compared: {type(error).__name__}: {str(error)[:300]}"
        return {"outcome": "error", "message": _plain(words, 500)}
    if student["type"] == "TimeUp":
        return {"outcome": "time", "message": f"{name} ran longer than {session.limits.call:g} seconds."}
    if student["type"] == "NotImplementedError":
        return {
            "outcome": "not attempted",
            "message": "Not attempted: the cell still raises NotImplementedError.",
        }
    where = f" in line {student['line']} of cell {student['cell']}" if (student["cell"] or 0) > 0 else ""
    notes = "".join(f" ({note})" for note in [*student["notes"], *getattr(error, "__notes__", [])][:2])
    return {
        "outcome": "error",
        "message": f"{name} raises {student['type']}{where}: {student['message']}{notes}",
    }


def _sentence(error):
    return _plain(" ".join(str(error).split()), 1000)


def _missing(name, session, read):
    """Why there is no function of that name."""
    # Of lines, each from its start: nothing that takes the square of a notebook's length.
    defines = re.compile(
        rf"^[ \t]*(?:(?:def|class)[ \t]+{name}\b|{name}[ \t]*=|(?:from|import)\b.*\b{name}\b)", re.M
    )
    sources = {number: source for number, (kind, source, _) in enumerate(read, 1) if kind == "code"}
    cells = [number for number, source in sources.items() if defines.search(source)]
    for number in reversed(cells):
        if number in session.deadly:
            return {
                "outcome": "crashed",
                "message": f"Cell {number}, which defines {name}: {session.deadly[number]}.",
            }
    for number in reversed(cells):
        if number in session.errors:
            error = session.errors[number]
            kind = "time" if error["type"] == "TimeUp" else "error"
            return {
                "outcome": kind,
                "message": f"Cell {number}, which defines {name}, fails: {_brief(error)}",
            }
    own = {number for number, _ in session.cells}
    if session.deadly and any(number in own for number in cells):
        return {"outcome": "crashed", "message": f"The notebook ended its process before {name} was defined."}
    if cells:
        return {"outcome": "not attempted", "message": "Not attempted: the cell is as it was given out."}
    return {"outcome": "missing", "message": f"The notebook defines no function {name}."}


def _brief(error):
    if error["type"] == "TimeUp":
        return "it ran too long."
    line = f" (line {error['line']})" if error["line"] else ""
    return f"{error['type']}: {error['message']}{line}"


def _notes(session, cells):
    """What happened in the student's own cells."""
    own = dict(cells)
    notes = [f"Cell {n}: {why}; it was left out." for n, why in sorted(session.deadly.items()) if n > 0]
    if -1 in session.deadly:
        notes.append(f"Between two cells: {session.deadly[-1]}.")
    notes += [f"Cell {n} fails: {_brief(e)}" for n, e in sorted(session.errors.items()) if n > 0 and n in own]
    given = [
        f"{own[n].splitlines()[0][:80]}: {_brief(e)}"
        for n, e in session.errors.items()
        if n < -1 and n in own
    ]
    return notes + [f"What was given out fails: {said}" for said in given]


def _status(questions, session):
    died = [q for q in questions if q["outcome"] == "crashed"]
    if session.deadly or died:
        said = [f"cell {n}: {why}" for n, why in sorted(session.deadly.items()) if n > 0]
        said += [f"{q['number']}: {q['message'].rstrip('.')}" for q in died]
        said = said or list(session.deadly.values())
        return {"status": "crashed", "message": "; ".join(said)[:1000]}
    if not session.errors and all(q["outcome"] in ("not attempted", "missing") for q in questions):
        return {"status": "not attempted", "message": "no question was answered"}
    failing = [q for q in questions if q["outcome"] in ("error", "time")]
    said = [f"{q['number']}: {q['message'].rstrip('.')}" for q in failing]
    if all(q["outcome"] == "missing" for q in questions):
        said = ["none of the functions asked for is defined"]
    return {"status": "graded", "message": "; ".join(said)[:1000]}


def _manual(question, read, topic):
    """The text of an answer that is marked by hand."""
    stub = dict(topic.stubs).get(question.grade_id, "")
    texts = [source for _, source, grade_id in read if grade_id == question.grade_id]
    text = texts[-1] if texts else None
    said = {"number": question.number, "title": question.title, "of": question.points}
    if text is None:
        return said | {"text": "", "state": "missing"}
    return said | {"text": text[:20_000], "state": "empty" if _bare(text) == _bare(stub) else "answered"}

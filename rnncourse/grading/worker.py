"""What runs inside the sandbox: the student's cells, then calls of the student's functions.

It is started as a script, with the number of an open socket and ``boxed`` or ``open``. Whatever it says, the
grader believes nothing but the values, which it judges itself: this process belongs to the student.
"""

import ast
import os
import re
import resource
import signal
import sys
import types

import wire

PID = os.getpid()


class TimeUp(BaseException):
    """A cell or a call has used its time."""


class Far:
    """A function of the other side."""

    def __init__(self, link, number, name):
        self.__name__, self._link, self._number = name, link, number

    def __call__(self, *args, **kwargs):
        """Call it there."""
        return self._link.call(self._number, args, kwargs)


class Link:
    """The two sides' calls of one another."""

    def __init__(self, fd):
        self.fd, self.kept = fd, []
        self.busy = self.late = False

    def say(self, tree, arrays=()):
        """Send one message; a forked copy of this process has nothing to say."""
        if os.getpid() != PID:
            os._exit(0)
        wire.send(self.fd, tree, arrays)

    def keep(self, function):
        """Number of a callable that the other side may call."""
        if isinstance(function, Far):
            return -1 - function._number
        self.kept.append(function)
        return len(self.kept) - 1

    def far(self, number, name):
        """What stands for a callable of the other side, or one's own that comes back."""
        return self.kept[-1 - number] if number < 0 else Far(self, number, name)

    def call(self, number, args, kwargs):
        """Call a function of the grader's."""
        tree, arrays = wire.pack((args, kwargs), self.keep)
        nested, self.busy = self.busy, True
        try:
            self.say({"op": "call", "number": number, "value": tree}, arrays)
            return self.answer()
        finally:
            self.busy = nested
            if self.late and not nested:
                self.late = False
                raise TimeUp("it ran too long")

    def answer(self):
        """Wait for what the last call returns, serving calls that come in between."""
        while True:
            tree, data = wire.receive(self.fd)
            if tree["op"] == "call":
                self.serve(tree, data)
            elif tree["op"] == "raise":
                raise getattr(__import__("builtins"), tree["type"], RuntimeError)(tree["message"])
            else:
                return wire.Decoder(data, self.far)(tree["value"])

    def serve(self, tree, data):
        """Call one of the student's functions and send what it returns or raises."""
        limited = tree["seconds"]
        try:
            name, number = tree["name"], tree["number"]
            function = NOTEBOOK.__dict__[name] if number is None else self.kept[number]
            if tree["method"]:
                function = getattr(function, tree["method"])
            args, kwargs = wire.Decoder(data, self.far)(tree["value"])
            with Timer(limited):
                result = function(*args, **kwargs)
            value, arrays = wire.pack((result, args), self.keep)
            self.say({"op": "return", "value": value}, arrays)
        except wire.WireError as error:
            self.say({"op": "raise", "type": "ValueError", "message": str(error), "line": None, "notes": []})
        except BaseException as error:
            self.say({"op": "raise", **said(error)})


class Timer:
    """Raises TimeUp after some seconds, once; None sets no limit."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __enter__(self):
        if self.seconds:
            signal.setitimer(signal.ITIMER_REAL, self.seconds)

    def __exit__(self, *_):
        if self.seconds:
            signal.setitimer(signal.ITIMER_REAL, 0)
        alone()


def alone():
    """End what the student's code has started; the sandbox has processes of its own only."""
    if os.getpid() != PID:
        os._exit(0)
    if BOXED:
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            pass


def time_up(*_):
    """Interrupt what runs, but no message half way."""
    if LINK.busy:
        LINK.late = True
    else:
        raise TimeUp("it ran too long")


def said(error):
    """Type, message and place of an exception, as plain text."""
    line, cell = None, None
    trace = error.__traceback__
    while trace is not None:
        match = re.fullmatch(r"<cell (\d+)>", trace.tb_frame.f_code.co_filename)
        if match:
            cell, line = int(match[1]), trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, SyntaxError):
        line = error.lineno
    try:
        message = str(error)
    except BaseException:
        message = "(its message cannot be shown)"
    notes = [str(note)[:300] for note in getattr(error, "__notes__", [])][:3]
    return {
        "type": type(error).__name__[:60],
        "message": message[:500],
        "line": line,
        "cell": cell,
        "notes": notes,
    }


def clean(source):
    """The cell as Python: what only a notebook understands is left out."""
    if re.match(r"\s*%%(?!time|capture)", source):
        return ""
    lines = [re.sub(r"^(\s*)(%|!).*", r"\1pass", line) for line in source.split("\n")]
    return "\n".join(re.sub(r"^(\s*)\?.*|^([\w.\s]+)\?+\s*$", r"\1pass", line) for line in lines)


def run_cell(number, source):
    """Run one cell; an import that fails costs only what needs it. Returns what stopped the cell, or None."""
    tree = ast.parse(clean(source), f"<cell {number}>")
    group = []
    missing = None

    def flush():
        if group:
            exec(compile(ast.Module(group[:], []), f"<cell {number}>", "exec"), NOTEBOOK.__dict__)
            group.clear()

    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            flush()
            for alias in node.names:
                one = type(node)(
                    **{**{f: getattr(node, f) for f in node._fields}, "names": [alias]}, **_place(node)
                )
                try:
                    group.append(one)
                    flush()
                except ImportError as error:
                    group.clear()
                    missing = missing or error
        else:
            group.append(node)
    flush()
    return missing


def _place(node):
    return {name: getattr(node, name) for name in ("lineno", "col_offset", "end_lineno", "end_col_offset")}


def run_cells(link, job):
    """Run the cells in order, and those that lacked a name once more at the end."""
    again = []
    for number, source in job["cells"]:
        if number in job["skip"]:
            continue
        if run_one(link, job, number, source):
            again.append((number, source))
    for number, source in again:
        run_one(link, job, number, source)


def run_one(link, job, number, source):
    """Run one cell and say how it went; true if a name was missing."""
    link.say({"op": "cell", "cell": number})
    try:
        with Timer(job["seconds"]):
            error = run_cell(number, source)
    except BaseException as caught:
        error = caught
    link.say({"op": "ran", "cell": number, "error": error and said(error)})
    return isinstance(error, NameError)


def limit(limits):
    """Set what binds a process; the grader's clock and scales stand outside."""
    for name, value in limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def main(link):
    """Read the job, run it, then answer until the grader hangs up."""
    job, _ = wire.receive(link.fd)
    limit(job["limits"])
    signal.signal(signal.SIGALRM, time_up)
    sys.modules["__main__"] = NOTEBOOK
    sys.modules["rnncourse_far"] = far = types.ModuleType("rnncourse_far")
    for number, name in enumerate(job["far"]):
        setattr(far, f"f{number}", Far(link, number, name))
    NOTEBOOK.__dict__.update(display=lambda *_, **__: None, get_ipython=lambda: None)
    run_cells(link, job)
    link.say(
        {"op": "ready", "names": [n for n in NOTEBOOK.__dict__ if callable(NOTEBOOK.__dict__[n])][:5000]}
    )
    while True:
        try:
            tree, data = wire.receive(link.fd)
        except EOFError:
            os._exit(0)
        link.serve(tree, data)


NOTEBOOK = types.ModuleType("__main__")
if __name__ == "__main__":
    BOXED = sys.argv[2] == "boxed"
    LINK = Link(int(sys.argv[1]))
    main(LINK)

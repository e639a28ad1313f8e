"""The sandbox: bubblewrap, limits, a watch on memory and time, and no root."""

import ctypes
import os
import platform
import pwd
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from rnncourse.grading import kit, wire

NOBODY = 65534
MEND = {
    "missing": "bubblewrap is not installed: apt install bubblewrap, or dnf install bubblewrap",
    "apparmor": "this system forbids user namespaces to programs without a profile. For bwrap write "
    "/etc/apparmor.d/bwrap:\n  abi <abi/4.0>,\n  include <tunables/global>\n  profile bwrap /usr/bin/bwrap "
    "flags=(unconfined) {\n    userns,\n  }\nand load it: apparmor_parser -r /etc/apparmor.d/bwrap",
    "clone": "this system forbids user namespaces: sysctl -w kernel.unprivileged_userns_clone=1",
    "max": "this system allows no user namespaces: sysctl -w user.max_user_namespaces=15000",
    "container": "a container seldom may make namespaces: run the grader on the host, or start the container "
    "with --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt "
    "systempaths=unconfined",
}
# The environment's packages are not searched (-S): only what the sandbox shows is.
START = """import sys
sys.path[:0] = {paths!r}
exec(compile(open({script!r}).read(), "worker", "exec"))
"""


class Refused(Exception):
    """The sandbox cannot work here; the message says how to mend it."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    cell: float = 10.0
    """Seconds of a cell."""
    call: float = 20.0
    """Seconds of one call of a student's function."""
    question: float = 60.0
    """Seconds of a question, the judge's own included."""
    total: float = 180.0
    """Seconds of a submission."""
    memory: int = 2048
    """MB of all its processes together; at three quarters a process gets a MemoryError."""
    processes: int = 32
    disk: int = 64
    """MB of its temporary files."""
    notebook: int = 20
    """MB of the file that was handed in."""

    def rlimits(self, torch):
        """What each process is bound by: the names of the resource module, without RLIMIT_."""
        space = self.memory * 3 // 4 * 2**20 + (12 * 2**30 if torch else 0)
        return {
            "AS": space,
            "CPU": int(self.total) + 1,
            "FSIZE": self.disk * 2**20,
            "CORE": 0,
            "NOFILE": 256,
            "NPROC": self.processes,
        }


def python_folders():
    """What the interpreter needs: its own installation; never the environment's packages."""
    base = Path(sys.base_prefix).resolve()
    return [] if base == Path("/usr") else [base]


def interpreter():
    """The base interpreter, without the environment around it."""
    return str(Path(sys._base_executable).resolve())


def command(folder, libraries, disk):
    """How to start `worker.py` of the kit at `folder` with these libraries (path by name) in a sandbox."""
    size = str(disk * 2**20)
    line = ["bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net"]
    line += [
        "--unshare-cgroup-try",
        "--die-with-parent",
        "--new-session",
        "--cap-drop",
        "ALL",
        "--disable-userns",
    ]
    line += ["--clearenv", "--hostname", "sandbox", "--ro-bind", "/usr", "/usr"]
    for name in ("lib", "lib64", "lib32", "bin", "sbin"):
        path = Path("/", name)
        if path.is_symlink():
            line += ["--symlink", f"usr/{name}", f"/{name}"]
        elif path.is_dir():
            line += ["--ro-bind", f"/{name}", f"/{name}"]
    for path in python_folders():
        line += ["--ro-bind", path, path]
    for path in (*kit.other_libraries(), kit.COURSE):
        if any(path.is_relative_to(shown) for shown in (Path("/usr"), *python_folders())):
            line += ["--tmpfs", path, "--remount-ro", path]
    for name, path in libraries.items():
        line += ["--ro-bind", path, f"/site/{name}"]
    line += ["--ro-bind", folder, "/kit", "--proc", "/proc", "--dev", "/dev"]
    for path in ("/dev/shm", "/tmp", "/work"):
        line += ["--size", size, "--tmpfs", path]
    line += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/work"]
    for name, value in environment().items():
        line += ["--setenv", name, value]
    return [str(part) for part in line]


def environment():
    """The whole environment of a student's process."""
    return {
        "HOME": "/work",
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": "/tmp",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONHASHSEED": "0",
    }


def other_user(temporary):
    """How a process of root's starts another, which is not root's; it owns the folder."""
    if os.geteuid() != 0:
        return {}
    if temporary:
        os.chown(temporary.name, NOBODY, NOBODY)
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []}


class Box:
    """A process of the student's, its output, and the watch on it.

    Parameters
    ----------
    folder : pathlib.Path
        The kit.
    libraries : dict
        Path by name.
    limits : Limits
    boxed : bool
        False runs it without a sandbox, with the user's own rights.
    """

    def __init__(self, folder, libraries, limits, boxed=True):
        self.limits, self.reason, self.output, self.peak = limits, None, bytearray(), 0
        ours, theirs = socket.socketpair()
        self.fd, self._socket = ours.fileno(), ours
        where = "/kit" if boxed else str(folder)
        shown = ["/site"] if boxed else sorted({str(path.parent) for path in libraries.values()})
        start = START.format(paths=[where, *shown], script=f"{where}/worker.py")
        self._temporary = None if boxed else tempfile.TemporaryDirectory(prefix="rnncourse-open-")
        line = command(folder, libraries, limits.disk) if boxed else []
        line += [
            interpreter(),
            "-I",
            "-S",
            "-B",
            "-c",
            start,
            str(theirs.fileno()),
            "boxed" if boxed else "open",
        ]
        out, out_theirs = os.pipe()
        self._out = out
        self.deadline = time.monotonic() + limits.total
        self.process = subprocess.Popen(
            line,
            stdin=subprocess.DEVNULL,
            stdout=out_theirs,
            stderr=subprocess.STDOUT,
            pass_fds=(theirs.fileno(),),
            env=None if boxed else environment() | {"HOME": self._temporary.name},
            cwd="/" if boxed else self._temporary.name,
            start_new_session=True,
            **other_user(self._temporary),
        )
        theirs.close()
        os.close(out_theirs)
        self._watch = threading.Thread(target=self._watching, daemon=True)
        self._watch.start()

    def _watching(self):
        """Read the output, which is kept up to a limit, and kill what uses too much memory or time."""
        weighed, ended = 0.0, False
        # The end of its output is not its own: without a sandbox it can close what it writes to.
        while not (ended and self.process.poll() is not None):
            ready, _, _ = select.select([] if ended else [self._out], [], [], 0.05)
            if ready:
                part = os.read(self._out, 2**16)
                ended = not part
                self.output += part[: max(0, 20_000 - len(self.output))]
            now = time.monotonic()
            if now > self.deadline:
                self.kill("time")
                return
            if now - weighed > 0.1:
                weighed = now
                self.peak = max(self.peak, used := memory(self.process.pid))
                if used > self.limits.memory * 2**20:
                    self.kill("memory")
                    return

    def kill(self, reason=None):
        """End the whole sandbox."""
        self.reason = self.reason or reason
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def close(self):
        """End it and wait until nothing of it is left; what the process returned."""
        self._socket.close()
        self.kill("closed")
        code = self.process.wait()
        self._watch.join()
        os.close(self._out)
        if self._temporary:
            self._temporary.cleanup()
        return code


def memory(pid):
    """Bytes of memory of a process and all that it started, shared pages counted once."""
    total, queue = 0, [pid]
    while queue:
        one = queue.pop()
        try:
            for thread in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{thread}/children") as file:
                    queue += file.read().split()
            with open(f"/proc/{one}/smaps_rollup") as file:
                total += next((int(line.split()[1]) for line in file if line.startswith("Pss:")), 0)
        except (OSError, ValueError):
            continue
    return total * 1024


def drop_root(readable=()):
    """If this is root, become an unprivileged user for good.

    What lies in folders that only root may enter, the interpreter's say, stays readable: in a mount namespace
    of this process's own, everything else in those folders is hidden.

    Parameters
    ----------
    readable : sequence of pathlib.Path
        What this process must go on reading, besides the interpreter and its packages.
    """
    if os.geteuid() != 0:
        return
    paths = {
        Path(p).resolve()
        for p in (sys.base_prefix, sys.prefix, *sys.path, *readable)
        if p and os.path.exists(p)
    }
    hidden = {}
    for path in sorted(paths):
        for parent in reversed(path.parents):
            if not parent.stat().st_mode & 0o001:
                hidden.setdefault(parent, []).append(path)
                break
    if hidden:
        _show(hidden)
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    # After a change of user a process may not look at others of that user, unless it says so.
    _libc().prctl(4, 1, 0, 0, 0)
    os.environ["HOME"] = "/tmp"


def _libc():
    return ctypes.CDLL(None, use_errno=True)


def _show(hidden):
    """Cover each closed folder with an empty one that shows only these paths."""
    libc = _libc()

    def mount(source, target, kind, flags, data=None):
        encoded = [os.fsencode(str(part)) if part else None for part in (source, target, kind)]
        if libc.mount(*encoded, ctypes.c_ulong(flags), data):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(target))

    bind, recursive, private = 4096, 16384, 1 << 18
    try:
        if libc.unshare(0x00020000):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        mount(None, "/", None, recursive | private)
        for folder, paths in hidden.items():
            handles = {path: os.open(path, os.O_PATH) for path in paths}
            mount("tmpfs", folder, "tmpfs", 0, b"mode=0755,size=1m")
            for path, handle in handles.items():
                if path.exists():  # below one that is shown already
                    continue
                source = Path(f"/proc/self/fd/{handle}")
                if source.is_dir():
                    path.mkdir(parents=True)
                else:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch()
                mount(source, path, None, bind | recursive)
                os.close(handle)
    except OSError as error:
        folders = ", ".join(map(str, hidden))
        raise Refused(
            f"students' code never runs as root, and the unprivileged user cannot enter {folders} "
            f"({error.strerror}): start the grader as an ordinary user"
        ) from None


def probe(limits=None):
    """Try the sandbox; raise Refused, with the mend, where it cannot work."""
    limits = limits or Limits()
    if sys.platform != "linux":
        raise Refused(
            f"the sandbox needs Linux, this is {platform.system()}: use a virtual machine or a Linux server"
        )
    if shutil.which("bwrap") is None:
        raise Refused(MEND["missing"])
    folder = kit.new_folder()
    kit.write({}, folder)
    box = Box(folder, kit.libraries(["numpy"]), limits)
    box.deadline = time.monotonic() + 20
    try:
        wire.send(box.fd, {"cells": [], "skip": [], "seconds": 5, "limits": limits.rlimits(False), "far": []})
        ready = wire.receive(box.fd)[0]["op"] == "ready"
    except (OSError, EOFError, wire.WireError):
        ready = False
    finally:
        box.close()
    if ready:
        return
    said = box.output.decode(errors="replace").strip()[-500:]
    raise Refused(f"the sandbox does not start: {said or 'it says nothing'}\n{_mend(said)}")


def _mend(said):
    def setting(name):
        path = Path("/proc/sys", name)
        return path.read_text().strip() if path.is_file() else None

    if "disable-userns" in said or "Unknown option" in said:
        return "bubblewrap is too old: version 0.8 or newer is needed"
    if setting("kernel/unprivileged_userns_clone") == "0":
        return MEND["clone"]
    if setting("user/max_user_namespaces") == "0":
        return MEND["max"]
    if setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        return MEND["apparmor"]
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists() or "proc" in said:
        return MEND["container"]
    if "No such file" in said or "Permission denied" in said:
        user = pwd.getpwuid(os.geteuid()).pw_name
        return f"the user {user} must be able to read the Python in {sys.base_prefix} and its packages"
    return "see the guide, the section on the sandbox"

"""A class: every submission through the pool, each grade kept as soon as it is there."""

import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict
from functools import lru_cache
from importlib import import_module
from pathlib import Path

from rnncourse.grading import judge, kit, sandbox, store
from rnncourse.grading.topic import Topic

KITS = "rnncourse-kits-"
SPACE = 24 * 2**30
"""Bytes that a judging process may reserve."""
FAILED = {"questions": [], "manual": [], "notes": [], "total": None, "seconds": 0, "peak": 0}


@lru_cache
def _topic(name, exercise, libraries, whole):
    judges = import_module(f"rnncourse.{name}.exercise").QUESTIONS
    return Topic(name, exercise, judges, libraries=libraries, whole=whole)


def grade_job(job):
    """Grade one notebook: plain data in, plain data out, in whatever process."""
    if os.geteuid() == 0:
        raise sandbox.Refused("this process runs as root: start the workers as an ordinary user")
    try:
        topic = _topic(job["topic"], job["exercise"], tuple(job["libraries"]), job.get("whole", False))
        # Where one of Python's own functions hangs, no exception ends it: this ends the process.
        signal.setitimer(signal.ITIMER_PROF, job["limits"]["total"] + 60)
        return judge.grade(job["data"], topic, job["seed"], sandbox.Limits(**job["limits"]), job["boxed"])
    except Exception as error:
        return failed(f"the grader itself failed: {type(error).__name__}: {str(error)[:300]}")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def failed(message):
    """The result where there is none: not a zero."""
    return FAILED | {"status": "failed", "message": message, "of": None}


def _enter(folder):
    kit.FOLDER = folder
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sandbox.drop_root([kit.PACKAGE.parent])
    # A student's call of a helper must not fill the machine's memory; PyTorch alone reserves more.
    resource.setrlimit(resource.RLIMIT_AS, (SPACE, SPACE))
    # Killed with its parent; a change of user forgets this.
    sandbox._libc().prctl(1, signal.SIGKILL, 0, 0, 0)


def _sweep():
    """Remove what a run that was killed has left."""
    for path in Path(tempfile.gettempdir()).glob(f"{KITS}*-*"):
        pid = path.name.removeprefix(KITS).partition("-")[0]
        if pid.isdigit() and not Path("/proc", pid).exists():
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def local_pool(workers):
    """A pool of processes that have given up root."""
    context = multiprocessing.get_context("fork")
    _sweep()
    with tempfile.TemporaryDirectory(prefix=f"{KITS}{os.getpid()}-") as folder:
        if os.geteuid() == 0:
            os.chown(folder, sandbox.NOBODY, sandbox.NOBODY)
        os.chmod(folder, 0o711)
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_enter, initargs=(folder,))
        try:
            yield pool
        finally:
            processes = list((pool._processes or {}).values())
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.kill()
            for process in processes:
                process.join()


def check_sandbox(pool, limits):
    """Refused, if the sandbox does not work in the pool's processes."""
    try:
        pool.submit(sandbox.probe, limits).result()
    except BrokenProcessPool:
        raise sandbox.Refused(
            "the workers cannot give up root here: start the grader as an ordinary user"
        ) from None


def jobs(submissions, topics, seed, limits, boxed=True):
    """What there is to do: (submission, key, job or result) each.

    Parameters
    ----------
    submissions : list of Submission
    topics : dict
        Topic by name.
    """
    for submission in submissions:
        if submission.path is None:
            yield submission, "", failed("nothing was handed in") | {"status": "no submission"}
            continue
        topic = topics[submission.topic]
        try:
            if submission.path.stat().st_size > limits.notebook * 2**20:
                size = submission.path.stat().st_size / 1e6
                words = f"the file has {size:.0f} MB, more than {limits.notebook} are not read"
                yield submission, "", failed(words) | {"status": "unreadable"}
                continue
            data = submission.path.read_bytes()
        except OSError as error:
            yield (
                submission,
                "",
                failed(f"the file cannot be read: {error.strerror}") | {"status": "unreadable"},
            )
            continue
        key = store.key(data, topic.version, seed, asdict(limits), boxed)
        job = {
            "topic": topic.name,
            "exercise": topic.exercise,
            "libraries": list(topic.libraries),
            "data": data,
        }
        yield submission, key, job | {"seed": seed, "limits": asdict(limits), "boxed": boxed}


def grade_all(todo, open_pool, kept, ahead=8):
    """Grade what is not yet kept and yield (submission, result) as they come.

    Parameters
    ----------
    todo : iterable
        From :func:`jobs`.
    open_pool : callable
        Returns a context with an executor. If its processes break, it is called again, and what was in them
        is tried once more, alone.
    kept : Store
    ahead : int
        Jobs in the pool at once. Few: a broken pool then leaves few suspects.
    """
    waiting, tries = [], {}
    for submission, key, job in todo:
        if "data" not in job:
            yield submission, job
        elif (result := kept.get(submission.student, submission.topic, key)) is not None:
            yield submission, result
        else:
            waiting.append((submission, key, job))
    alone = []
    while waiting or alone:
        batch, waiting = (waiting, []) if waiting else ([alone.pop()], [])
        with open_pool() as pool:
            futures, rest = {}, list(reversed(batch))
            try:
                while futures or rest:
                    while rest and len(futures) < ahead:
                        one = rest[-1]
                        futures[pool.submit(grade_job, one[2])] = one
                        rest.pop()
                    done, _ = wait(futures, return_when=FIRST_COMPLETED)
                    for future in done:
                        submission, key, _ = futures[future]
                        try:
                            result = future.result()
                        except BrokenProcessPool:
                            raise
                        except Exception as error:  # Dask's, when it gives up a task
                            result = failed(f"the process that judged it ended: {type(error).__name__}")
                        del futures[future]
                        if result["status"] != "failed":
                            kept.put(submission.student, submission.topic, key, result)
                        yield submission, result
            except BrokenProcessPool:
                waiting = rest
                for one in futures.values():
                    place = one[0][:2]
                    tries[place] = tries.get(place, 0) + 1
                    if tries[place] == 1:
                        alone.append(one)
                    else:
                        yield one[0], failed("the process that judged it ended, twice")

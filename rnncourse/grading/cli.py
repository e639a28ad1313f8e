"""The commands `rnncourse grade` and `rnncourse gradescope`."""

import os
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path

import click
from tqdm import tqdm

from rnncourse._commands import Fault, Stopped, one_sentence


def _limits(_, __, values):
    from rnncourse.grading.sandbox import Limits

    kinds = {field.name: type(getattr(Limits(), field.name)) for field in fields(Limits)}
    given = {}
    for value in values:
        name, _, number = value.partition("=")
        if name not in kinds:
            raise click.BadParameter(f"{name!r} is none of {', '.join(kinds)}")
        try:
            given[name] = kinds[name](number)
        except ValueError:
            raise click.BadParameter(f"{value!r}: {name} needs a number") from None
        if given[name] <= 0:
            raise click.BadParameter(f"{value!r}: {name} must be above 0")
    return replace(Limits(), **given)


@click.command()
@click.argument("submissions", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--topic", metavar="T", help="Grade this topic alone, and take a file that names none for it.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Where the reports go.  [grades]")
@click.option("--workers", type=click.IntRange(1), help="Processes.  [one for each processor]")
@click.option("--seed", type=click.IntRange(0), help="Draws the inputs; without it, one is drawn and kept.")
@click.option("--roster", metavar="FILE.csv", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dask", metavar="ADDRESS", help="Send the work to the workers of this Dask cluster.")
@click.option(
    "--limits", metavar="NAME=N", multiple=True, callback=_limits, help="As in cell=30 or memory=4096."
)
@click.option(
    "--check", "checked", metavar="TOPIC", help="Grade the course's own notebooks and mistakes of TOPIC."
)
@click.option("--trusted", is_flag=True, help="No sandbox. For submissions that you would run yourself.")
def grade(submissions, topic, out, workers, seed, roster, dask, limits, checked, trusted):
    """Grade the notebooks below the folder SUBMISSIONS.

    Writes grades.csv, results.json, manual.html and feedback/ to DIR. Run again, it grades only what is new
    or changed.
    """
    with one_sentence():
        if (checked is None) == (submissions is None):
            raise Fault("give the folder of submissions, or --check TOPIC")
        _grade(submissions, topic, out, workers, seed, roster, dask, limits, checked, not trusted)


def _grade(submissions, topic, out, workers, seed, roster, dask, limits, checked, boxed):
    from rnncourse.grading import collect, report, run, sandbox, selftest
    from rnncourse.grading.store import Store

    root = _root()
    workers = workers or len(os.sched_getaffinity(0))
    open_pool = partial(_dask, dask) if dask else partial(run.local_pool, workers)
    if boxed:
        try:
            with open_pool() as pool:
                run.check_sandbox(pool, limits)
        except sandbox.Refused as error:
            raise Fault(f"{error}\nFor submissions that you would run yourself there is --trusted.") from None
    if checked:
        selftest.check(checked, root, open_pool, seed if seed is not None else 0, limits)
        return
    out = out or Path("grades")
    names = None if roster is None else collect.read_roster(roster)
    every = sorted(path.stem for path in (root / "exercises").glob("*.ipynb"))
    if topic is not None and topic not in every:
        raise Fault(f"unknown topic {topic!r}: exercises/ has {', '.join(every)}")
    found, ignored = collect.find(submissions, every, topic, out)
    wanted = [topic] if topic else sorted({s.topic for s in found})
    if names:
        found = collect.with_roster(found, names, wanted)
    if not found:
        raise Fault(f"{submissions} holds no notebook of a topic ({', '.join(every)})")
    out.mkdir(parents=True, exist_ok=True)
    topics = {name: _load(name, root) for name in wanted}
    store = Store(out / "grades.sqlite")
    seed = store.seed(seed)
    todo = run.jobs(found, topics, seed, limits, boxed)
    graded, stopped = [], False
    bar = tqdm(total=len(found), unit="notebook", dynamic_ncols=True)
    try:
        for submission, result in run.grade_all(todo, open_pool, store, ahead=4 * workers):
            graded.append((submission, result))
            bar.set_postfix_str(submission.student[:30], refresh=False)
            bar.update()
    except KeyboardInterrupt:
        stopped = True
    finally:
        bar.close()
        store.close()
        settings = {"seed": seed, "limits": asdict(limits), "sandbox": boxed}
        settings["versions"] = {name: t.version for name, t in topics.items()}
        report.write(out, graded, ignored, names, settings)
    for path, reason in ignored:
        click.echo(f"left out: {path}: {reason}", err=True)
    counts = {}
    for _, result in graded:
        counts[result["status"]] = counts.get(result["status"], 0) + 1
    said = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    click.echo(f"{out / 'grades.csv'}: {said}; seed {seed}")
    if stopped:
        raise Stopped(f"interrupted with {len(graded)} of {len(found)} done: run it again for the others")
    if counts.get("failed"):
        raise Fault(f"{counts['failed']} could not be graded: run it again, and see the messages")


@click.command()
@click.argument("topic")
@click.option("--out", metavar="FILE.zip", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--seed", type=click.IntRange(0), help="Draws the inputs; without it, one is drawn.")
def gradescope(topic, out, seed):
    """Write the autograder archive of TOPIC, for Gradescope."""
    from rnncourse.grading.gradescope import archive

    out = out or Path(f"{topic}-autograder.zip")
    with one_sentence():
        archive(topic, _root(), out, seed)
    click.echo(out)


def _root():
    root = Path.cwd()
    if not (root / "exercises").is_dir():
        raise Fault(f"run this in the root of the repository: {root} holds no exercises/")
    return root


def _load(name, root):
    from rnncourse.grading.topic import load_topic

    return load_topic(name, root)


@contextmanager
def _dask(address):
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise Fault("--dask needs Dask: pip install rnncourse[dask]") from None
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise Fault(f"no Dask cluster answers at {address}: {error}") from None
    with client, client.get_executor(pure=False) as pool:
        yield pool

"""The command `rnncourse`: what the Makefile calls."""

import os
from pathlib import Path

import click
from tqdm import tqdm

from rnncourse._commands import Fault
from rnncourse.grading.cli import grade, gradescope
from rnncourse.language_model.cli import lm
from rnncourse.seq2seq.cli import translate


@click.group()
@click.version_option(package_name="rnncourse")
def main():
    """Refresh the notebooks, build and check the exercises, run the benchmarks; train on your own text."""


main.add_command(lm)
main.add_command(translate)
main.add_command(grade)
main.add_command(gradescope)


def _root():
    root = Path.cwd()
    if not (root / "_toc.yml").is_file():
        raise Fault(f"run this in the root of the repository: {root} holds no _toc.yml")
    return root


def _topics(root, folder, topics, kind="notebook", suffix=".ipynb"):
    """The notebooks of `folder`, or its files of another kind: all, or those of the named topics."""
    found = {path.stem: path for path in sorted((root / folder).glob(f"*{suffix}"))}
    for topic in topics:
        if topic not in found:
            raise Fault(f"unknown topic {topic!r}: {folder}/ has {', '.join(found) or f'no {kind}'}")
    return [found[topic] for topic in topics or found]


@main.command()
@click.argument("topics", nargs=-1)
def refresh(topics):
    """Execute the notebooks of the TOPICS (default: all) in place."""
    from nbclient.exceptions import CellExecutionError

    from rnncourse.refresh import refresh

    root = _root()
    paths = _topics(root, "book", topics) + _topics(root, "solutions", topics)
    for path in (bar := tqdm(paths)):
        bar.set_description(str(path.relative_to(root)))
        try:
            refresh(path)
        except CellExecutionError as error:
            raise Fault(f"{path.relative_to(root)} was left as it was, a cell fails:\n{error}") from None


@main.command()
@click.argument("topic")
def experiment(topic):
    """Run the long experiments of TOPIC and write their records to book/results/."""
    import importlib

    from rnncourse.record import write_record

    root = _root()
    try:
        records = importlib.import_module(f"rnncourse.{topic}.experiment").RECORDS
    except ModuleNotFoundError:
        having = ", ".join(sorted(p.parent.name for p in (root / "rnncourse").glob("*/experiment.py")))
        raise Fault(f"{topic!r} has no long experiment: those that have are {having}") from None
    for name, run in records.items():
        path = root / "book/results" / f"{topic}-{name}.json"
        write_record(path, f"rnncourse experiment {topic}", run())
        click.echo(path.relative_to(root))


@main.command()
@click.argument("topics", nargs=-1)
def bench(topics):
    """Time the package against PyTorch, in one thread.

    A run of all topics writes benchmarks/MACHINE.json; a run of the TOPICS prints its table only.
    """
    root = _root()
    paths = _topics(root, "benchmarks", topics, "benchmark", ".py")
    if os.environ.get("OMP_NUM_THREADS") != "1":
        raise Fault("set OMP_NUM_THREADS=1 (make bench does)")

    import torch

    from rnncourse.bench import PAIRS, SAMPLE, check_row, load_rows, machine_slug, table, time_row
    from rnncourse.record import write_record

    torch.set_num_threads(1)
    # cuDNN alone would round its factors to 10 bits.
    torch.backends.cudnn.allow_tf32 = False
    rows = [(path.stem, row) for path in paths for row in load_rows(path)]
    results = []
    for _, row in (bar := tqdm(rows)):
        bar.set_description(row.name)
        try:
            check_row(row)
        except AssertionError as error:
            raise Fault(f"{row.name}: the two sides do not compute the same: {error}") from None
        results.append(time_row(row))
    click.echo(table(results))
    if not topics:
        path = root / "benchmarks" / f"{machine_slug()}.json"
        topic_results = zip((topic for topic, _ in rows), results, strict=True)
        content = {
            "settings": {"threads": 1, "pairs": PAIRS, "sample_seconds": SAMPLE},
            "rows": [{"topic": topic, **result._asdict()} for topic, result in topic_results],
        }
        write_record(path, "rnncourse bench", content)
        click.echo(path.relative_to(root))


@main.group()
def exercises():
    """Generate the students' notebooks from the solutions."""


@exercises.command()
@click.argument("topics", nargs=-1)
def build(topics):
    """Write exercises/TOPIC.ipynb for the TOPICS (default: all)."""
    for path, text in _generated(topics):
        path.write_text(text, encoding="utf8")
        click.echo(path.relative_to(_root()))


@exercises.command()
@click.argument("topics", nargs=-1)
def check(topics):
    """Fail when a notebook in exercises/ differs from what its solution gives."""
    generated = list(_generated(topics))
    for path, text in generated:
        if not path.is_file() or path.read_text(encoding="utf8") != text:
            raise Fault(f"{path.relative_to(_root())} is not what solutions/ gives: run make exercises")
    extra = {p.name for p in (_root() / "exercises").glob("*.ipynb")} - {p.name for p, _ in generated}
    if extra and not topics:
        raise Fault(f"exercises/ has notebooks without a solution: {', '.join(sorted(extra))}")
    click.echo(f"exercises in step with solutions: {len(generated)}")


def _generated(topics):
    from rnncourse.grading.exercises import build_exercise

    root = _root()
    for path in _topics(root, "solutions", topics):
        try:
            yield root / "exercises" / path.name, build_exercise(path)
        except ValueError as error:
            raise Fault(str(error)) from None


if __name__ == "__main__":
    main()

"""Which file is whose, and for which topic."""

import csv
import json
import re
import time
from pathlib import Path
from typing import NamedTuple

BROWSER = re.compile(r"(\s*\(\d+\)|[\s_-]+copy(\s*\(?\d+\)?)?|[\s_-]+checkpoint)+$", re.I)
MOODLE = re.compile(r"(.*)_(\d+)_assignsubmission_.*")
LEFT_OUT = {".ipynb_checkpoints", "__MACOSX", ".git", ".venv"}


class Submission(NamedTuple):
    """One student's notebook on one topic."""

    student: str
    topic: str
    path: Path | None
    """None if the student handed in nothing."""
    note: str = ""
    """What was said about other files of the same student."""


def find(folder, topics, topic=None, out=None):
    """The notebooks below `folder`.

    The student is the first folder on the way, else the rest of the file's name: ``ada/lstm.ipynb``,
    ``lstm/ada.ipynb``, ``ada_lstm (1).ipynb``; with a given topic also ``ada.ipynb``. The topic stands in the
    name or in the metadata of the cells.

    Parameters
    ----------
    folder : pathlib.Path
    topics : collection of str
    topic : str, optional
        Take this one alone, and take what names no topic for it.
    out : pathlib.Path, optional
        A folder below that is left out.

    Returns
    -------
    found : list of Submission
        By student and topic; of two files for one the newest, and the note says so.
    ignored : list of (path, reason)
    """
    folder = Path(folder)
    found, ignored = {}, []
    paths = sorted(folder.rglob("*"))
    numbers = _numbers(paths)
    for path in paths:
        below = path.relative_to(folder)
        if path.suffix.lower() != ".ipynb" or LEFT_OUT & set(below.parts):
            continue
        if out is not None and Path(out).resolve() in path.resolve().parents:
            continue
        if path.is_symlink() or any(
            parent.is_symlink() for parent in path.parents if folder in parent.parents
        ):
            ignored.append((below, "it is a link, which could point anywhere"))
        elif not path.is_file():
            ignored.append((below, "it is no file"))
        else:
            student, named = _whose(below, topics, topic, numbers)
            named = named or _by_content(path, topics) or topic
            if named is None:
                ignored.append((below, "neither its name nor its cells name a topic: give --topic"))
            elif topic is not None and named != topic:
                ignored.append((below, f"its topic is {named}"))
            elif not student:
                ignored.append((below, "its name does not say whose it is: use student/topic.ipynb"))
            else:
                found.setdefault((student, named), []).append(path)
    return [_newest(*key, paths, folder) for key, paths in sorted(found.items())], ignored


def _numbers(paths):
    """Moodle's numbers of the students by their names, which two may share."""
    numbers = {}
    for name in {part for path in paths for part in path.parts}:
        if match := MOODLE.fullmatch(name):
            numbers.setdefault(match[1], set()).add(match[2])
    return numbers


def _whose(below, topics, topic, numbers):
    """Student and topic as the folders and the file's name say it; None for what they do not say."""
    stem = BROWSER.sub("", below.stem).strip()
    folders = list(below.parts[:-1])
    named = None
    lower = {name.lower(): name for name in topics}
    if folders and folders[0].lower() in lower:
        named = lower[folders.pop(0).lower()]
    rest = stem
    for name in sorted(topics, key=len, reverse=True):
        match = re.fullmatch(rf"(?:(.+)[\s_.-]+)?{re.escape(name)}(?:[\s_.-]+(.+))?", stem, re.I)
        if match and not (named and named != name):
            named, rest = name, " ".join(part for part in match.groups() if part)
            break
    if not folders and named is None and topic is None:
        return stem, None
    student = folders[0] if folders else rest
    if folders and (match := MOODLE.fullmatch(student)):
        student = f"{match[1]} {match[2]}" if len(numbers[match[1]]) > 1 else match[1]
    return " ".join("".join(c for c in student if c.isprintable()).split()), named


def _by_content(path, topics):
    """The topic whose name starts the cells' grade_ids, if it can be read."""
    try:
        with open(path, "rb") as file:
            cells = json.loads(file.read(20 * 2**20))["cells"]
        ids = [
            str(cell["metadata"]["nbgrader"]["grade_id"]) for cell in cells if "nbgrader" in cell["metadata"]
        ]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    named = {grade_id.rpartition("-q")[0] or grade_id for grade_id in ids}
    return next((name for name in sorted(topics) if name in named), None)


def _newest(student, topic, paths, folder):
    # Of equal times the last by name, so that a run can be repeated.
    *others, newest = sorted(paths, key=lambda p: (p.stat().st_mtime_ns, str(p)))
    note = ""
    if others:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(newest.stat().st_mtime))
        left = ", ".join(str(p.relative_to(folder)) for p in others)
        taken = newest.relative_to(folder)
        note = f"{len(paths)} files: taken is the newest, {taken} of {when}; left out: {left}"
    return Submission(student, topic, newest, note)


def read_roster(path):
    """Names by student, from a CSV file with a column ``student`` and perhaps ``name``.

    Raises
    ------
    ValueError
        If it has no such column.
    """
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        columns = {(name or "").strip().lower(): name for name in rows.fieldnames or []}
        if "student" not in columns:
            raise ValueError(
                f"{path} needs a column 'student', it has {', '.join(rows.fieldnames or []) or 'none'}"
            )
        return {
            (row[columns["student"]] or "").strip(): (row.get(columns.get("name")) or "").strip()
            for row in rows
            if (row[columns["student"]] or "").strip()
        }


def with_roster(found, roster, topics):
    """The submissions, and an empty one for each student and topic that is missing."""
    having = {(s.student, s.topic) for s in found}
    missing = [Submission(s, t, None) for s in roster for t in topics if (s, t) not in having]
    return sorted([*found, *missing], key=lambda s: (s.student, s.topic))

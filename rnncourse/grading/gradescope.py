"""The autograder archive for Gradescope, and what runs there.

A submission has a container of its own there, thrown away afterwards. Its root process judges; the student's
code runs as another user, in the sandbox where the container allows one.
"""

import json
import os
import secrets
import sys
import zipfile
from pathlib import Path

from rnncourse.grading import judge, kit, report, sandbox
from rnncourse.grading.topic import load_topic

SETUP = """#!/usr/bin/env bash
set -euo pipefail
apt-get update
apt-get install -y python3 python3-venv bubblewrap
python3 -m venv /autograder/venv
/autograder/venv/bin/pip install {requirements}
# Readable by root alone: the student's code runs as another user.
chmod -R go-rwx /autograder/source
"""
RUN = """#!/usr/bin/env bash
cd /autograder/source
export PYTHONPATH=/autograder/source OMP_NUM_THREADS=1
exec /autograder/venv/bin/python -m rnncourse.grading.gradescope {topic} {seed} \\
    /autograder/submission /autograder/results/results.json
"""
REQUIREMENTS = ("numpy", "matplotlib", "tqdm", "click", "num2words")


def archive(name, root, path, seed=None):
    """Write the autograder of the topic `name` to the zip file `path`.

    The seed is drawn now and goes into the archive, so all students get the same inputs.
    """
    topic = load_topic(name, root)
    seed = secrets.randbelow(2**31) if seed is None else seed
    requirements = [*REQUIREMENTS, *(lib for lib in topic.libraries if lib not in REQUIREMENTS)]
    files = {
        "setup.sh": SETUP.format(requirements=" ".join(requirements)),
        "run_autograder": RUN.format(topic=name, seed=seed),
        f"exercises/{name}.ipynb": topic.exercise,
    }
    for source in sorted(kit.PACKAGE.rglob("*")):
        if source.suffix in (".py", ".txt", ".tsv", ".js", ".css"):
            files[str(Path("rnncourse", source.relative_to(kit.PACKAGE)))] = source.read_text("utf8")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for inside, text in files.items():
            entry = zipfile.ZipInfo(inside)
            entry.external_attr = (0o755 if "/" not in inside else 0o644) << 16
            zipped.writestr(entry, text, zipfile.ZIP_DEFLATED)


def results(result):
    """The content of Gradescope's results.json."""
    if result["total"] is None:
        return {"score": 0, "output": f"No grade, which is not a zero: {result['message']}", "tests": []}
    tests = [
        {
            "name": f"{q['number']}: {q['title']}",
            "score": q["points"],
            "max_score": q["of"],
            "output": " ".join(filter(None, [report.OUTCOMES[q["outcome"]] + ".", q["message"]])),
            "output_format": "text",
        }
        for q in result["questions"]
    ]
    output = "\n".join(filter(None, [f"Status: {result['status']}", result["message"], *result["notes"]]))
    return {"score": result["total"], "output": output, "output_format": "text", "tests": tests}


def main(name, seed, folder, target):
    """Grade the newest notebook of the folder and write results.json."""
    topic, limits = load_topic(name, Path.cwd()), sandbox.Limits()
    found = sorted(Path(folder).rglob("*.ipynb"), key=lambda p: p.stat().st_mtime_ns)
    found = [path for path in found if path.is_file() and not path.is_symlink()]
    if found:
        try:
            sandbox.probe(limits)
            boxed = True
        except sandbox.Refused as error:
            if os.geteuid() != 0:
                raise
            print(f"no sandbox here, only another user: {error}", file=sys.stderr)
            boxed = False
        result = judge.grade(found[-1].read_bytes(), topic, int(seed), limits, boxed)
    else:
        result = {"status": "no submission", "message": "there is no notebook in it", "total": None}
    Path(target).write_text(json.dumps(results(result), indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

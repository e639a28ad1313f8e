"""A graded notebook as the grader sees it: its questions, its given cells, and what may be imported."""

import ast
import hashlib
import importlib
import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rnncourse.grading import kit
from rnncourse.grading.check import references

CHECK = re.compile(r'check\(\s*"(\w+)\.(q\d+)"\s*,\s*(\w+)\s*\)')
LIBRARIES = ("numpy", "matplotlib", "tqdm")
ALWAYS = ("rnncourse._numerics", "rnncourse.testing")
"""Modules of helpers that every notebook may import, besides what its own cells import."""


@dataclass(frozen=True)
class Question:
    """A question of a notebook."""

    number: str
    title: str
    points: float
    function: str = ""
    """Name of the function that answers it; empty if it is marked by hand."""
    grade_id: str = ""


@dataclass(frozen=True)
class Topic:
    """A graded notebook and how its questions are judged."""

    name: str
    exercise: str
    """Text of the notebook that the students got."""
    judges: dict = field(hash=False, compare=False)
    """What judges each question, by number."""
    version: str = ""
    """Changes when a grade might."""
    libraries: tuple = LIBRARIES
    """Distributions that a notebook may import, besides the helpers."""
    whole: bool = False
    """Whether the sandbox shows all of the course, answers included, for the self-test."""

    @cached_property
    def cells(self):
        """The cells that the students got."""
        return json.loads(self.exercise)["cells"]

    @cached_property
    def questions(self):
        """Those that are graded here and those that are marked by hand."""
        found, title = [], ""
        for cell in self.cells:
            source = join(cell["source"])
            if heading := re.search(r"^##\s+(.*)", source, re.M):
                title = re.sub(r"\s*\([^()]*\)\s*$", "", heading[1])
            graded = cell["metadata"].get("nbgrader", {})
            if not graded.get("grade"):
                continue
            called = CHECK.search(source)
            number, function = (called[2], called[3]) if called else (f"q{len(found) + 1}", "")
            found.append(Question(number, title, graded["points"], function, graded["grade_id"]))
        return found

    @cached_property
    def given(self):
        """Sources of the code cells that are neither answers nor checks."""
        return [
            join(c["source"])
            for c in self.cells
            if c["cell_type"] == "code" and not c["metadata"].get("nbgrader")
        ]

    @cached_property
    def stubs(self):
        """The answer cells as they were given out: (grade_id, source)."""
        return [
            (c["metadata"]["nbgrader"]["grade_id"], join(c["source"]))
            for c in self.cells
            if c["metadata"].get("nbgrader", {}).get("solution")
        ]

    @cached_property
    def answers(self):
        """The package's functions that answer a question: (module, name) pairs."""
        return {(f.__module__, f.__name__) for f in references(self.judges)}

    @cached_property
    def far(self):
        """What the grader runs for the student, helpers of the exercise and answers: (module, name) pairs."""
        helpers = {pair for pair in self._named if pair[0] == f"rnncourse.{self.name}.exercise"}
        return [] if self.whole else sorted(helpers | self.answers)

    @property
    def _named(self):
        return {pair for source in self.given for pair in kit.imports(ast.parse(source))}

    def files(self):
        """The helper package of the sandbox: text by path."""
        if self.whole:
            paths = [p for p in kit.PACKAGE.rglob("*") if p.suffix in (".py", ".txt", ".tsv")]
            return {str(Path("rnncourse", p.relative_to(kit.PACKAGE))): p.read_text("utf8") for p in paths}
        common = {
            (module, name)
            for module in ALWAYS
            for name in vars(importlib.import_module(module))
            if name[0] != "_"
        }
        common = {pair for pair in common if _defined_in(*pair)}
        return kit.package(self._named | common, self.far)


def join(source):
    """A cell's source, which may be stored as a list of lines."""
    return source if isinstance(source, str) else "".join(source)


def load_topic(name, root):
    """The topic `name` of the repository at `root`.

    Raises
    ------
    ValueError
        If it has no graded notebook.
    """
    path = Path(root) / f"exercises/{name}.ipynb"
    if not re.fullmatch(r"\w+", name) or not path.is_file():
        having = ", ".join(sorted(p.stem for p in (Path(root) / "exercises").glob("*.ipynb")))
        raise ValueError(f"unknown topic {name!r}: exercises/ has {having or 'no notebook'}")
    module = importlib.import_module(f"rnncourse.{name}.exercise")
    text = path.read_text("utf8")
    version = hashlib.sha256(text.encode())
    here = Path(__file__).parent
    for path in (
        Path(module.__file__),
        Path(module.__file__).with_name("mutants.py"),
        *sorted(here.glob("*.py")),
    ):
        if path.is_file():
            version.update(path.read_bytes())
    extra = getattr(module, "LIBRARIES", ())
    topic = Topic(name, text, module.QUESTIONS, version.hexdigest(), (*LIBRARIES, *extra))
    asked = [q.number for q in topic.questions if q.function]
    if sorted(asked) != sorted(module.QUESTIONS):
        raise ValueError(f"exercises/{name}.ipynb asks {asked}, exercise.py judges {list(module.QUESTIONS)}")
    return topic


def solution_cells(path):
    """The solution notebook as a student would hand it in."""
    notebook = json.loads(Path(path).read_text("utf8"))
    notebook["cells"] = [c for c in notebook["cells"] if "solution-only" not in c["metadata"].get("tags", [])]
    return json.dumps(notebook)


def _defined_in(module, name):
    value = getattr(importlib.import_module(module), name)
    return getattr(value, "__module__", None) == module

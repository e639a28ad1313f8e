"""Which function implements an equation, and which test checks it: read from the sources, shown on one page.

:func:`scan` reads notebooks, pages, docstrings and tests without importing any of them; :func:`problems` says
in sentences what does not fit together; the directive ``{equations}`` shows the rest, one table a chapter.
"""

import ast
import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

LOG = logging.getLogger(__name__)
# A fenced block, inline code (to step over it), or display maths with or without a label.
BLOCK = re.compile(
    r"^[ \t]*(?P<fence>`{3,}|~{3,}|:{3,})(?P<info>.*)\n(?P<body>(?:.*\n)*?)[ \t]*(?P=fence)[ \t]*$"
    r"|`[^`\n]+`"
    r"|(?<!\\)\$\$(?P<tex>[\s\S]+?)\$\$(?:[ \t]*\((?P<label>[^()\s]+)\))?",
    re.M,
)
IMPLEMENTS = re.compile(r"\bImplements\s+((?::eq:`[^`]+`(?:,\s*|\s+and\s+)?)+)(?:\s+of\s+(book/[\w-]+))?")


@dataclass
class Equation:
    """A labelled equation and what refers to it; without a page it is only referred to."""

    label: str
    page: str | None
    tex: str = ""
    final: bool = False
    functions: dict[str, str | None] = field(default_factory=dict)
    """Dotted name of what implements it, and the page its docstring names."""
    tests: list[str] = field(default_factory=list)
    """As ``tests/test_rnn.py::test_parity``."""


def _page_texts(file):
    """All Markdown of a page, and that of its cells tagged `formulas`."""
    text = file.read_text("utf8")
    if file.suffix == ".md":
        return text, ""
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
    final = [cell for cell in cells if "formulas" in cell["metadata"].get("tags", [])]
    return tuple("\n\n".join("".join(cell["source"]) for cell in group) for group in (cells, final))


def _labelled(text):
    """Yield (label, tex) of the labelled equations of a Markdown text, in order."""
    for match in BLOCK.finditer(text):
        if match["label"]:
            yield match["label"], match["tex"].strip()
        elif match["fence"] and match["info"].startswith("{math}"):
            label = re.search(r"^\s*:?label:\s*(\S+)", match["body"], re.M)
            if label:
                options = r"^\s*:\w+:.*\n|\A\s*---\n[\s\S]*?^---\n"
                yield (
                    label[1],
                    re.sub(options, "", match["body"], flags=re.M).strip(),
                )
        elif match["fence"] and match["info"].startswith("{") and not match["info"].startswith("{code"):
            yield from _labelled(match["body"])


def _defined(tree, name, dot="."):
    """Yield (dotted name, node) of the classes and functions of a module, methods included."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield name + dot + node.name, node
            if isinstance(node, ast.ClassDef):
                yield from _defined(node, name + dot + node.name, dot)


def _python(root, folder):
    """Yield (path from root, syntax tree) of the Python files of a folder."""
    for file in sorted((root / folder).rglob("*.py")):
        yield (
            file.relative_to(root),
            ast.parse(file.read_text("utf8"), str(file)),
        )


def scan(root):
    """Read equations, docstrings and tests.

    Parameters
    ----------
    root : path
        Holds ``book/``, ``rnncourse/``, ``tests/`` and ``_toc.yml``, which gives the order of the pages.

    Returns
    -------
    list of Equation
        In reading order; those that are only referred to come last.
    """
    root = Path(root)
    toc = root / "_toc.yml"
    order = re.findall(r"(?:file|root):\s*(\S+)", toc.read_text("utf8")) if toc.exists() else []
    files = {
        f"book/{file.stem}": file
        for file in sorted((root / "book").glob("*"))
        if file.suffix in (".ipynb", ".md")
    }
    found, formulas = [], []
    for page in sorted(
        files,
        key=lambda page: (
            order.index(page) if page in order else len(order),
            page,
        ),
    ):
        text, final = _page_texts(files[page])
        found += [Equation(label, page, tex) for label, tex in _labelled(text)]
        formulas += re.findall(r"\{eq\}`([^`]+)`", final)

    def named(label):
        matches = [equation for equation in found if equation.label == label]
        if not matches:
            found.append(Equation(label, None))
        return matches or found[-1:]

    for label in formulas:
        for equation in named(label):
            equation.final = True
    for path, tree in _python(root, "rnncourse"):
        parts = path.with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for name, node in _defined(tree, module):
            for match in IMPLEMENTS.finditer(ast.get_docstring(node) or ""):
                for label in re.findall("`([^`]+)`", match[1]):
                    for equation in named(label):
                        equation.functions[name] = match[2]
    for path, tree in _python(root, "tests"):
        for name, node in _defined(tree, path.as_posix(), "::"):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func).endswith("mark.equation"):
                    for label in mark.args:
                        for equation in named(ast.literal_eval(label)):
                            equation.tests.append(name)
    return found


def problems(equations):
    """Say what does not fit together.

    Parameters
    ----------
    equations : list of Equation

    Returns
    -------
    list of str
        One sentence each; empty if all is well.
    """
    said = []
    for label, count in Counter(equation.label for equation in equations).items():
        pages = [equation.page for equation in equations if equation.label == label]
        if count > 1:
            said.append(f"The label {label} is defined {count} times, on {', '.join(pages)}.")
    for equation in equations:
        label, page = equation.label, equation.page
        if page is None:
            said += [f"{name} implements {label}, which no page defines." for name in equation.functions]
            said += [f"{test} is marked with {label}, which no page defines." for test in equation.tests]
            if equation.final:
                said.append(f"A list of formulas names {label}, which no page defines.")
            continue
        for name, claimed in equation.functions.items():
            if claimed != page:
                said.append(f"{name} places {label} on {claimed or 'no page'}; it is on {page}.")
        if equation.final and not equation.functions:
            said.append(f"{label} of {page} is a final formula that no function implements.")
        if equation.functions and not equation.tests:
            said.append(
                f"{label} of {page} is implemented by {', '.join(equation.functions)} and checked by no test."
            )
    return said


class EquationsDirective(SphinxDirective):
    """``{equations}``: a table of each chapter's equations, with function and test."""

    def run(self):
        """Build a section with a table for each page that has labelled equations."""
        self.env.note_reread()  # it depends on every page, docstring and test
        equations = [equation for equation in scan(self.env.srcdir) if equation.page in self.env.found_docs]
        sections = []
        for page in dict.fromkeys(equation.page for equation in equations):
            section = nodes.section(ids=[nodes.make_id(f"equations-{page}")])
            file = Path(self.env.doc2path(page))
            title = re.search(r"^# (.+)$", _page_texts(file)[0], re.M)
            section += nodes.title("", title[1].strip() if title else page)
            section += self._table([equation for equation in equations if equation.page == page])
            sections.append(section)
        return sections

    def _table(self, equations):
        group = nodes.tgroup("", *(nodes.colspec(colwidth=width) for width in (10, 90)), cols=2)
        names = [
            nodes.Text(text)
            for text in (
                "Number",
                "Label, equation, functions that implement it, tests",
            )
        ]
        group += nodes.thead("", _row([[name] for name in names]))
        group += nodes.tbody("", *(self._row(equation) for equation in equations))
        return nodes.table("", group, classes=["equations"])

    def _row(self, equation):
        row, name = _row(self._cells(equation)), row_name(equation.label)
        row["ids"].append(name)
        self.env.get_domain("std").note_hyperlink_target(name, self.env.docname, name, equation.label)
        return row

    def _cells(self, equation):
        number = self._link("math", "eq", equation.label, nodes.literal("", equation.label))
        label = nodes.literal("", equation.label)
        if equation.final:
            number = nodes.strong("", "", number)
        short = {name: nodes.literal("", name.removeprefix("rnncourse.")) for name in equation.functions}
        functions = [self._link("py", "obj", name, text, refexplicit=True) for name, text in short.items()]
        tests = [nodes.literal("", test.removeprefix("tests/")) for test in equation.tests]
        formula = nodes.math_block("", equation.tex, nowrap=False, number=None, label=None)
        return [[number], [label, formula, *functions, *tests]]

    def _link(self, *target, **options):
        return link(self.env.docname, *target, **options)


def row_name(label):
    """Name of an equation's row on the page Equations, for links to it."""
    return nodes.make_id(f"row-{label}")


def link(docname, domain, kind, target, text, **options):
    """A reference that Sphinx resolves, with a warning where it cannot."""
    link = {"refdomain": domain, "reftype": kind, "reftarget": target, "refwarn": True}
    return addnodes.pending_xref("", text, refdoc=docname, **link, **options)


def _row(cells):
    row = nodes.row()
    for cell in cells:
        entry = nodes.entry()
        for item in cell:
            entry += item if isinstance(item, nodes.math_block) else nodes.paragraph("", "", item)
        row += entry
    return row


def _agree(app, env):
    """Warn if :func:`scan` sees other labels than Sphinx does: one of the two misreads a page."""
    ours = {(e.label, e.page) for e in scan(env.srcdir) if e.page in env.found_docs}
    theirs = {(label, page) for label, (page, _) in env.get_domain("math").equations.items()}
    for label, page in ours ^ {pair for pair in theirs if pair[1].startswith("book/")}:
        LOG.warning(
            "equation %s is read differently by equations.py and by Sphinx",
            label,
            location=page,
        )


def setup(app):
    """Register the directive."""
    app.add_directive("equations", EquationsDirective)
    app.connect("env-check-consistency", _agree)
    return {
        "version": "1",
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }

"""The cheatsheet: formulas named by their labels, each with its chapter, its function and its tests.

The directive ``{cheatsheet}`` takes one line for each formula, ``Name: label``, and ``# Group`` above those
that belong together. The formula itself is read from its chapter, so that it is typed once.
"""

import hashlib
import re

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from equations import link, row_name, scan


class CheatsheetDirective(SphinxDirective):
    """``{cheatsheet}``: groups of formulas, in columns."""

    has_content = True

    def run(self):
        """Build a section for each group."""
        self.env.note_reread()  # it depends on every chapter, docstring and test
        known = {equation.label: equation for equation in scan(self.env.srcdir)}
        sections, shown = [], []
        for line in filter(str.strip, self.content):
            if line.startswith("# "):
                name = line[2:].strip()
                sections.append(
                    nodes.section("", nodes.title("", name), ids=[nodes.make_id(f"group-{name}")])
                )
                continue
            name, label = (part.strip() for part in line.rsplit(":", 1))
            if label not in known or not sections:
                raise self.error(f"{line!r} must stand in a group and name an equation of a chapter")
            shown.append(known[label])
            sections[-1] += self._entry(name, known[label])
        marked = hashlib.sha256("\n".join(equation.tex for equation in shown).encode()).hexdigest()[:12]
        sheet = nodes.container("", *sections, classes=["cheatsheet", f"formulas-{marked}"])
        return [sheet]

    def _entry(self, name, equation):
        docname = self.env.docname
        title = nodes.paragraph("", "", nodes.strong("", name), nodes.Text(" "))
        title += link(docname, "math", "eq", equation.label, nodes.literal("", equation.label))
        # One formula a line has no room for the punctuation of the sentence that it ends in its chapter.
        tex = re.sub(r"\s*[.,:;]\s*$", "", equation.tex)
        formula = nodes.math_block("", tex, nowrap=False, number=None, label=None)
        below = nodes.paragraph("", classes=["from"])
        for function in equation.functions:
            text = nodes.literal("", function.removeprefix("rnncourse."))
            below += [link(docname, "py", "obj", function, text, refexplicit=True), nodes.Text(" ")]
        tests = nodes.Text("test" if len(equation.tests) == 1 else f"{len(equation.tests)} tests")
        below += link(
            docname, "std", "ref", row_name(equation.label), nodes.inline("", "", tests), refexplicit=True
        )
        return nodes.container("", title, formula, below, classes=["formula"])


def setup(app):
    """Register the directive."""
    app.add_directive("cheatsheet", CheatsheetDirective)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

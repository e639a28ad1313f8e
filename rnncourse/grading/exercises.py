"""The students' notebooks, generated from the solutions, in nbgrader's cell format."""

import re

import nbformat

STUB = {
    "code": "# YOUR CODE HERE\nraise NotImplementedError()",
    "markdown": "YOUR ANSWER HERE",
}
REGION = re.compile(r"^( *)### BEGIN SOLUTION\n.*?^ *### END SOLUTION *$", re.M | re.S)


def build_exercise(solution):
    """The text of the student's notebook for the solution notebook at path `solution`.

    Regions between ``### BEGIN SOLUTION`` and ``### END SOLUTION`` become stubs, and a text answer becomes a
    stub as a whole. Cells tagged ``solution-only`` are left out. Outputs, counts and all metadata but
    nbgrader's go, so the same source gives the same bytes.

    Parameters
    ----------
    solution : pathlib.Path

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If a solution cell of code has a BEGIN without its END, or none at all.
    """
    notebook = nbformat.read(solution, as_version=4)
    cells = []
    for cell in notebook.cells:
        if "solution-only" in cell.metadata.get("tags", []):
            continue
        graded = cell.metadata.get("nbgrader")
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if graded and graded["solution"]:
            cell.source = _stub(cell, solution.name)
        cell.metadata = {"nbgrader": graded} if graded else {}
        cells.append(cell)
    notebook.cells = cells
    notebook.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    return nbformat.writes(notebook) + "\n"


def _stub(cell, name):
    if cell.cell_type == "markdown":
        return STUB["markdown"]
    source, regions = REGION.subn(
        lambda match: "\n".join(match[1] + line for line in STUB["code"].splitlines()), cell.source
    )
    if not regions or "### BEGIN SOLUTION" in source or "### END SOLUTION" in source:
        raise ValueError(
            f"{name}, cell {cell.metadata.nbgrader.grade_id}: a solution cell needs "
            "### BEGIN SOLUTION and ### END SOLUTION, in pairs"
        )
    return source

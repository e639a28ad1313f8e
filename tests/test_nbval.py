"""The tolerance that the root's conftest.py gives nbval, tried on a notebook whose stored outputs are off."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest

from rnncourse.refresh import refresh

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("nbval_tolerance", ROOT / "conftest.py")
tolerance = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tolerance)

SETUP = """
import numpy as np
import matplotlib.pyplot as plt
from IPython.display import HTML, display
from matplotlib_inline.backend_inline import set_matplotlib_formats
from rnncourse.plot import use_style

def curve(scale, count=1, **line):
    use_style()
    for _ in range(count):
        x = np.linspace(0, 6, 60)
        plt.figure()
        plt.plot(x, scale * np.sin(x), **line)
        plt.ylim(-1.5, 1.5)
        plt.show()

def png(scale, count=1):
    use_style()
    set_matplotlib_formats("png")
    plt.plot([0, 1, 2], [0, scale, 0.5])
    plt.ylim(-0.5, 1.5)
    plt.show()

def heat(scale):
    use_style()
    plt.imshow(scale * np.linspace(0, 1, 48).reshape(6, 8), vmin=0, vmax=1.5)
    plt.show()

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)

def table(x, n):
    display(HTML(f"<table><tr><td>{x:.9f}</td><td>{n}</td></tr></table>"))
"""
# What the stored output was made with, what the cell holds now, and whether nbval may pass it.
CELLS = [
    ("print('loss', 0.5371234)", "print('loss', 0.5371234)", True),
    ("print('loss', 0.5371234 * (1 + 1e-5))", "print('loss', 0.5371234)", True),
    ("print('loss', 0.5371234 * (1 + 1e-3))", "print('loss', 0.5371234)", False),
    ("print('gradient', 3e-6 * (1 + 1e-3))", "print('gradient', 3e-6)", False),
    ("print('noise', 3e-11)", "print('noise', -2e-12)", True),
    ("print('steps', 20001)", "print('steps', 20000)", False),
    ("print('It took 20001.')", "print('It took 20000.')", False),
    ("np.array([0.5, 1 / 3]) * (1 + 1e-5)", "np.array([0.5, 1 / 3])", True),
    ("np.array([0.5, 1 / 3]) * (1 + 1e-3)", "np.array([0.5, 1 / 3])", False),
    ("print('loss 0.5')", "print('cost 0.5')", False),
    ("table(0.5371, 3)", "table(0.5371, 3)", True),
    ("table(0.5371 * (1 + 1e-5), 3)", "table(0.5371, 3)", True),
    ("table(0.5371 * (1 + 1e-3), 3)", "table(0.5371, 3)", False),
    ("table(0.5371, 4)", "table(0.5371, 3)", False),
    ("curve(1)", "curve(1)", True),
    ("curve(1 + 1e-5)", "curve(1)", True),
    ("curve(1.02)", "curve(1)", False),
    ("curve(1, color='C1')", "curve(1)", False),
    ("curve(1, count=2)", "curve(1)", False),
    ("curve(1)", "curve(1, count=2)", False),
    ("curve(1)", "pass", False),
    ("plt.plot([0, 1]); plt.show()", "plt.plot([0, 1 + 1e-8]); plt.show()", True),
    ("heat(1)", "heat(1)", True),
    ("heat(1.002)", "heat(1)", True),  # some pixels get the next colour
    ("heat(1.02)", "heat(1)", False),
    ("png(1)", "png(1)", True),
    ("png(1.001)", "png(1)", True),
    ("png(1.02)", "png(1)", False),
    ("png(1); png(1)", "png(1)", False),
    ("png(1)", "png(1); png(1)", False),
    ("print(1)", "print(1); png(1)", False),
    ("png(1.02); print(1)", "print(1); png(1)", False),  # nbval lets text and figure change places
    ("png(1)", "curve(1)", False),
    ("pass", "display({'image/png': PIXEL}, raw=True)", False),  # without the text that Matplotlib adds
    ("display({'image/png': PIXEL}, raw=True)", "pass", False),
]


def nbval(path):
    """Whether each code cell of the notebook passes."""
    shutil.copy(ROOT / "conftest.py", path.parent)
    command = ["pytest", "-q", "--nbval", "-p", "no:cacheprovider", "--rootdir", ".", "--junitxml=cells.xml"]
    ran = subprocess.run(
        [sys.executable, "-m", *command, "-c", "/dev/null", path.name],
        cwd=path.parent,
        capture_output=True,
        text=True,
    )
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    return [len(cell) == 0 for cell in ElementTree.parse(path.parent / "cells.xml").iter("testcase")]


def test_the_tolerance_holds_what_it_promises(tmp_path):
    path = tmp_path / "small.ipynb"
    stored = [nbformat.v4.new_code_cell(source) for source in (SETUP, *(cell[0] for cell in CELLS))]
    nbformat.write(nbformat.v4.new_notebook(cells=stored), path)
    refresh(path)
    notebook = nbformat.read(path, as_version=4)
    for cell, (_, source, _) in zip(notebook.cells[1:], CELLS, strict=True):
        cell.source = source
    nbformat.write(notebook, path)
    passed = nbval(path)
    assert passed[0]
    wrong = [cell for cell, result in zip(CELLS, passed[1:], strict=True) if result != cell[2]]
    assert not wrong


@pytest.mark.parametrize(
    "a, b, same",
    [
        ("1e-07", "1.00001e-07", True),
        ("1e-07", "1.1e-07", False),
        ("[0. -0.]", "[-0. 0.]", True),
        ("[1. 0.5]", "[0.999999 0.5]", True),
        ("[20000. 1.]", "[20001. 1.]", False),
        ("x1", "x2", False),
        ("x1.5", "x1.50001", False),  # part of a name
        ("x=-1.5", "x=-1.50001", True),
        ("x-1.5", "x+1.5", False),
        ("3.5%", "3.50001%", True),
        ("3.5%", "3.6%", False),
        ("35%", "36%", False),
        ("[0.5 0.5]", "[0.5 0.50001]", True),
        ("[0.5 0.5]", "[0.5]", False),
        ("[[0.5 0.25]\n [1.5 2.5]]", "[[0.5 0.25000001]\n [1.5  2.5]]", True),
        ("1,234", "1,235", False),
        ("1,234.5", "1,234.50001", True),
        ("1", "1.0", False),
        ("1", "True", False),
        ("1 23", "12 3", False),
        ("# 5", "5 #", False),
        ("#", "5", False),
        ("2.4.6", "2.4.7", False),
        ("#0b5fa5", "#0b5fa6", False),
        ("nan", "0.5", False),
        ("two words", "two  words", True),
        ("two\nlines", "two lines", False),
        ("from 1.5 to 2.5.", "from 1.50001 to 2.5.", True),
    ],
)
def test_close_text(a, b, same):
    assert tolerance.close_text(a, a) and tolerance.close_text(b, b)
    assert tolerance.close_text(a, b) is tolerance.close_text(b, a) is same


MARKER = '<g id="m0123456789"/><use href="#m0123456789"/>'


@pytest.mark.parametrize(
    "a, b, same",
    [
        ('<path d="M 45 200"/>', '<path d="M 45.000001 199.999999"/>', True),
        ('<path d="M 0 200"/>', '<path d="M -0.000001 200"/>', True),
        ('<path d="M 45 200"/>', '<path d="M 45.1 200"/>', False),
        ('<path d="M 45 200"/>', '<path d="M 45 200 L 1 1"/>', False),
        (MARKER, MARKER.replace("m0123456789", "mabcdef6789"), True),
        (MARKER, MARKER.replace("#m0123456789", "#mabcdef6789"), False),
        ('<use href="#DejaVuSans-30"/>', '<use href="#DejaVuSans-31"/>', False),
        ('<path style="fill: #0b5fa5"/>', '<path style="fill: #0b5fa6"/>', False),
    ],
)
def test_close_svg(a, b, same):
    assert tolerance.close_svg(a, b) is tolerance.close_svg(b, a) is same

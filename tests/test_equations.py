import importlib.util
import json
import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SPEC = importlib.util.spec_from_file_location("equations", ROOT / "book" / "_ext" / "equations.py")
equations = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(equations)

PAGE = """\
# Recurrence

An unlabelled block does not swallow the next one: $$a = b$$

$$
h_t = \\tanh(W x_t)
$$ (state)

The source `$$ x $$ (code)` is code, and so is

```
$$ y $$ (fence)
```

````{prf:proof}
$$ c = d $$ (inner)
```{math}
:label: directive

z = 1
```
````
"""
MODULE = '''\
class Network:
    """A network."""

    def forward(self):
        """Go forward.

        Implements :eq:`state`, :eq:`inner`,
        :eq:`directive` of book/rnn. See also :eq:`other`.
        """
'''
TEST = """\
import pytest

@pytest.mark.equation("state")
@pytest.mark.equation("inner")
def test_a(): ...

class TestB:
    @pytest.mark.equation("directive")
    def test_b(self): ...
"""


LABELS = ("state", "inner", "directive")


def repository(root, page=PAGE, module=MODULE, test=TEST, final="{eq}`state` and {eq}`inner`"):
    """Write a small repository whose parts fit, but for what is replaced."""
    for folder in ("book", "rnncourse", "tests"):
        (root / folder).mkdir()
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": page.splitlines(keepends=True)},
        {"cell_type": "code", "metadata": {}, "source": "'''\n$$ q $$ (in-code)\n'''"},
        {"cell_type": "markdown", "metadata": {"tags": ["formulas"]}, "source": final},
    ]
    (root / "book" / "rnn.ipynb").write_text(json.dumps({"cells": cells}))
    (root / "rnncourse" / "room.py").write_text(module)
    (root / "tests" / "test_room.py").write_text(test)
    return root


def test_this_repository_fits_together():
    found = equations.scan(ROOT)
    assert [equation for equation in found if equation.final], "no chapter has a cell tagged formulas"
    assert equations.problems(found) == []


def test_scan_reads_every_form(tmp_path):
    found = equations.scan(repository(tmp_path))
    room, test = "rnncourse.room.Network.forward", "tests/test_room.py::"
    assert found == [
        equations.Equation(
            "state", "book/rnn", "h_t = \\tanh(W x_t)", True, {room: "book/rnn"}, [test + "test_a"]
        ),
        equations.Equation("inner", "book/rnn", "c = d", True, {room: "book/rnn"}, [test + "test_a"]),
        equations.Equation(
            "directive", "book/rnn", "z = 1", False, {room: "book/rnn"}, [test + "TestB::test_b"]
        ),
    ]
    assert equations.problems(found) == []


def test_pages_come_in_the_order_of_the_toc(tmp_path):
    root = repository(tmp_path)
    (root / "book" / "zero.md").write_text("$$ a $$ (first)\n")
    (root / "_toc.yml").write_text("root: book/zero\nchapters:\n  - file: book/rnn\n")
    assert [equation.label for equation in equations.scan(root)] == ["first", "state", "inner", "directive"]


FAULTS = {
    "a docstring names an unknown label": (
        {"module": MODULE.replace("`inner`", "`iner`")},
        ["inner of book/rnn is a final formula that no function", "forward implements iner, which no page"],
    ),
    "a docstring names the wrong page": (
        {"module": MODULE.replace("book/rnn", "book/bptt")},
        [f"forward places {label} on book/bptt; it is on book/rnn" for label in LABELS],
    ),
    "a docstring names no page": (
        {"module": MODULE.replace(" of book/rnn", "")},
        [f"forward places {label} on no page; it is on book/rnn" for label in LABELS],
    ),
    "a final formula has no function": (
        {"module": MODULE.replace(":eq:`state`, ", "")},
        ["state of book/rnn is a final formula that no function implements"],
    ),
    "an equation has a function but no test": (
        {"test": TEST.replace('@pytest.mark.equation("state")\n', "")},
        ["state of book/rnn is implemented by rnncourse.room.Network.forward and checked by no test"],
    ),
    "a test marks an unknown label": (
        {"test": TEST.replace('mark.equation("inner")', 'mark.equation("iner")')},
        ["inner of book/rnn is implemented by", "test_room.py::test_a is marked with iner, which no page"],
    ),
    "a label is defined twice": (
        {"page": PAGE + "\n$$ e $$ (state)\n"},
        ["The label state is defined 2 times, on book/rnn, book/rnn"],
    ),
    "the formulas name an unknown label": (
        {"final": "{eq}`state` and {eq}`stat`"},
        ["A list of formulas names stat, which no page defines"],
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_problem_is_found(tmp_path, fault):
    change, expected = FAULTS[fault]
    said = equations.problems(equations.scan(repository(tmp_path, **change)))
    assert len(said) == len(expected), textwrap.indent("\n".join(said), "  ")
    for sentence, part in zip(said, expected, strict=True):
        assert part in sentence


def test_no_command_stands_inside_text():
    # MathJax shows it as it is typed.
    nested = [e.label for e in equations.scan(ROOT) if re.search(r"\\text\{[^}$]*\\[a-z]", e.tex)]
    assert nested == []

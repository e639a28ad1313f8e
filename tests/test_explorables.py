import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from browser import chromium

import rnncourse

PACKAGE = Path(rnncourse.__file__).parent
SCRIPTS = sorted(file for file in PACKAGE.glob("*/*.js") if file.with_suffix(".py").exists())
NAMES = [".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) for file in SCRIPTS]
LOAD = """async (source) => {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  window.compute = (await import(url)).compute;
}"""


def difference(javascript, python, scale=None):
    """Say where two JSON values differ: floats beyond 1e-9 of the largest beside them, all else at all."""
    if isinstance(python, dict):
        if not isinstance(javascript, dict) or set(javascript) != set(python):
            return f"{javascript!r} has not the keys {sorted(python)}"
        return next(filter(None, (_below(k, difference(javascript[k], python[k])) for k in python)), None)
    if isinstance(python, list):
        if not isinstance(javascript, list) or len(javascript) != len(python):
            return f"{javascript!r} has not the length {len(python)}"
        scale = scale or largest(python)
        pairs = enumerate(zip(javascript, python, strict=True))
        return next(filter(None, (_below(i, difference(a, b, scale)) for i, (a, b) in pairs)), None)
    if isinstance(python, float) and type(javascript) in (int, float):
        same = abs(javascript - python) <= 1e-9 * (scale or abs(python))
    else:
        # Written out, so that true is not 1.
        same = json.dumps(javascript) == json.dumps(python)
    return None if same else f"{javascript!r} in JavaScript, {python!r} in Python"


def _below(key, found):
    return found and f"[{key!r}] {found}"


def largest(value):
    """Largest absolute number of a nested list, zero if there is none."""
    if isinstance(value, list):
        return max(map(largest, value), default=0.0)
    return abs(value) if isinstance(value, float) else 0.0


@pytest.fixture(scope="module")
def page():
    with chromium() as browser:
        page = browser.new_page()
        page.goto("about:blank")
        yield page


def test_every_explorable_is_found():
    written = {file for file in PACKAGE.glob("*/*.py") if "def explorable(" in file.read_text("utf8")}
    assert written == {file.with_suffix(".py") for file in SCRIPTS}
    assert written


@pytest.mark.browser
@pytest.mark.parametrize("name", NAMES)
def test_javascript_computes_what_python_computes(page, name):
    module = importlib.import_module(name)
    script = Path(module.__file__).with_suffix(".js").read_text("utf8")
    page.evaluate(LOAD, (PACKAGE / "kit.js").read_text("utf8") + script)
    rng = np.random.default_rng(0)
    inputs = [json.loads(json.dumps(module.random_input(rng), allow_nan=False)) for _ in range(50)]
    assert len({json.dumps(given) for given in inputs}) > 5, "the random inputs are hardly random"
    # By way of text: the driver's own encoding takes -0 and 0 for different and drops undefined.
    answers = json.loads(
        page.evaluate("(text) => JSON.stringify(JSON.parse(text).map(compute))", json.dumps(inputs))
    )
    for given, javascript in zip(inputs, answers, strict=True):
        python = json.loads(json.dumps(module.compute(given), allow_nan=False))
        assert difference(javascript, python) is None, json.dumps(given)


def test_difference_is_seen():
    value = {"a": [[1.0, -200.0]], "n": 3, "s": "x", "none": None, "flag": True}
    assert difference(json.loads(json.dumps(value)), value) is None
    assert difference(value | {"a": [[1.0 + 1e-8, -200]]}, value) is None
    wrong = [
        {"a": [[1.0 + 1e-6, -200.0]]},
        {"a": [[1.0, 200.0]]},
        {"a": [[1.0]]},
        {"a": [[1.0, None]]},
        {"n": 4},
        {"s": "y"},
        {"none": 0},
        {"flag": 1},
        {"more": 0},
    ]
    for change in wrong:
        assert difference(value | change, value), change

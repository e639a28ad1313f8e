import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from browser import chromium

import rnncourse
from rnncourse.welcome import line

PACKAGE = Path(rnncourse.__file__).parent
SCRIPTS = sorted(file for file in PACKAGE.glob("*/*.js") if file.with_suffix(".py").exists())
NAMES = [".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts) for file in SCRIPTS]
LOAD = """async (source) => {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  Object.assign(window, await import(url));
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


def _single_mistakes():
    """Lines with one mistake, each with what the judge says of it."""
    right = [variants[0][0] for variants in line.PARTS]
    for i, variants in enumerate(line.PARTS):
        for part, mistake in variants[1:]:
            parts = [*right[:i], part, *right[i + 1 :]]
            yield f"np.tanh({' + '.join(filter(None, parts))})", mistake
    for wrap, mistake in line.WRAPS[1:]:
        yield wrap.replace("_", " + ".join(right)), mistake
    terms = " + ".join(right).split(" + ")
    for chosen in range(1, 2 ** len(terms) - 1):
        inside = [term for i, term in enumerate(terms) if chosen >> i & 1]
        outside = [term for term in terms if term not in inside]
        verb = "are" if len(outside) > 1 else "is"
        mistake = f"tanh is applied too early, before {' and '.join(outside)} {verb} added."
        yield f"np.tanh({' + '.join(inside)}) + {' + '.join(outside)}", mistake
    yield from line.WHOLE


@pytest.mark.browser
def test_judge_names_each_single_mistake(page):
    script = Path(line.__file__).with_suffix(".js").read_text("utf8")
    page.evaluate(LOAD, (PACKAGE / "kit.js").read_text("utf8") + script)
    expressions, mistakes = zip(*_single_mistakes(), strict=True)
    judge = "([lines, data]) => lines.map((line) => judge(line, data))"
    data = line.explorable().data
    found = page.evaluate(judge, [[line.ANSWER, *expressions], data])
    assert found[0]["ok"]
    # Facts about shapes may stand before it, no other mistake.
    named = [[m for m in mistakes if m in answer.get("message", "")] for answer in found[1:]]
    for expression, mistake, answer, names in zip(expressions, mistakes, found[1:], named, strict=True):
        assert not answer["ok"] and answer["message"].endswith(mistake), (expression, answer)
        assert all(name in mistake for name in names), (expression, answer)


@pytest.mark.browser
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_ink_reads_on_each_colour(page, theme):
    page.goto("about:blank")
    page.set_content(f"<html data-theme={theme}><body class=xp>0")
    page.add_style_tag(path=PACKAGE / "kit.css")
    page.add_script_tag(path=PACKAGE / "kit.js")
    colours = page.evaluate("""() => {
      const backs = [...Array(201).keys()].map((i) => kit.signed(i / 100 - 1));
      return ["color-mix(in srgb, var(--xp-ink) 100%, white)", ...backs].map((colour) => {
        document.body.style.color = colour;
        return getComputedStyle(document.body).color.match(/[\\d.]+/g).map(Number);
      });
    }""")
    rgb = np.array(colours)
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    light = linear @ [0.2126, 0.7152, 0.0722] + 0.05
    contrast = np.maximum(light[0] / light[1:], light[1:] / light[0])
    assert len(np.unique(rgb, axis=0)) > 90, "one colour for all numbers"
    assert contrast.min() >= 4.5


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

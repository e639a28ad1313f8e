"""The graded exercises: solutions pass, stubs fail, mistakes are named, files are in step."""

import ast
import importlib
import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from click.testing import CliRunner

from rnncourse.cli import main
from rnncourse.grading.check import Parity, check
from rnncourse.grading.exercises import build_exercise
from rnncourse.refresh import refresh
from rnncourse.rnn.numpy import OutputParams, RNNParams, rnn_init

ROOT = Path(__file__).parents[1]
TOPICS = sorted(path.stem for path in (ROOT / "solutions").glob("*.ipynb"))
QUESTIONS = {topic: importlib.import_module(f"rnncourse.{topic}.exercise").QUESTIONS for topic in TOPICS}


def checks(notebook):
    """Each check cell's question and the name of the function it checks."""
    calls = [re.fullmatch(r'check\("(\w+\.q\d+)", (\w+)\)', cell.source) for cell in notebook.cells]
    return {call[1]: call[2] for call in calls if call}


def functions(notebook):
    """What the notebook's imports and top-level functions define; other cells are not run."""
    names = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            kept = [
                node
                for node in ast.parse(cell.source).body
                if isinstance(node, ast.FunctionDef | ast.Import | ast.ImportFrom)
            ]
            exec(compile(ast.Module(kept, []), "notebook", "exec"), names)
    return names


@pytest.mark.parametrize("topic", TOPICS)
def test_every_solution_passes(topic, capsys):
    notebook = nbformat.read(ROOT / f"solutions/{topic}.ipynb", as_version=4)
    answers = functions(notebook)
    assert list(checks(notebook)) == [f"{topic}.{number}" for number in QUESTIONS[topic]]
    for question, name in checks(notebook).items():
        check(question, answers[name], seed=1)
        assert capsys.readouterr().out == f"{question}: passed\n"


@pytest.mark.parametrize("topic", TOPICS)
def test_every_stub_fails(topic):
    notebook = nbformat.read(ROOT / f"exercises/{topic}.ipynb", as_version=4)
    answers = functions(notebook)
    for question, name in checks(notebook).items():
        with pytest.raises(NotImplementedError):
            check(question, answers[name], seed=1)


MUTANTS = [
    pytest.param(f"{topic}.{number}", question, mutant, id=f"{topic}.{number}: {mutant.name}")
    for topic, questions in QUESTIONS.items()
    for number, question in questions.items()
    if isinstance(question, Parity)
    for mutant in question.mutants
]
HIDDEN = {
    # One step knows no other steps, so mistakes between steps cannot be made there.
    ("bptt.q1", "carry missing"),
    ("bptt.q1", "parameters from the first step only"),
    ("bptt.q1", "parameters from the last step only"),
    ("bptt.q1", "own loss missing"),
    ("bptt.q1", "weight_ih from the last step only"),
    ("bptt.q1", "gradient of the final state ignored"),
}


@pytest.mark.parametrize("name, question, mutant", MUTANTS)
def test_every_mistake_gets_its_own_hint(name, question, mutant):
    def mistaken(*arguments):
        return question.call(mutant.build(), *arguments)

    if (name, mutant.name) in HIDDEN:
        check(name, mistaken, seed=2)
        return
    with pytest.raises(AssertionError) as caught:
        check(name, mistaken, seed=2)
    assert str(caught.value) == f"{mutant.hint} Look again at {mutant.label} (page Equations)."


def test_leaky_mistakes_hide_where_they_say():
    question = QUESTIONS["bptt"]["q4"]
    x, h_0, params, _ = question.draw(np.random.default_rng(5))
    hidden = {"alpha one half": (x, h_0, params, 0.5), "zero state, one step": (x[:1], 0 * h_0, params, 0.3)}
    for mutant in QUESTIONS["bptt"]["q4"].mutants:
        arguments = hidden[mutant.agrees]
        np.testing.assert_allclose(
            mutant.build()(*arguments), mutant.function(*arguments), rtol=0, atol=1e-14
        )


def test_wrong_answers_without_a_name_say_what_differs():
    step = QUESTIONS["rnn"]["q1"].reference
    cases = [
        (lambda x, h, p: step(x, h, p).T, r"h must have shape \(\d, \d\), got \(\d, \d\)"),
        (lambda x, h, p: step(x, h, p).astype(np.float32), "h must have dtype float64, got float32"),
        (lambda x, h, p: step(x, h, p) + 1, r"h has the right shape but wrong values: relative error \d"),
        (lambda x, h, p: step(x, h, p) * np.nan, "h holds nan or inf"),
    ]
    for answer, message in cases:
        with pytest.raises(AssertionError, match=f"^{message}"):
            check("rnn.q1", answer, seed=3)

    with pytest.raises(ValueError) as caught:
        check("rnn.q1", lambda x, h, p: np.tanh(x @ p.weight_ih + h @ p.weight_hh), seed=3)
    assert "was called with arrays of the shapes (" in caught.value.__notes__[0]

    def overflowing(logits, targets, mask):
        p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        return -np.log(np.take_along_axis(p, targets[..., None], -1)[..., 0])[mask].mean()

    with np.errstate(all="ignore"), pytest.raises(AssertionError, match="loss holds nan or inf"):
        check("rnn.q3", overflowing)

    def in_place(x, h, p):
        h += 1
        return step(x, h - 1, p)

    with pytest.raises(AssertionError, match="changes one of its arguments in place"):
        check("rnn.q1", in_place)
    with pytest.raises(AssertionError, match=r"return a tuple \(output, h_T\), got ndarray"):
        check("rnn.q2", lambda x, h_0, p: x)
    with pytest.raises(AssertionError, match="asks for a function, got int"):
        check("rnn.q1", 3)


def test_unknown_questions_are_named():
    with pytest.raises(ValueError, match="no exercise has the topic 'lstn'"):
        check("lstn.q1", print)
    with pytest.raises(ValueError, match="rnn has the questions q1, q2, q3"):
        check("rnn.q99", print)


def test_wrong_machines_are_refused():
    solution = functions(nbformat.read(ROOT / "solutions/rnn.ipynb", as_version=4))

    def one_sided(c):
        params, output_params = solution["change_detector"](c)
        return params, output_params._replace(weight=np.array([[0.0, c, 0]]))

    with pytest.raises(AssertionError, match="the bit before is 1 and the bit is 0"):
        check("rnn.q4", one_sided, seed=0)
    with pytest.raises(AssertionError, match=r"one unit a row|weight must have shape \(V, H\)"):
        check("rnn.q4", lambda c: one_sided(c)[:1] + (OutputParams(np.zeros(3), np.zeros(1)),))
    with pytest.raises(AssertionError, match="return RNNParams and OutputParams"):
        check("rnn.q4", lambda c: one_sided(c)[0])
    with pytest.raises(AssertionError, match="too few: what does one zero do to the output"):
        check("rnn.q5", lambda scale: solution["zeros_until_wrong"](scale) - 1, seed=0)
    with pytest.raises(AssertionError, match="reads your string without a mistake"):
        check("rnn.q6", lambda scale: [1, 0, 1] * 1000, seed=0)
    check("rnn.q6", lambda scale: "".join(map(str, solution["breaking_string"](scale))), seed=0)


def test_wrong_leaks_and_default_reservoirs_are_refused():
    solution = functions(nbformat.read(ROOT / "solutions/bptt.ipynb", as_version=4))

    def forgets_the_leak(doutput, x, h, params, alpha):
        dx, dh_0, dparams, _ = solution["leaky_backward"](doutput, x, h, params, alpha)
        return dx, dh_0, dparams, 0.0

    with pytest.raises(AssertionError, match="with one step, the gradient of alpha differs .*bias_hh, .*x"):
        check("bptt.q5", forgets_the_leak, seed=0)

    def one_way_back(doutput, x, h, params, alpha):
        right = solution["leaky_backward"](doutput, x, h, params, alpha)
        if len(x) == 1:
            return right
        return solution["leaky_backward"](
            doutput * (np.arange(len(x)) > 0)[:, None, None], x, h, params, alpha
        )

    with pytest.raises(AssertionError, match="with several steps, the gradient of x"):
        check("bptt.q5", one_way_back, seed=0)
    rng = np.random.default_rng(0)
    with pytest.raises(AssertionError, match="95% are asked for"):
        check("bptt.q6", lambda lag: rnn_init(rng, 1, lag + 1), seed=0)
    with pytest.raises(AssertionError, match="use at most lag"):
        check("bptt.q6", lambda lag: rnn_init(rng, 1, 64), seed=0)
    with pytest.raises(AssertionError, match="return RNNParams, got NoneType"):
        check("bptt.q6", lambda lag: None, seed=0)


def test_a_missing_carry_is_named_however_it_is_written():
    def no_carry(doutput, dh_T, x, h, params):
        dh = doutput.copy()
        dh[-1] += dh_T
        da = dh * (1 - h[1:] ** 2)
        dweight_ih, dweight_hh = np.einsum("tbi,tbj->ij", da, x), np.einsum("tbi,tbj->ij", da, h[:-1])
        dparams = RNNParams(dweight_ih, dweight_hh, da.sum((0, 1)), da.sum((0, 1)))
        return da @ params.weight_ih, da[0] @ params.weight_hh, dparams

    with pytest.raises(AssertionError, match="the carry is missing"):
        check("bptt.q2", no_carry, seed=0)


@pytest.mark.parametrize("topic", TOPICS)
def test_points_are_as_announced(topic):
    notebook = nbformat.read(ROOT / f"solutions/{topic}.ipynb", as_version=4)
    points = sum(c.metadata.get("nbgrader", {}).get("points", 0) for c in notebook.cells)
    (announced,) = re.findall(r"(\d+) points", notebook.cells[0].source)
    assert points == int(announced) and 10 <= points <= 20
    ids = [c.metadata.nbgrader.grade_id for c in notebook.cells if "nbgrader" in c.metadata]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("topic", TOPICS)
def test_exercises_are_in_step_and_reproducible(topic):
    built = build_exercise(ROOT / f"solutions/{topic}.ipynb")
    assert built == build_exercise(ROOT / f"solutions/{topic}.ipynb")
    assert built == (ROOT / f"exercises/{topic}.ipynb").read_text("utf8")
    assert "BEGIN SOLUTION" not in built
    assert all(not cell.get("outputs") for cell in json.loads(built)["cells"])


SOURCE = """def f():
    ### BEGIN SOLUTION
    return 1
    ### END SOLUTION"""


def small_repository(tmp_path, source=SOURCE):
    """A repository with one solution notebook, to run commands in."""
    for folder in ("book", "solutions", "exercises"):
        (tmp_path / folder).mkdir()
    (tmp_path / "_toc.yml").write_text("root: book/index\n")
    graded = {"grade": False, "grade_id": "a", "locked": False, "schema_version": 3, "solution": True}
    points = {**graded, "grade": True, "grade_id": "a-check", "solution": False, "points": 7}
    cells = [
        nbformat.v4.new_code_cell(source, metadata={"nbgrader": graded}, id="a"),
        nbformat.v4.new_code_cell("print(f())", metadata={"nbgrader": points}, id="b"),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "solutions/small.ipynb")
    return tmp_path


def test_a_refreshed_solution_keeps_its_points(tmp_path):
    path = small_repository(tmp_path) / "solutions/small.ipynb"
    refresh(path)
    first = path.read_bytes()
    refresh(path)
    assert path.read_bytes() == first
    cells = nbformat.read(path, as_version=4).cells
    assert cells[1].metadata.nbgrader.points == 7
    assert cells[1].outputs[0].text == "1\n"


def test_commands_say_what_is_wrong_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(small_repository(tmp_path))
    run = CliRunner().invoke
    assert run(main, ["exercises", "build"]).exit_code == 0
    assert run(main, ["exercises", "check"]).exit_code == 0
    exercise = tmp_path / "exercises/small.ipynb"
    assert "return 1" not in exercise.read_text() and "raise NotImplementedError()" in exercise.read_text()
    exercise.write_text(exercise.read_text().replace("print(f())", "print(1)"))
    cases = [
        (["exercises", "check"], "exercises/small.ipynb is not what solutions/ gives: run make exercises"),
        (["exercises", "build", "lstn"], "unknown topic 'lstn': solutions/ has small"),
        (["refresh", "lstn"], "unknown topic 'lstn': book/ has no notebook"),
        (["experiment", "lstn"], "'lstn' has no long experiment"),
    ]
    for command, message in cases:
        result = run(main, command)
        assert result.exit_code == 2 and message in result.output and "Traceback" not in result.output
    exercise.unlink()
    assert run(main, ["exercises", "check"]).exit_code == 2
    monkeypatch.chdir(tmp_path / "book")
    result = run(main, ["refresh"])
    assert result.exit_code == 2 and "holds no _toc.yml" in result.output


def test_an_unpaired_mark_is_named(tmp_path):
    path = small_repository(tmp_path, "### BEGIN SOLUTION\nx = 1") / "solutions/small.ipynb"
    with pytest.raises(ValueError, match="small.ipynb, cell a: a solution cell needs"):
        build_exercise(path)


def test_the_book_can_be_built_without_solutions():
    toc = (ROOT / "_toc.yml").read_text("utf8")
    kept = re.sub(r"  - caption: Solutions\n(?s:.*?)(?=  - caption: Looking up\n)", "", toc)
    assert "solutions/" in toc and "solutions/" not in kept
    pages = [*(ROOT / "book").glob("*.ipynb"), *(ROOT / "book").glob("*.md"), *(ROOT / "exercises").iterdir()]
    assert [page.name for page in pages if "solutions/" in page.read_text("utf8")] == []

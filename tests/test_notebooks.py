"""What every notebook holds to, and the mirror of names between the folders. Nothing is executed."""

import ast
import copy
import json
import re
import subprocess
from pathlib import Path

import nbformat
import pytest

from rnncourse import refresh

ROOT = Path(__file__).parents[1]
BOOK, SOLUTIONS = (sorted((ROOT / folder).glob("*.ipynb")) for folder in ("book", "solutions"))
NOTEBOOKS = BOOK + SOLUTIONS
UNCOMPARED = "nbval-ignore-output"


def name(path):
    return path.relative_to(ROOT).as_posix()


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=name)


def code_cells(path):
    """The places and cells of the notebook's code that is not empty."""
    cells = enumerate(nbformat.read(path, as_version=4).cells)
    return [(place, cell) for place, cell in cells if cell.cell_type == "code" and cell.source.strip()]


def uncompared(cell):
    return UNCOMPARED in cell.metadata.get("tags", [])


@each(NOTEBOOKS)
def test_a_notebook_was_run_once_in_order(path):
    # nbval does not compare a cell without a count.
    counts = [cell.execution_count for _, cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1))


@each(BOOK)
def test_code_cells_are_short(path):
    lines = {place: len(cell.source.splitlines()) for place, cell in code_cells(path)}
    assert {place: count for place, count in lines.items() if count > 25} == {}


def is_prose(cell):
    """Whether a cell says something beyond headings and labels."""
    lines = re.sub(r"^(#+ .*|\(.*\)=|\+\+\+.*)$", "", cell.source, flags=re.M)
    return cell.cell_type == "markdown" and bool(lines.strip())


@each(BOOK)
def test_prose_stands_between_code_cells(path):
    cells = nbformat.read(path, as_version=4).cells
    places = [place for place, _ in code_cells(path)]
    pairs = zip(places, places[1:], strict=False)
    assert [pair for pair in pairs if not any(map(is_prose, cells[slice(*pair)]))] == []


BLOCKS = re.compile(r"^:::\{(exercise|solution|admonition)\} ?(.*)\n((?::[a-z]+:.*\n)*)(?:.*\n)*?:::$", re.M)


@each([path for path in BOOK if (ROOT / "solutions" / path.name).exists()])
def test_exercises_on_the_page_have_a_folded_hint_then_a_folded_solution(path):
    text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
    blocks = [match.groups() for match in BLOCKS.finditer(text)]
    starts = [place for place, (kind, *_) in enumerate(blocks) if kind == "exercise"]
    assert 3 <= len(starts) == text.count(":::{exercise}") <= 6
    for start in starts:
        (_, _, label), hint, solution = blocks[start : start + 3]
        assert hint == ("admonition", "Hint", ":class: hint dropdown\n"), label
        assert solution == ("solution", label.split()[-1], ":class: dropdown\n")


@each(BOOK)
def test_long_proofs_fold(path):
    """sphinx-proof's own block does not fold: a long proof is an admonition of class dropdown."""
    for cell in nbformat.read(path, as_version=4).cells:
        for proof in re.findall(r"^:::\{prf:proof\}.*?^:::$", cell.source, re.M | re.S):
            assert len(proof) < 500, proof[:80]


@each(BOOK)
def test_figures_have_alternative_texts_and_captions(path):
    bare = []
    for place, cell in code_cells(path):
        if any(kind.startswith("image/") for output in cell.outputs for kind in output.get("data", {})):
            mystnb = cell.metadata.get("mystnb", {})
            figure = mystnb.get("figure", {})
            named_without_caption = figure.get("name") and not figure.get("caption", "").strip()
            if not mystnb.get("image", {}).get("alt", "").strip() or named_without_caption:
                bare.append(place)
    assert bare == []


@each(BOOK)
def test_few_outputs_are_left_uncompared(path):
    with_output = [cell for _, cell in code_cells(path) if cell.outputs]
    assert sum(map(uncompared, with_output)) <= 0.15 * len(with_output)


@each(NOTEBOOKS)
def test_uncompared_cells_assert_what_they_claim(path):
    silent = [
        place
        for place, cell in code_cells(path)
        if uncompared(cell)
        and not any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(cell.source)))
    ]
    assert silent == []


@each(NOTEBOOKS)
def test_comparison_is_switched_off_in_one_way_only(path):
    others = {"nbval-skip", "nbval-check-output", "nbval-raises-exception", "raises-exception"}
    switched = [
        place
        for place, cell in code_cells(path)
        if others & set(cell.metadata.get("tags", []))
        or re.search(r"#\s*(NBVAL|PYTEST_VALIDATE)_", cell.source)
    ]
    assert switched == []


@each(NOTEBOOKS)
def test_stored_outputs_are_clean(path):
    """No error, nothing on stderr, and nothing that differs from machine to machine or from run to run."""
    unclean = []
    for place, cell in code_cells(path):
        for output in cell.outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                unclean.append((place, output.get("ename", "stderr")))
            found = re.search(
                r"(?<![\w.+])/(home|work|tmp|root|Users)\b|\bat 0x[0-9a-f]+", json.dumps(output)
            )
            if found:
                unclean.append((place, found[0]))
    assert unclean == []


@each(NOTEBOOKS)
def test_a_notebook_is_as_refresh_writes_it(path):
    notebook = nbformat.read(path, as_version=4)
    expected = nbformat.writes(refresh._normalised(copy.deepcopy(notebook))) + "\n"
    assert path.read_text("utf8") == expected


PACKAGE = ROOT / "rnncourse"
# Folders of the package that are no rooms, and files that a topic does without: each with the reason.
EXCEPTIONS = {
    "rnncourse/bleu/torch.py": "BLEU counts words and is no part of a gradient: nothing for tensors to do",
    "rnncourse/ngram/torch.py": "an n-gram model is a table of counts: nothing for tensors to do",
    "rnncourse/data": "corpora and tasks that rooms share",
    "rnncourse/grading": "runs the checks of every room's exercise",
    "rnncourse/optim": "optimisers that rooms share; NumPy only, torch.optim is the twin",
    "rnncourse/welcome": "the first page's figures; they belong to no chapter",
}
TOP_LEVEL = set(
    "book rnncourse exercises solutions tests benchmarks .ci .binder _config.yml _toc.yml requirements.txt "
    "pyproject.toml Makefile README.md CONTRIBUTING.md conftest.py LICENSE LICENSE-text .gitignore".split()
)
FOLDERS = [path for path in sorted(PACKAGE.iterdir()) if (path / "__init__.py").exists()]
ROOMS = [path for path in FOLDERS if (path / "numpy.py").exists() or (path / "torch.py").exists()]
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "tests").glob("*.py")])


def test_every_topic_has_the_same_name_in_every_folder():
    folders = ("book", "exercises", "solutions")
    topics = {room.name for room in ROOMS}
    topics |= {path.stem for folder in folders for path in (ROOT / folder).glob("*.ipynb")}
    wanted = {f"{folder}/{topic}.ipynb" for folder in folders for topic in topics}
    wanted |= {f"tests/test_{topic}.py" for topic in topics}
    wanted |= {f"rnncourse/{topic}/{half}.py" for topic in topics for half in ("numpy", "torch")}
    missing = {file for file in wanted if not (ROOT / file).exists()}
    assert missing | {name(path) for path in FOLDERS if path not in ROOMS} == set(EXCEPTIONS)


@each(ROOMS)
def test_a_room_opens_with_a_docstring_only(path):
    (docstring,) = ast.parse((path / "__init__.py").read_text("utf8")).body
    assert isinstance(docstring, ast.Expr) and isinstance(docstring.value.value, str)


def imports(source):
    """Every import as (module, name or None), wherever it stands; a relative one keeps its dots."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield from (("." * node.level + (node.module or ""), alias.name) for alias in node.names)


def imported(source):
    """Every dotted name that an import may load."""
    return {found for module, item in imports(source) for found in (module, f"{module}.{item}")}


@each(ROOMS)
def test_the_two_halves_of_a_room_are_apart(path):
    for half, other in (("numpy", {"torch"}), ("torch", {f"rnncourse.{path.name}.numpy"})):
        file = path / f"{half}.py"
        if file.exists():
            found = imported(file.read_text("utf8"))
            assert not found & other
            if half == "numpy":
                assert not [loaded for loaded in found if re.match(r"torch\.|rnncourse\.\w+\.torch", loaded)]


@pytest.mark.parametrize("path", SOURCES + NOTEBOOKS + sorted((ROOT / "exercises").glob("*.ipynb")), ids=name)
def test_functions_are_imported_absolutely_and_modules_of_rooms_are_not(path):
    cells = (
        [cell.source for _, cell in code_cells(path)] if path.suffix == ".ipynb" else [path.read_text("utf8")]
    )
    rooms = "|".join(room.name for room in ROOMS)
    module = re.compile(rf"rnncourse\.({rooms})(\.(numpy|torch))?")
    wrong = [
        (origin, item)
        for cell in cells
        for origin, item in imports(cell)
        if origin.startswith(".") or module.fullmatch(origin if item is None else f"{origin}.{item}")
    ]
    assert wrong == []


def test_the_top_level_holds_what_the_design_names():
    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)

    inside = git("rev-parse", "--show-toplevel")
    if inside.returncode or not ROOT.samefile(inside.stdout.strip()):
        pytest.skip("not a git checkout")
    tracked = {path.split("/")[0] for path in git("ls-files").stdout.splitlines()}
    assert tracked and tracked - TOP_LEVEL == set()

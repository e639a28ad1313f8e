"""The prose of the course, without code and maths: pages, notebooks with captions, README, docstrings."""

import ast
import json
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("book", "solutions", "exercises")
CAPTIONS = (("image", "alt"), ("figure", "caption"))

# What Markdown holds beside prose, in the order in which it is taken out.
CODE = re.compile(
    r"^[ \t]*(`{3,}|~{3,})(?!\{(?:glossary|admonition|prf:|exercise|solution)).*\n(?:.*\n)*?[ \t]*\1[ \t]*$"
    r"|(?:\{[\w:+-]+\})?(`+)(?:(?!\n\n)[^`])+?\2"  # code and roles
    r"|\$\$(?:(?!\n\n)[\s\S])*?\$\$(?:[ \t]*\([\w-]+\))?|\$(?:(?!\n\n)[^$])+\$"  # maths
    r"|^[ \t]*(?:`{3,}|:{3,})(?:\{.*\}.*)?$|^[ \t]*:[\w-]+:.*$|^\([\w-]+\)=[ \t]*$"  # directives
    r"|\]\([^)\s]*\)|<[^>\n]*>|https?://\S+|^%.*$"  # links, tags, comments
    r"|\b(?:book|exercises|solutions|rnncourse|tests)/[\w./-]*\w"  # paths
    r"|\w[\w/-]*\.(?:md|py|ipynb|txt|tsv|css|js|json|yml|bib|pdf|arpa)\b|\{\w+\}",  # files, places to fill in
    re.M,
)
# In a docstring, further: indented examples, what a section lists, names of the code and quoted values.
LISTED = re.compile(
    r"(?<=::\n\n)(?:[ ]+.*\n|\n)+|^[ ]*[\w*, ]+ : .*$|^[ ]*-{3,}$"
    r"|:\w+:`[^`]*`|``[^`]*``|^[ ]*>>> .*$|\b\w+(?:[._]\w+)+\b|\"[\w-]+\"",
    re.M,
)
# Matplotlib's own words.
PLACE = re.compile("(upper|lower|center) (left|center|right)")


def strip(markdown):
    """Markdown less what is not prose, line by line; a sign stands where something was."""
    # The title after a directive's name is prose.
    text = re.sub(r"^([ \t]*[`:]{3,}\{(?:admonition|prf:\w+|grid-item-card)\})", "", markdown, flags=re.M)
    return CODE.sub(lambda found: "\n" * found[0].count("\n") or " ¤ ", text)


def _cells(file):
    for place, cell in enumerate(json.loads(file.read_text("utf8"))["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            yield f"cell {place}", strip(source)
        shown = cell["metadata"].get("mystnb", {})
        for kind, key in CAPTIONS:
            if text := shown.get(kind, {}).get(key):
                yield f"cell {place}, {key}", strip(text)


def _docstrings(file):
    for node in ast.walk(ast.parse(file.read_text("utf8"))):
        text = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node)
        if text:
            yield getattr(node, "name", "module"), strip(LISTED.sub(" ¤ ", text))


@cache
def pages():
    """The prose as (file from the root, place in it, text)."""
    return list(_pages())


def _pages():
    for file in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("book/*.md"))]:
        yield file.relative_to(ROOT).as_posix(), "page", strip(file.read_text("utf8"))
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).glob("*.ipynb")):
            yield from ((file.relative_to(ROOT).as_posix(), *part) for part in _cells(file))
    for file in sorted((ROOT / "rnncourse").rglob("*.py")):
        yield from ((file.relative_to(ROOT).as_posix(), *part) for part in _docstrings(file))


@cache
def labels():
    """What figures and printed lines of the notebooks say, as :func:`pages`: strings that hold a blank."""
    return list(_labels())


def _labels():
    for folder in FOLDERS[:2]:
        for file in sorted((ROOT / folder).glob("*.ipynb")):
            for place, cell in enumerate(json.loads(file.read_text("utf8"))["cells"]):
                if cell["cell_type"] == "code":
                    nodes = ast.walk(ast.parse("".join(cell["source"])))
                    texts = [node.value for node in nodes if isinstance(node, ast.Constant)]
                    said = [text for text in texts if isinstance(text, str) and " " in text.strip()]
                    said = [text for text in said if not PLACE.fullmatch(text)]
                    yield file.relative_to(ROOT).as_posix(), f"cell {place}, code", "\n".join(said)

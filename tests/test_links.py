"""The links inside the book, and inside the one for a class, which has no solutions."""

import os
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from browser import book
from lxml import html

ROOT = Path(__file__).parents[1]
CLASS = ROOT / "_build" / "class" / "_build" / "html"


def dead_links(folder):
    """Links of a built book that lead to no page or no anchor of it, and how many lead inside it."""
    found = {}
    for file in sorted(folder.rglob("*.html")):
        name = file.relative_to(folder).as_posix()
        if not name.startswith("_"):
            tree = html.fromstring(file.read_bytes())
            found[name] = set(tree.xpath("//@id | //a/@name")), set(tree.xpath("//a/@href | //area/@href"))
    dead, count = [], 0
    for page, (_, links) in found.items():
        for link in links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link in ("", "#"):
                continue
            count += 1
            target = folder / page
            if parts.path:
                target = target.parent.joinpath(unquote(parts.path)).resolve()
            if not target.is_file() or not target.is_relative_to(folder):
                dead.append(f"{page}: {link}")
            elif target.suffix == ".html" and parts.fragment:
                name = target.relative_to(folder).as_posix()
                if name in found and unquote(parts.fragment) not in found[name][0]:
                    dead.append(f"{page}: {link}")
    return dead, count


def test_links_inside_the_book_lead_to_a_page_and_an_anchor():
    dead, count = dead_links(book())
    assert dead == []
    assert count > 1000


@pytest.mark.slow
def test_the_book_for_a_class_has_no_answers_and_no_link_to_one():
    command = ["make", "--no-print-directory", "book", "SOLUTIONS=no"]
    run = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"MAKEFLAGS": ""}
    )
    assert run.returncode == 0, run.stdout + run.stderr
    dead, count = dead_links(CLASS)
    assert dead == []
    assert count > 1000
    assert not (CLASS / "solutions").exists()
    text = "".join(file.read_text("utf8") for file in CLASS.rglob("*.html"))
    sources = "".join(file.read_text("utf8") for file in (CLASS / "_sources").rglob("*.ipynb"))
    assert sources
    for path in (ROOT / "solutions").glob("*.ipynb"):
        assert f"exercises/{path.stem}" in text
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.metadata.get("nbgrader", {}).get("solution") and cell.cell_type == "markdown":
                answer = cell.source.splitlines()[-1]
                assert len(answer) > 20
                assert answer not in text and answer not in sources, path.stem

"""The glossary: its entries, their marks in the chapters, and what the book's search finds."""

import json
import re
import sys
from functools import cache

import pytest
from browser import book, chromium
from prose import ROOT, pages

sys.path.append(str(ROOT / "book" / "_ext"))
from terms import entries, finder  # noqa: E402

HTML = ROOT / "_build" / "html"
ENTRIES = entries(ROOT)
CHAPTERS = sorted(file.stem for file in (ROOT / "book").glob("*.ipynb"))
# What one looks for by name, and where it must lead.
SOUGHT = {
    "Kneser-Ney": "book/ngram",
    "nucleus": "book/language_model",
    "perplexity": "book/ngram",
    "clipping by norm": "book/gradients",
    "BPTT": "book/bptt",
    "peephole": "book/lstm",
    "brevity penalty": "book/bleu",
}


def test_entries_are_sorted_and_no_term_stands_twice():
    assert list(ENTRIES) == sorted(ENTRIES, key=str.lower)
    names = [name.lower() for all_names, *_ in ENTRIES.values() for name in all_names]
    assert [name for name in names if names.count(name) > 1] == []


def test_definitions_are_short_and_plain():
    """The text is shown by itself beside the term, so it holds neither maths nor markup."""
    texts = {term: definition for term, (_, definition, _) in ENTRIES.items()}
    assert [term for term, text in texts.items() if not 20 <= len(text) <= 240 or text[-1] not in ".?"] == []
    assert [term for term, text in texts.items() if re.search(r"[$`*\[\]{}\\]", text)] == []


def test_every_entry_leads_to_its_chapter():
    """And one of a chapter in work says so, until the chapter is there."""
    wrong = []
    for term, (*_, links) in ENTRIES.items():
        found = re.findall(r"\]\((\w+)\.ipynb\)", links)
        planned = re.fullmatch(r"In work: `(\w+)`\.", links)
        if planned and planned[1] in CHAPTERS:
            wrong.append(f"{term}: {planned[1]} is there now, link to it")
        elif not planned and not (found and set(found) <= set(CHAPTERS)):
            wrong.append(f"{term}: {links or 'no link'}")
    assert wrong == []


def test_every_term_is_used_in_a_chapter():
    find, used = finder(ROOT), set()
    for file, _, text in pages():
        if file.startswith("book/") and file.endswith(".ipynb"):
            used |= {term for _, term in find(text)}
    planned = {term for term, (*_, links) in ENTRIES.items() if links.startswith("In work")}
    assert set(ENTRIES) - used - planned == set()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The hidden states\nand gates.", ["hidden state", "gate"]),
        ("A half-hidden state, an un-gate", []),
        ("Modified Kneser-Ney before Kneser-Ney", ["modified Kneser-Ney", "Kneser-Ney"]),
        ("entropies, RTRL, the GRU's", ["entropy", "real-time recurrent learning", "gated recurrent unit"]),
    ],
)
def test_uses_are_found(text, expected):
    assert [term for _, term in finder(ROOT)(text)] == expected


@cache
def search_index():
    text = (HTML / "searchindex.js").read_text("utf8")
    return json.loads(text[text.index("(") + 1 : text.rindex(")")])


@pytest.mark.parametrize("sought", SOUGHT)
def test_search_index_has_the_names_of_formulas(sought):
    """Each word of the name, in the form that the search looks for, names the page."""
    from sphinx.search.en import SearchEnglish

    index, stemmer = search_index(), SearchEnglish({})
    place = index["docnames"].index(SOUGHT[sought])
    for word in stemmer.split(sought.lower()):
        if word not in stemmer.stopwords:
            found = [index[part].get(stemmer.stem(word), []) for part in ("terms", "titleterms")]
            assert any(place == hits or isinstance(hits, list) and place in hits for hits in found), word


@pytest.mark.browser
def test_a_term_shows_its_definition_by_mouse_keyboard_and_tap():
    book()
    with chromium() as browser:
        page = browser.new_page(
            viewport={"width": 390, "height": 844}, has_touch=True, reduced_motion="reduce"
        )
        page.goto((HTML / "book" / "bptt.html").as_uri())
        definition, link = page.locator(".term-definition:visible"), page.locator("a.term").nth(3)
        text = page.locator(f"#{link.get_attribute('aria-describedby')}")
        link.scroll_into_view_if_needed()
        for ask, leave in [
            (link.hover, lambda: page.mouse.move(0, 0)),
            (link.focus, lambda: page.keyboard.press("Escape")),
            (link.tap, lambda: page.touchscreen.tap(5, 400)),
        ]:
            ask()
            definition.wait_for()
            assert definition.count() == 1 and definition.inner_text() == text.inner_text() != ""
            box = definition.bounding_box()
            assert box["x"] >= 0 and box["x"] + box["width"] <= 390
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            leave()
            definition.wait_for(state="hidden")
            link.blur()
        link.tap()
        link.tap()
        page.wait_for_url("**/glossary.html#term-*")

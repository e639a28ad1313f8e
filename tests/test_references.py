"""The bibliography: every entry says who, what, where and when; each is cited, and they are sorted."""

import json
import re
from collections import Counter

from prose import ROOT
from pybtex.database import parse_file

FILE = ROOT / "book" / "references.bib"
ENTRIES = parse_file(FILE).entries
# Where a work of each type appeared.
VENUES = {
    "article": {"journal"},
    "book": {"publisher"},
    "incollection": {"booktitle", "publisher"},
    "inproceedings": {"booktitle"},
    "misc": {"howpublished"},
    "phdthesis": {"school"},
    "mastersthesis": {"school"},
    "techreport": {"institution"},
    "unpublished": {"note"},
}


def cited():
    """The keys that pages and notebooks cite."""
    texts = [file.read_text("utf8") for file in ROOT.glob("book/*.md")]
    for file in [*ROOT.glob("book/*.ipynb"), *ROOT.glob("solutions/*.ipynb")]:
        cells = json.loads(file.read_text("utf8"))["cells"]
        texts += ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    found = [key for text in texts for key in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text)]
    return {key.strip() for keys in found for key in keys.split(",")}


def test_entries_say_who_what_where_and_when():
    wrong = []
    for key, entry in ENTRIES.items():
        wanted = {"title", "year"} | VENUES.get(entry.type, {"a known type"})
        missing = {name for name in wanted if not entry.fields.get(name, "").strip()}
        if not (entry.persons.get("author") or entry.persons.get("editor")):
            missing.add("author")
        if missing:
            wrong.append(f"{key}: no {', '.join(sorted(missing))}")
    assert wrong == []


def test_fields_have_one_form():
    wrong = []
    for key, entry in ENTRIES.items():
        fields = entry.fields
        if not re.fullmatch(r"(17|18|19|20)\d\d", fields["year"]):
            wrong.append(f"{key}: year {fields['year']}")
        if not re.fullmatch(r"S?\d+(--\d+)?", fields.get("pages", "1")):
            wrong.append(f"{key}: pages {fields['pages']}")
        venue = fields.get("journal", "")
        if "arxiv" in venue.lower() and not re.fullmatch(r"arXiv:\d{4}\.\d{4,5}", venue):
            wrong.append(f"{key}: {venue}")
        names = [str(person) for person in entry.persons.get("author", [])]
        # "Surname, Given": both parts, so that sorting and initials are right; of many authors the first few.
        names = names[:-1] if len(names) > 3 and names[-1] == "others" else names
        wrong += [f"{key}: author {name}" for name in names if not re.fullmatch(r"[^,]+, [^,]+", name)]
        if any(text != text.strip(" .,") for name, text in fields.items() if name not in ("note", "edition")):
            wrong.append(f"{key}: a field ends in a full stop or comma")
    assert wrong == []


def test_keys_are_the_first_author_and_the_year():
    wrong = []
    for key, entry in ENTRIES.items():
        people = entry.persons.get("author") or entry.persons["editor"]
        name = "".join(people[0].prelast_names + people[0].last_names)
        plain = re.sub(r"[^a-z]", "", re.sub(r"\\\W|\\[a-z]+ ", "", name).lower())
        if not re.fullmatch(plain + entry.fields["year"] + "[a-z]*", key):
            wrong.append(f"{key}: {plain}{entry.fields['year']}")
    assert wrong == []


def test_entries_are_sorted_and_none_stands_twice():
    keys = list(ENTRIES)
    assert keys == sorted(keys)
    titles = Counter(re.sub(r"\W", "", entry.fields["title"].lower()) for entry in ENTRIES.values())
    assert [title for title, count in titles.items() if count > 1] == []


def test_every_entry_is_cited_and_every_citation_has_one():
    assert set(ENTRIES) - cited() == set()
    assert cited() - set(ENTRIES) == set()

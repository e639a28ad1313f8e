"""Terms of book/glossary.md: the first use in each chapter shows the definition; the glossary is the index.

The definitions of a page's terms stand hidden at its end; ``terms.js`` shows them at hover, focus and tap.
"""

import re
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx import addnodes

GLOSSARY = "book/glossary"
# Headings, links, names of the code and formulas stay as they are.
SKIPPED = (nodes.title, nodes.rubric, nodes.caption, nodes.reference, addnodes.pending_xref, nodes.literal)
SKIPPED += (nodes.literal_block, nodes.math, nodes.math_block, nodes.raw, nodes.label)


def entries(root):
    """The glossary's entries as {first name: (all names, definition, the rest)}."""
    text = Path(root, GLOSSARY + ".md").read_text("utf8")
    found = {}
    for block in re.split(r"\n\n(?=\S)", re.search(r"^```\{glossary\}\n(.*?)\n```$", text, re.M | re.S)[1]):
        names = re.findall(r"^\S.*", block, re.M)
        definition, _, rest = block[len("\n".join(names)) :].strip().partition("\n\n")
        found[names[0]] = names, " ".join(definition.split()), rest.strip()
    return found


def finder(root):
    """A function of a text that yields (match, first name of the entry) for each use of a term."""
    names = {name: first for first, (all_names, *_) in entries(root).items() for name in all_names}
    ordered = sorted(names, key=len, reverse=True)  # "hidden state" before "state"
    forms = "|".join(f"({_form(name)})" for name in ordered)
    pattern = re.compile(rf"(?<![\w-])(?:{forms})(?![\w-])")
    return lambda text: ((use, names[ordered[use.lastindex - 1]]) for use in pattern.finditer(text))


def _form(name):
    """A term at the beginning of a sentence, in the plural or over the end of a line."""
    start = f"[{name[0]}{name[0].upper()}]" if name[0].islower() else re.escape(name[0])
    form = start + re.escape(name[1:]).replace(r"\ ", r"\s+")
    return f"{form[:-1]}(?:y|ies)" if form.endswith("y") else f"{form}(?:s|es)?"


def first_uses(doctree, find):
    """Yield (node, match, entry) of the first use of each term in the prose of a page."""
    seen = set()
    for text in list(doctree.findall(nodes.Text)):
        node = text.parent
        while node and not isinstance(node, SKIPPED):
            node = node.parent
        for use, term in [] if node else find(text.astext()):
            if term not in seen:
                seen.add(term)
                yield text, use, term


def _chapters(env):
    """The chapters that this build has, in the order of reading."""
    order = re.findall(r"file:\s*(book/\S+)", Path(env.srcdir, "_toc.yml").read_text("utf8"))
    return [page for page in order if page in env.found_docs and env.doc2path(page).endswith(".ipynb")]


def _slug(env, term):
    """What the anchors of a term have in common."""
    return env.get_domain("std").objects["term", term][1].removeprefix("term-")


def _resolved(app, doctree, docname):
    if app.builder.format != "html":
        return
    if docname in _chapters(app.env):
        _mark(app, doctree, docname)
    if docname == GLOSSARY:
        _index(app, doctree)


def _mark(app, doctree, docname):
    """Make the first uses links to the glossary."""
    uses = {}
    for text, use, term in first_uses(doctree, finder(app.srcdir)):
        uses.setdefault(text, []).append((use, _slug(app.env, term)))
    page = app.builder.get_relative_uri(docname, GLOSSARY)
    for text, found in uses.items():
        parts, end = [], 0
        for use, slug in found:
            parts.append(nodes.Text(text[end : use.start()]))
            place = {"refuri": f"{page}#term-{slug}", "ids": [f"use-{slug}"], "classes": ["term"]}
            parts.append(nodes.reference("", use[0], internal=True, **place))
            end = use.end()
        text.parent.replace(text, [*parts, nodes.Text(text[end:])])


def _index(app, doctree):
    """Say under each term which chapters use it, with links to the first use in each."""
    users, find = {}, finder(app.srcdir)
    for chapter in _chapters(app.env):
        for *_, term in first_uses(app.env.get_doctree(chapter), find):
            users.setdefault(term, []).append(chapter)
    for term, chapters in users.items():
        slug, line = _slug(app.env, term), nodes.paragraph("", "Used in: ", classes=["uses"])
        for chapter in chapters:
            line += [nodes.Text(", ")] if chapter != chapters[0] else []
            uri = f"{app.builder.get_relative_uri(GLOSSARY, chapter)}#use-{slug}"
            line += nodes.reference("", chapter[5:].replace("_", " "), internal=True, refuri=uri)
        next(node for node in doctree.findall(nodes.term) if f"term-{slug}" in node["ids"]).parent[-1] += line


def _definitions(app, pagename, templatename, context, doctree):
    """Put the definitions of the terms that a page links at its end, hidden and out of the search."""
    links = doctree.findall(nodes.reference) if doctree else []
    used = {link["ids"][0] for link in links if "term" in link["classes"]}
    for term, (names, definition, _) in entries(app.srcdir).items() if used else ():
        slug = _slug(app.env, term)
        if f"use-{slug}" in used:
            tip = f'<div class="term-definition" role="tooltip" id="definition-{slug}" hidden>'
            context["body"] += f"{tip}<b>{escape(', '.join(names))}</b>: {escape(definition)}</div>\n"
    if used:
        app.add_js_file("terms.js", loading_method="defer")


def _outdated(app, env, added, changed, removed):
    """The glossary is shown in every chapter, and the uses in the chapters in the glossary."""
    touched = added | changed
    if GLOSSARY in touched:
        return _chapters(env)
    return [GLOSSARY] if removed or touched.intersection(_chapters(env)) else []


def setup(app):
    """Register what marks the terms."""
    app.connect("env-get-outdated", _outdated)
    app.connect("doctree-resolved", _resolved)
    app.connect("html-page-context", _definitions)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

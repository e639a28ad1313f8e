"""What every page of the API reference gets at the build: the list of its functions, and no empty words."""

from docutils import nodes
from sphinx import addnodes

FOLDER = "book/api/"


def _list_functions(app, doctree):
    """Put links to all functions and classes of the page below its first paragraph."""
    if not app.env.docname.startswith(FOLDER):
        return
    modules = {}
    for signature in doctree.findall(addnodes.desc_signature):
        if signature.get("ids") and "." not in signature["fullname"]:
            name = nodes.literal("", signature["fullname"])
            link = nodes.reference("", "", name, refid=signature["ids"][0], internal=True)
            modules.setdefault(signature["module"], []).append(link)
    items = []
    for module, links in modules.items():
        line = nodes.paragraph("", "", nodes.literal("", module), nodes.Text(": "))
        for place, link in enumerate(links):
            line += [nodes.Text(", "), link] if place else [link]
        items.append(nodes.list_item("", line))
    first = next(doctree.findall(nodes.paragraph))
    first.parent.insert(first.parent.index(first) + 1, nodes.bullet_list("", *items, classes=["functions"]))


def _drop_aliases(app, what, name, obj, options, lines):
    """A field of a tuple without a docstring has Python's own, "Alias for field number 2": no news."""
    if lines and lines[0].startswith("Alias for field number"):
        lines.clear()


def setup(app):
    """Register the events."""
    app.connect("doctree-read", _list_functions)
    app.connect("autodoc-process-docstring", _drop_aliases)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

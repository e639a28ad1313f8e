"""What every chapter's page gets at the build: boxes for wide figures, and where to go on at its end."""

from html import escape

from docutils import nodes


def _box_figures(app, doctree, docname):
    """Put the picture of a figure in a box of its own, so that it can scroll while its caption stays."""
    for figure in list(doctree.findall(nodes.figure)):
        for image in [child for child in figure.children if isinstance(child, nodes.image)]:
            figure.replace(image, nodes.container("", image, classes=["wide"]))


def _link(address, text):
    return f'<a class="reference internal" href="{escape(address)}">{text}</a>'


def _modules(app, pathto, topic):
    """Links to a room's modules: the reference, and the source, which sphinx.ext.viewcode shows."""
    for name, module in sorted(app.env.get_domain("py").modules.items()):
        if name.startswith(f"rnncourse.{topic}."):
            reference = _link(f"{pathto(module.docname)}#{module.node_id}", f"<code>{name}</code>")
            source = pathto("_modules/" + name.replace(".", "/"))
            yield f"{reference} ({_link(source, 'source')})"


def _finish_page(app, pagename, templatename, context, doctree):
    if doctree is None:
        return
    # docutils gives the bibliography roles whose children do not fit them.
    body = context["body"].replace('<div role="list" class="citation-list">', '<div class="citation-list">')
    context["body"] = body.replace(' role="doc-biblioentry"', "")
    folder, _, topic = pagename.partition("/")
    if folder != "book" or f"exercises/{topic}" not in app.env.found_docs:
        return
    pathto, later = context["pathto"], context.get("next")
    last = not later or "exercises/" in later["link"]
    onward = "the map of the chapters; this is the last one"
    target = (pathto("book/index"), onward) if last else (later["link"], later["title"])
    lines = [f"<strong>Next:</strong> {_link(*target)}"]
    graded = _link(pathto(f"exercises/{topic}"), "write it yourself and have it checked")
    lines.append(f"<strong>Graded notebook:</strong> {graded}")
    console = _link(f"{pathto('book/python')}#{topic}", "the NumPy half, with an example to change")
    lines.append(f"<strong>Python in the browser:</strong> {console}")
    modules = ", ".join(_modules(app, pathto, topic))
    lines.append(f"<strong>Code of this chapter:</strong> {modules}")
    if url := app.config.html_theme_options.get("repository_url"):
        clone = f"<code>!git clone --depth 1 {escape(url)} course &amp;&amp; pip install ./course</code>"
        place = "<code>%cd course/book</code>"  # where the records of the experiments are found
        lines.append(f"<strong>On Colab</strong> run {clone} and {place} in a cell above the first")
    items = "".join(f"<li>{line}</li>" for line in lines)
    context["body"] += f'<nav class="chapter-end" aria-label="After this chapter"><ul>{items}</ul></nav>'


def setup(app):
    """Register the events."""
    app.connect("doctree-resolved", _box_figures)
    app.connect("html-page-context", _finish_page)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

"""Make the book self-contained: no page asks any other host for anything.

* MathJax comes from the PyPI package ``sphinx-mathjax-offline``; only the files that pages need are copied.
* anywidgets are run by ``anywidget-static.js`` (beside this file): no kernel, no require.js, no html-manager.
* Scripts and styles that extensions want from a CDN are dropped, and files that no page here uses;
  figures are made lighter, on the pages and in the notebooks for download.
* The finished pages are scanned: an external asset is a warning, with ``jupyter-book build -W`` an error.

The buttons that lead to the repository, its issues, Colab and Binder appear when ``repository.url`` in
_config.yml is set; asked for there, they would stop Jupyter Book while it is empty.
"""

import json
import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import sphinx_thebe
from sphinx.util import logging

HERE = Path(__file__).parent
LOG = logging.getLogger(__name__)
ASSET = re.compile(
    r"""<(?:script|link|img|iframe|source|video|audio|track|embed|object)\b[^>]*?\s"""
    r"""(?:src|srcset|href|data|poster)\s*=\s*["']?((?:https?:)?//[^"'\s>]+)""",
    re.I,
)
CSS_URL = re.compile(r"""(?:@import\s+(?:url\()?|url\()\s*["']?((?:https?:)?//[^"')\s]+)""", re.I)


# 1.5 MB of script for icons that the style sheet draws as well, and fonts fetched whether used or not.
ICONS = re.compile(
    r'\s*<(?:script\b[^>]*/fontawesome/[^>]*></script>|link\b[^>]*rel="preload"[^>]*/fontawesome/[^>]*>)'
)
# The theme's button that unfolds a part of the sidebar has no name.
FOLD = (
    '<summary><span class="toctree-toggle"',
    '<summary aria-label="its pages"><span class="toctree-toggle"',
)
# No page loads them: that script, sources of minified files, fonts for old browsers, translations.
UNUSED = ["vendor/fontawesome/*/js", "**/*.map", "vendor/fontawesome/*/webfonts/*.ttf", "locales"]


def _configure(app, config):
    config.mathjax_path = "mathjax/tex-chtml.js"
    config.nb_ipywidgets_js = {"anywidget-static.js": {}}
    config.html_context.setdefault("default_mode", "light")
    options = config.html_theme_options
    options["navbar_persistent"] = []  # sphinx-book-theme 1.3 would show a second search box
    url = options.get("repository_url")
    if url:
        options |= {"use_repository_button": True, "use_issues_button": True}
        options["launch_buttons"] = {
            "notebook_interface": "jupyterlab",
            "binderhub_url": "https://mybinder.org",
            # Colab opens notebooks from GitHub only.
            "colab_url": "https://colab.research.google.com" if "github.com" in url else "",
        }
    for files in (app.registry.css_files, app.registry.js_files):
        files[:] = [f for f in files if not (f[0] and "://" in f[0])]
    # sphinx-exercise registers its nodes for "singlehtml" by name, which hides the "html" visitors that
    # sphinx-proof relies on.
    handlers = app.registry.translation_handlers
    handlers["singlehtml"] = handlers.get("html", {}) | handlers.get("singlehtml", {})
    # sphinx-thebe writes unpkg.com into every page, used or not.
    for listeners in app.events.listeners.values():
        listeners[:] = [item for item in listeners if item.handler is not sphinx_thebe.init_thebe_core]


def _one_page(app):
    if (
        app.builder.name == "singlehtml"
    ):  # its root document has no maths of its own, so MathJax would be left out
        app.set_html_assets_policy("always")


def lighter(svg):
    """A figure of matplotlib's without what no eye can see: thousandths of a point, blanks, its metadata."""

    def shorter(match):
        name, value = match.groups()
        value = re.sub(r"-?\d+\.\d{3,}", lambda m: f"{float(m[0]):.2f}".rstrip("0").rstrip("."), value)
        if name == "d":
            value = re.sub(r"\s*([MLCQz])\s*", r"\1", value).strip()
        return f'{name}="{value}"'

    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    return re.sub(r"\n\s*", r"\n", re.sub(r'(?<=\s)(d|x|y|points)="([^"]*)"', shorter, svg))


def _lighten(out):
    for file in Path(out, "_images").glob("*.svg"):
        text = file.read_text("utf8")
        if "<metadata>" in text:
            file.write_text(lighter(text), "utf8")
    for file in Path(out, "_sources").rglob("*.ipynb"):
        text = file.read_text("utf8")
        if "<metadata>" not in text:
            continue
        notebook = json.loads(text)
        for cell in notebook["cells"]:
            for data in (output.get("data", {}) for output in cell.get("outputs", [])):
                if svg := data.get("image/svg+xml"):
                    data["image/svg+xml"] = lighter("".join(svg))
        file.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", "utf8")


def external_assets(out):
    """Yield (file, address) of whatever a page or style sheet below `out` loads from another host."""
    for pattern, regex in [
        ("*.html", ASSET),
        ("*.html", CSS_URL),
        ("*.css", CSS_URL),
    ]:
        for file in sorted(Path(out).rglob(pattern)):
            for match in regex.finditer(file.read_text("utf8", errors="replace")):
                if 'rel="canonical"' not in match[0]:
                    yield file.relative_to(out), match[1]


def _finish(app, exception):
    if exception or app.builder.format != "html":
        return
    static = Path(app.outdir, "_static")
    mathjax = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    for part in ["output/chtml/fonts/woff-v2", "input/tex/extensions"]:
        shutil.copytree(mathjax / part, static / "mathjax" / part, dirs_exist_ok=True)
    shutil.copy(mathjax / "tex-chtml.js", static / "mathjax")
    for name in ["anywidget-static.js", "course.css", "course.js", "terms.js"]:
        shutil.copy(HERE / name, static)
    for pattern in UNUSED:
        for path in list(static.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for file in Path(app.outdir).rglob("*.html"):
        text = file.read_text("utf8")
        finished = ICONS.sub("", text).replace(*FOLD)
        if finished != text:
            file.write_text(finished, "utf8")
    _lighten(app.outdir)
    for file, address in external_assets(app.outdir):
        LOG.warning("external asset in %s: %s", file, address)


def setup(app):
    """Register the extension."""
    app.add_css_file("course.css")
    app.add_js_file("course.js")
    app.connect("builder-inited", _one_page)
    app.connect("config-inited", _configure, priority=900)
    app.connect("build-finished", _finish)
    return {
        "version": "1",
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }

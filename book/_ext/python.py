"""Python in the reader's browser: the console of its page, the examples, the package as one archive.

Pyodide brings the interpreter and NumPy. Both come from the address `pyodide_url`, when the reader first
runs something; until then the page asks no other host. PyTorch cannot be had there, so the archive leaves
out the rooms' PyTorch halves, their explorables and the commands.
"""

import json
import shutil
import zipfile
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from chapter_map import PARTS

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EXAMPLES = ROOT / "book" / "python"
VERSION = "314.0.7"
LEFT_OUT = {"torch.py", "explorable.py", "cli.py", "_commands.py", "bench.py", "refresh.py"}

CONSOLE = """<div class="python" data-pyodide="{url}" hidden>
<p><label>Example <select class="python-example">{options}</select></label>
<a class="python-chapter" href="#">the chapter</a></p>
<p><label for="python-code">Code</label>
<textarea id="python-code" rows="18" spellcheck="false" autocapitalize="off"></textarea></p>
<p><button type="button" class="python-run">Run</button>
<button type="button" class="python-stop" disabled>Stop</button>
<span class="python-status" role="status">Not started. The first run fetches Python and NumPy
from {host}.</span></p>
<pre class="python-output" role="region" aria-label="Output" tabindex="0"></pre>
<div class="python-figures"></div>
<script type="application/json">{examples}</script>
<script type="module" src="../_static/python.js"></script>
</div>
<p class="python-absent">The console is not here: it needs JavaScript, and a book that comes from a web
server. In the book's folder, <code>python -m http.server</code> is one.</p>"""


class Console(SphinxDirective):
    """``{python-console}``: an example to choose, an editor, buttons, output and figures."""

    def run(self):
        """Return the console as raw HTML, its examples in the order of the book."""
        url = self.config.pyodide_url
        files = {file.stem: file for file in EXAMPLES.glob("*.py")}
        topics = [topic for _, part in PARTS for topic in part if topic in files]
        for file in (__file__, *(files[topic] for topic in topics)):
            self.env.note_dependency(str(file))
        examples = {topic: files[topic].read_text("utf8") for topic in topics}
        options = "".join(
            f'<option id="{topic}" value="{topic}">{topic.replace("_", " ")}</option>' for topic in topics
        )
        html = CONSOLE.format(
            url=escape(url),
            host=escape(url.split("/")[2]),
            options=options,
            examples=json.dumps(examples).replace("</", "<\\/"),
        )
        return [nodes.raw("", html, format="html")]


def archive(path):
    """Write the part of the package that runs without PyTorch as one zip file."""
    package = ROOT / "rnncourse"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(package.rglob("*")):
            if file.suffix in {".py", ".txt", ".tsv"} and file.name not in LEFT_OUT:
                name = file.relative_to(ROOT).as_posix()
                packed.writestr(
                    zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), file.read_bytes(), zipfile.ZIP_DEFLATED
                )


def _finish(app, exception):
    if exception or app.builder.format != "html":
        return
    static = Path(app.outdir, "_static")
    archive(static / "rnncourse.zip")
    for name in ("python.js", "python-worker.js"):
        shutil.copy(HERE / name, static)


def setup(app):
    """Register the directive."""
    app.add_config_value("pyodide_url", f"https://cdn.jsdelivr.net/pyodide/v{VERSION}/full/", "env")
    app.add_directive("python-console", Console)
    app.connect("build-finished", _finish)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

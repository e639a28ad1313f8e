"""The page Python in the browser: its examples, the archive of the package, the console with a real Pyodide.

Of Pyodide the npm package holds the interpreter, and none of the compiled packages. So NumPy is a stand-in
there, and the examples run in this Python, on the same archive, with nothing else to import.
"""

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser import chromium, served

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
EXAMPLES = sorted((ROOT / "book" / "python").glob("*.py"))
CORE = ROOT / "_build" / "pyodide" / "package"

ALONE = """
import contextlib, io, json, runpy, sys
PRESENT = {"rnncourse", "numpy", "tqdm", "matplotlib", "mpl_toolkits", "PIL", "cycler", "kiwisolver",
           "contourpy", "packaging", "pyparsing", "dateutil", "six", "fontTools"}
class Absent:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in PRESENT and top not in sys.stdlib_module_names and not top.startswith("_"):
            raise ModuleNotFoundError(f"No module named {top!r}", name=top)
sys.meta_path.insert(0, Absent())
sys.path.insert(0, sys.argv[1])
said = {}
for path in sys.argv[2:]:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        runpy.run_path(path)
    drawn = sys.modules["matplotlib.pyplot"].get_fignums() if "matplotlib.pyplot" in sys.modules else []
    said[path] = [out.getvalue(), len(drawn)]
import rnncourse
assert rnncourse.__file__.startswith(sys.argv[1]), rnncourse.__file__
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What each example prints, and how many figures it draws, with the published archive and no PyTorch."""
    folder = tmp_path_factory.mktemp("archive")
    with zipfile.ZipFile(HTML / "_static" / "rnncourse.zip") as packed:
        packed.extractall(folder)
    command = [sys.executable, "-P", "-c", ALONE, str(folder), *map(str, EXAMPLES)]
    run = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"MPLBACKEND": "agg"})
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_every_chapter_has_an_example_that_runs_without_pytorch(said):
    chapters = {path.stem for path in (ROOT / "solutions").glob("*.ipynb")}
    assert {path.stem for path in EXAMPLES} == chapters
    for path in map(str, EXAMPLES):
        text, figures = said[path]
        assert text.strip() or figures, path
        source = Path(path).read_text("utf8")
        assert source.startswith("# ") and len(source.splitlines()) <= 25, path
        assert f"from rnncourse.{Path(path).stem}.numpy import" in source, path


def test_the_archive_holds_what_runs_without_pytorch():
    with zipfile.ZipFile(HTML / "_static" / "rnncourse.zip") as packed:
        names = packed.namelist()
    assert not [name for name in names if name.endswith(("/torch.py", ".js", ".css", ".pyc"))]
    for path in (ROOT / "rnncourse").rglob("numpy.py"):
        assert path.relative_to(ROOT).as_posix() in names


def wheel(name, version, source):
    """The bytes of a wheel with one module."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": source,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nTag: py3-none-any\n",
        f"{info}/RECORD": "",
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
    return packed.getvalue()


def network(version):
    """Answer requests for Pyodide's address from the npm package; NumPy and tqdm are empty modules."""
    lock = json.loads((CORE / "pyodide-lock.json").read_text("utf8"))
    wheels = {}
    for name in ("numpy", "tqdm"):
        content = wheel(name, "1.0", "")
        file = f"{name}-1.0-py3-none-any.whl"
        wheels[file] = content
        lock["packages"][name] |= {
            "file_name": file,
            "sha256": hashlib.sha256(content).hexdigest(),
            "depends": [],
        }
    kinds = {".mjs": "text/javascript", ".wasm": "application/wasm"}

    def answer(route):
        folder, _, name = urlsplit(route.request.url).path.rpartition("/")
        file = CORE / name
        headers = {"access-control-allow-origin": "*"}
        if folder != f"/pyodide/v{version}/full" or not (name in wheels or file.exists()):
            route.abort()
        elif name == "pyodide-lock.json":
            route.fulfill(json=lock, headers=headers)
        elif name in wheels:
            route.fulfill(body=wheels[name], headers=headers)
        else:
            kind = kinds.get(file.suffix, "application/octet-stream")
            route.fulfill(body=file.read_bytes(), content_type=kind, headers=headers)

    return answer


@pytest.fixture
def console():
    """The page, with a function that runs code in it and gives status and output."""
    with chromium() as browser, served(HTML) as address:
        page = browser.new_page()
        page.asked = []
        page.on("request", lambda request: page.asked.append(request.url))

        def run(code):
            page.get_by_label("Code").fill(code)
            page.get_by_role("button", name="Run").click()
            page.wait_for_function("!document.querySelector('.python-run').disabled", timeout=60_000)
            return page.locator(".python-status").inner_text(), page.locator(".python-output").inner_text()

        page.run, page.address = run, address
        page.goto(f"{address}book/python.html#gru")
        yield page


@pytest.mark.browser
def test_the_console_says_that_nothing_could_be_fetched(console):
    console.context.route("https://cdn.jsdelivr.net/**", lambda route: route.abort())
    assert [url for url in console.asked if not url.startswith(console.address)] == []
    assert console.get_by_label("Code").input_value() == (ROOT / "book/python/gru.py").read_text("utf8")
    status, output = console.run("print(1)")
    assert status == "Python did not start: it could not be fetched from cdn.jsdelivr.net"
    assert output == ""


@pytest.mark.browser
def test_the_console_runs_python(console):
    if not CORE.exists():
        message = "no Pyodide in _build/pyodide: see CONTRIBUTING.md"
        (pytest.fail if os.environ.get("RNNCOURSE_REQUIRE_PYODIDE") == "1" else pytest.skip)(message)
    version = json.loads((CORE / "package.json").read_text("utf8"))["version"]
    console.context.route("https://cdn.jsdelivr.net/**", network(version))

    assert console.run("x = 2\nprint('é', x ** 100)\nx + 1")[1] == f"é {2**100}\n3\n"
    status, output = console.run("def f():\n    return 1 / 0\n\nf()\n")
    assert status.startswith("Done in ")
    assert output.splitlines()[:2] == [
        "Traceback (most recent call last):",
        '  File "<your code>", line 4, in <module>',
    ]
    assert output.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert "NameError" in console.run("x")[1]  # each run starts afresh
    assert console.run("import torch")[1].endswith("No module named 'torch'\n")
    assert console.run("from rnncourse.data.tales import load_tales\nlen(load_tales())")[1] == "158\n"
    assert len(console.run("print('x' * 10**6)")[1]) < 51_000
    assert console.run("import matplotlib")[1] == "Matplotlib could not be fetched from cdn.jsdelivr.net.\n"

    console.get_by_label("Code").fill("while True: pass")
    console.get_by_label("Code").press("Control+Enter")
    console.wait_for_function("document.querySelector('.python-status').textContent === 'Running …'")
    console.get_by_role("button", name="Stop").click()
    assert console.locator(".python-status").inner_text() == "Stopped. The next run starts Python again."
    assert console.run("1 + 1")[1] == "2\n"

    console.get_by_label("Example").select_option("lstm")
    assert console.get_by_label("Code").input_value() == (ROOT / "book/python/lstm.py").read_text("utf8")
    assert console.url.endswith("#lstm")
    assert console.locator(".python-chapter").get_attribute("href") == "lstm.html"
    elsewhere = {
        urlsplit(url).netloc for url in console.asked if not url.startswith((console.address, "blob:"))
    }
    assert elsewhere == {"cdn.jsdelivr.net"}

"""Chromium for the tests marked browser, and a server of pages."""

import gzip
import os
import shutil
import threading
from contextlib import contextmanager
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@contextmanager
def chromium():
    """Start the browser; skip the test if there is none, or fail if RNNCOURSE_REQUIRE_BROWSER is 1."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        message = f"no {', '.join(NAMES)} on PATH: install one, as by `apt-get install chromium`"
        if os.environ.get("RNNCOURSE_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


def book():
    """The folder of the built book; fail if there is none."""
    folder = Path(__file__).parents[1] / "_build" / "html"
    if not (folder / "index.html").exists():
        pytest.fail("no book in _build/html: run make book first")
    return folder


@cache
def _packed(file):
    return gzip.compress(Path(file).read_bytes(), 6)


class Quiet(SimpleHTTPRequestHandler):
    """Serve the book as hosts of static pages do: text is compressed."""

    def send_head(self):
        file = self.translate_path(self.path)
        if not file.endswith((".html", ".css", ".js", ".svg")) or not Path(file).is_file():
            return super().send_head()
        packed = _packed(file)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(file))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(packed)))
        self.end_headers()
        return BytesIO(packed)

    def log_message(self, *args):
        pass


@contextmanager
def served(folder):
    """Serve a folder on this machine; gives its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()

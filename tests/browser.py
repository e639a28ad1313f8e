"""Chromium for the tests marked browser."""

import os
import shutil
from contextlib import contextmanager

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

"""The pins: one list, which satisfies pyproject.toml and which Binder takes as well."""

import os
import re
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]


def pins(file):
    """Name and version of what pip would install from a file, those that it names with -r included."""
    for line in file.read_text("utf8").splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("-r "):
            yield from pins(file.parent / line.removeprefix("-r "))
        elif line and not line.startswith("--extra-index-url "):
            name, version = re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups()
            yield canonicalize_name(name), version


def required(extras):
    for requirement in map(Requirement, [*PROJECT["dependencies"], *extras]):
        if requirement.name == PROJECT["name"]:
            for extra in requirement.extras:
                yield from required(PROJECT["optional-dependencies"][extra])
        else:
            yield requirement


def test_binder_has_the_same_pins():
    ours, binder = (list(pins(ROOT / file)) for file in ("requirements.txt", ".binder/requirements.txt"))
    assert len(ours) == len(dict(ours)) > 100
    assert binder == ours
    python = (ROOT / ".binder" / "runtime.txt").read_text("utf8").strip().removeprefix("python-")
    assert python in SpecifierSet(PROJECT["requires-python"])
    assert os.access(ROOT / ".binder" / "postBuild", os.X_OK)


@pytest.mark.parametrize("extra", ["torch", "book", "test"])
def test_pins_satisfy_the_project(extra):
    ours = dict(pins(ROOT / "requirements.txt"))
    for requirement in required(PROJECT["optional-dependencies"][extra]):
        assert ours[canonicalize_name(requirement.name)] in requirement.specifier, requirement


@pytest.mark.parametrize("url", ["", "https://github.com/someone/rnncourse", "https://example.org/rnncourse"])
def test_buttons_appear_with_the_address_of_the_repository(url):
    import course_offline

    config = SimpleNamespace(html_context={}, html_theme_options={"repository_url": url})
    registry = SimpleNamespace(css_files=[], js_files=[], translation_handlers={})
    app = SimpleNamespace(registry=registry, events=SimpleNamespace(listeners={}))
    course_offline._configure(app, config)
    launch = config.html_theme_options.get("launch_buttons", {})
    assert bool(launch.get("binderhub_url")) == bool(url)
    assert bool(launch.get("colab_url")) == ("github.com" in url)


@pytest.mark.parametrize("url", ["", "https://github.com/someone/rnncourse"])
def test_a_chapter_says_how_colab_finds_the_package(url):
    import chapters

    env = SimpleNamespace(
        found_docs={"book/rnn", "exercises/rnn"}, get_domain=lambda name: SimpleNamespace(modules={})
    )
    config = SimpleNamespace(html_theme_options={"repository_url": url})
    context = {"body": "", "pathto": lambda page: page, "next": None}
    chapters._finish_page(SimpleNamespace(env=env, config=config), "book/rnn", "", context, object())
    assert (f"git clone --depth 1 {url} course" in context["body"]) == bool(url)
    assert ("%cd course/book" in context["body"]) == bool(url)

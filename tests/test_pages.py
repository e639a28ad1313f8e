import re
from pathlib import Path

import pytest
from browser import book, chromium, served
from prints import CHEATSHEET, MARK, cheatsheet_pdf

HTML = Path(__file__).parents[1] / "_build" / "html"
REDIRECT = 'http-equiv="Refresh"'
pytestmark = pytest.mark.browser


def _listed():
    for file in sorted(HTML.rglob("*.html")):
        text = file.read_text("utf8")
        if not file.relative_to(HTML).parts[0].startswith("_") and REDIRECT not in text:
            yield file.relative_to(HTML).as_posix(), "vnd.jupyter.widget-view+json" in text


LISTED = dict(_listed())
# The pages of source code are all made alike: the heaviest stands for them.
CODE = sorted((HTML / "_modules").rglob("*.html"), key=lambda file: file.stat().st_size)[-1:]
PAGES = [*LISTED, *(file.relative_to(HTML).as_posix() for file in CODE)] or ["no-book"]
CHAPTERS = [
    page for page in LISTED if page.startswith("book/") and page.replace("book", "exercises") in LISTED
]
WITH_EXPLORABLES = [page for page, has in LISTED.items() if has]

# Contrast of text with what stands behind it: its ancestors' backgrounds and, in SVG, the shapes drawn before
# it under its middle.
CONTRAST = """(theme) => {
  document.documentElement.dataset.theme = theme;
  const brush = Object.assign(document.createElement("canvas"), { width: 1, height: 1 })
    .getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    brush.clearRect(0, 0, 1, 1);
    brush.fillStyle = colour;
    brush.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = brush.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((c, i) => a * c + (1 - a) * below[i]).concat(1);
  const luminance = (colour) => colour.slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  function behind(element) {
    const layers = [];
    const svg = element.closest("svg");
    if (svg) {
      const { x, y, width, height } = element.getBoundingClientRect();
      const shapes = [...svg.querySelectorAll("rect, circle, ellipse")].filter((shape) => {
        const box = shape.getBoundingClientRect();
        return shape.compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING
          && box.left <= x + width / 2 && x + width / 2 <= box.right
          && box.top <= y + height / 2 && y + height / 2 <= box.bottom;
      });
      for (const shape of shapes.reverse()) {
        const style = getComputedStyle(shape);
        const [r, g, b, a] = style.fill === "none" ? [0, 0, 0, 0] : rgba(style.fill);
        layers.push([r, g, b, a * style.fillOpacity * style.opacity]);
      }
    }
    for (let e = svg || element; e; e = e.parentElement)
      layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reduceRight((below, layer) => over(layer, below), [255, 255, 255, 1]);
  }
  const written = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())
    && e.checkVisibility({ opacityProperty: true, visibilityProperty: true })
    && e.getBoundingClientRect().width > 1 && !e.closest(":disabled, mjx-container, script, style, title");
  const some = (selector, count) => [...document.querySelectorAll(selector)].filter(written).slice(0, count);
  const sample = [...some(".xp *", 400), ...some("main :not(.xp, .xp *)", 200)];
  const faint = sample.map((element) => {
    const style = getComputedStyle(element), back = behind(element);
    const ink = rgba(element instanceof SVGElement ? style.fill : style.color);
    for (let e = element; e; e = e.parentElement) ink[3] *= getComputedStyle(e).opacity;
    const [dark, light] = [luminance(over(ink, back)), luminance(back)].sort((a, b) => a - b);
    const path = `${element.tagName.toLowerCase()}.${element.getAttribute("class") || ""}`;
    return [(light + 0.05) / (dark + 0.05), path, element.textContent.trim().slice(0, 40)];
  }).filter(([ratio]) => !(ratio >= 4.5));
  return [sample.length, faint];
}"""
READY = """async () => {
  await window.MathJax?.startup?.promise;
  const all = [...document.querySelectorAll('script[type="application/vnd.jupyter.widget-view+json"]')];
  for (let i = 0; i < 100 && !all.every((s) => s.previousElementSibling?.matches(".anywidget-static")
      && s.previousElementSibling.textContent); i++) await new Promise((r) => setTimeout(r, 50));
}"""
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
# One element for each look (colours, size, weight, backgrounds in both themes) of the page's text that no
# page before it had: contrast depends on nothing else, and axe needs 10 ms an element. The rest is removed.
NEW_LOOKS = """(seen) => {
  const old = new Set(seen), looks = new Map(), root = document.documentElement;
  const shown = [...document.querySelectorAll("body *:not(mjx-container, script, style)")].filter((e) =>
    [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())
      && e.checkVisibility({ opacityProperty: true, visibilityProperty: true }));
  for (const theme of ["light", "dark"]) {
    root.dataset.theme = theme;
    const known = new Map();
    const below = (e) => {
      if (!e) return "";
      if (!known.has(e)) {
        const { backgroundColor, backgroundImage, opacity } = getComputedStyle(e);
        const own = `|${backgroundColor} ${backgroundImage} ${opacity}`;
        known.set(e, below(e.parentElement) + (own === "|rgba(0, 0, 0, 0) none 1" ? "" : own));
      }
      return known.get(e);
    };
    for (const e of shown) {
      const { color, fontSize, fontWeight, textDecorationLine } = getComputedStyle(e);
      const look = [e.tagName, color, fontSize, fontWeight, textDecorationLine, below(e)].join(" ");
      looks.set(e, `${looks.get(e) || ""} ${theme}: ${look}`);
    }
  }
  const chosen = shown.filter((e) => !old.has(looks.get(e)) && old.add(looks.get(e)));
  const kept = new Set(chosen.flatMap((e) => [...e.querySelectorAll("*")]));
  for (const e of chosen) for (let up = e; up; up = up.parentElement) kept.add(up);
  if (chosen.length) for (const e of document.querySelectorAll("body *")) if (!kept.has(e)) e.remove();
  window.chosen = chosen;
  return chosen.map((e) => looks.get(e));
}"""
AXE = """async ([options, chosen, theme]) => {
  if (theme) document.documentElement.dataset.theme = theme;
  // A figure that the theme draws anew has left the page.
  const there = chosen && window.chosen.filter((e) => e.isConnected);
  if (there && !there.length) return [];
  const found = await axe.run(chosen ? { include: there } : document,
    { resultTypes: ["violations"], preload: false, ...options });
  const told = (id, node) => `${id}: ${node.html.slice(0, 200)} ${node.failureSummary}`;
  return found.violations.filter((fault) => ["serious", "critical"].includes(fault.impact))
    .flatMap(({ id, nodes }) => nodes.map((node) => told(id, node)));
}"""
BY_LOOKS = ["color-contrast", "link-in-text-block"]
# What scrolls sideways in its box: with its sign, and where the keyboard gets at it. What is cut off.
WIDE = """() => {
  const shown = [...document.querySelectorAll("main *:not(.xp, .xp *, mjx-container *)")]
    .filter((e) => e.checkVisibility());
  const wide = shown.filter((e) => e.scrollWidth > e.clientWidth + 1 && e.clientWidth > 1);
  const boxes = wide.filter((e) => ["auto", "scroll"].includes(getComputedStyle(e).overflowX));
  const cut = wide.filter((e) => ["hidden", "clip"].includes(getComputedStyle(e).overflowX));
  const name = (e) => `${e.outerHTML.slice(0, 60)} ${e.textContent.slice(0, 60)}`;
  return {
    boxes: boxes.length,
    unreachable: boxes.filter((e) => e.tabIndex < 0).map(name),
    unsigned: boxes.filter((e) => getComputedStyle(e).maskImage === "none").map(name),
    cut: cut.map(name),
  };
}"""
# Bytes that came over the wire for the page and for what it loads, but for MathJax.
WEIGHT = """() => [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .filter((e) => !e.name.includes("/mathjax/")).reduce((sum, e) => sum + e.encodedBodySize, 0)"""
# Controls of explorables that look the same with and without the keyboard's focus.
UNSEEN_FOCUS = """() => {
  const look = (e) => {
    const { outlineStyle, outlineWidth, boxShadow, stroke } = getComputedStyle(e);
    return [outlineStyle, outlineWidth, boxShadow, stroke].join();
  };
  const controls = [...document.querySelectorAll(".xp :is(button, input, select, a[href], [tabindex])")]
    .filter((e) => e.checkVisibility() && !e.disabled);
  const unseen = controls.filter((e) => {
    const before = look(e);
    e.focus({ preventScroll: true, focusVisible: true });
    const same = document.activeElement === e && look(e) === before;
    e.blur();
    return same;
  });
  return [controls.length, unseen.map((e) => e.outerHTML.slice(0, 120))];
}"""
# All that a figure shows but for the control just used: a slider that moves and nothing else is dead.
SHOWN = """([figure, control]) => {
  control.closest(".xp-control, button")?.setAttribute("data-used", "");
  const copy = figure.cloneNode(true);
  for (const node of copy.querySelectorAll("[data-used]")) node.remove();
  control.closest("[data-used]")?.removeAttribute("data-used");
  return copy.innerHTML + [...copy.querySelectorAll("input, select")].map((e) => e.value);
}"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address():
    with served(book()) as address:
        yield address


@pytest.fixture(scope="module")
def axe():
    """The script of axe-core, and the looks of text that it has passed."""
    from axe_playwright_python.base import AXE_SCRIPT

    return AXE_SCRIPT, []


def _open(browser, url):
    """Load a page at phone width; what it asked for, what failed and what it said hang on it."""
    page = browser.new_page(viewport={"width": 390, "height": 844}, reduced_motion="reduce")
    page.asked, page.failed, page.said = [], [], []
    page.add_init_script("addEventListener('explorable', () => { window.begun ??= performance.now(); })")
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("requestfailed", lambda request: page.failed.append(f"{request.url}: {request.failure}"))
    page.on("response", lambda r: page.failed.append(f"{r.url}: {r.status}") if r.status >= 400 else None)
    page.on("pageerror", lambda error: page.said.append(f"error: {error}"))
    page.on(
        "console",
        lambda m: page.said.append(f"{m.type}: {m.text}") if m.type in ("error", "warning") else None,
    )
    page.goto(url)
    page.evaluate(READY)
    return page


@pytest.fixture(scope="module")
def page(browser, address, request):
    """One load of a page for all tests that read it, seen at all widths; pytest orders them by page."""
    page = _open(browser, address + request.param)
    page.broader = {}
    for width in (1440, 1024, 820, 390):
        page.set_viewport_size({"width": width, "height": 844})
        page.evaluate(TWO_FRAMES)
        needed = page.evaluate("document.documentElement.scrollWidth")
        if needed > width:
            page.broader[width] = needed
    yield page
    page.close()


@pytest.fixture
def fresh(browser, address, request):
    """A load of its own for a test that changes the page."""
    page = _open(browser, address + request.param)
    yield page
    page.close()


every_page = pytest.mark.parametrize("page", PAGES, indirect=True)


def test_front_page_leads_to_the_book(address):
    text = (HTML / "index.html").read_text("utf8")
    if REDIRECT in text:
        target = text.split("url=")[1].split('"')[0]
        assert (HTML / target).exists(), target
    assert WITH_EXPLORABLES, "no page has an explorable"


@every_page
def test_page_asks_no_other_host_and_gets_all(page, address):
    assert page.asked
    assert [url for url in page.asked if not url.startswith((address, "data:", "blob:"))] == []
    assert page.failed == []


@every_page
def test_page_has_a_clean_console(page):
    assert page.said == []


@every_page
def test_mathematics_is_typeset(page):
    # MathJax writes an unknown macro's name in red.
    wrong = page.locator('mjx-merror, mtext[mathcolor="red"]')
    assert wrong.evaluate_all("all => all.map(e => e.textContent)") == []
    assert page.locator(".math").count() == page.locator(".math:has(mjx-container)").count()


@every_page
def test_page_does_not_scroll_sideways_at_any_width(page):
    assert page.broader == {}


@every_page
def test_what_is_wide_scrolls_in_its_box_and_shows_it(page):
    found = page.evaluate(WIDE)
    assert (found["unreachable"], found["unsigned"], found["cut"]) == ([], [], [])


@every_page
def test_images_have_alt_text(page):
    missing = "all => all.filter(e => !e.alt.trim()).map(e => e.src.slice(0, 80))"
    assert page.locator("img").evaluate_all(missing) == []


@every_page
def test_headings_are_in_order(page):
    # What the theme keeps for printing is not visible.
    visible = "all => all.filter(e => e.checkVisibility()).map(e => [+e.tagName[1], e.innerText])"
    found = page.locator("main :is(h1, h2, h3, h4, h5, h6)").evaluate_all(visible)
    levels = [level for level, _ in found]
    assert levels.count(1) == 1 and levels[0] == 1, found
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False)), found


@every_page
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out(page, theme):
    count, faint = page.evaluate(CONTRAST, theme)
    assert count
    assert faint == []


@every_page
def test_page_is_small(page):
    assert page.evaluate(WEIGHT) < 1_500_000
    states = page.locator('script[type="application/vnd.jupyter.widget-state+json"]')
    assert states.evaluate_all("all => all.reduce((n, e) => n + new Blob([e.textContent]).size, 0)") < 200_000


@pytest.mark.parametrize("page", WITH_EXPLORABLES, indirect=True)
def test_focus_is_seen_on_controls(page):
    count, unseen = page.evaluate(UNSEEN_FOCUS)
    assert count
    assert unseen == []


@pytest.mark.parametrize("page", CHAPTERS, indirect=True)
def test_chapter_says_what_it_needs_and_what_comes_next(page):
    head = page.locator("main article section").first.locator("> ul").first.inner_text()
    for start in ("Afterwards you can", "You need", "Time:"):
        assert f"\n{start}" in f"\n{head}", head
    end = page.locator("main .chapter-end")
    for start in ("Next:", "Graded notebook:", "Code of this chapter:"):
        assert start in end.inner_text()
    for link in end.locator("a").evaluate_all("all => all.map(e => e.getAttribute('href'))"):
        path, _, anchor = link.partition("#")
        target = (HTML / "book" / path).read_text("utf8")
        assert not anchor or f'id="{anchor}"' in target, link


@pytest.mark.parametrize("fresh", CHAPTERS[:1], indirect=True)
def test_folded_parts_open_by_keyboard_and_by_a_link_into_them(fresh):
    first = "main .admonition.{}.toggle-hidden p:not(.admonition-title)"
    for kind in ("hint", "solution"):
        fresh.locator(first.format(kind)).first.evaluate("(e, kind) => { e.id = kind; }", kind)
    hint, solution = fresh.locator("#hint"), fresh.locator("#solution")
    assert [part.is_visible() for part in (hint, solution)] == [False, False]
    fresh.evaluate("location.hash = '#solution'")
    assert _becomes(fresh, "() => !document.getElementById('solution').closest('.toggle-hidden')", None)
    assert [part.is_visible() for part in (hint, solution)] == [False, True]
    fresh.locator("main .admonition.hint:has(#hint) .toggle-button").press("Enter")
    assert hint.is_visible()


# What paper shows although one can only click it, hides although it is text, or cuts off.
PRINTED = """() => {
  const shown = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const name = (e) => e.outerHTML.slice(0, 100);
  const all = (selector) => [...document.querySelectorAll(selector)];
  return {
    clickable: all("button, input, nav, header.bd-header, .bd-sidebar, .headerlink")
      .filter((e) => shown(e) && !e.closest(".xp")).map(name),
    folded: all("main .admonition.dropdown :is(p, li, .math, .highlight)").filter((e) => !shown(e)).map(name),
    wide: all("main *:not(.xp, .xp *, mjx-assistive-mml, mjx-assistive-mml *)")
      .filter((e) => shown(e) && e.getBoundingClientRect().right > innerWidth).map(name),
  };
}"""


@pytest.mark.parametrize("page", CHAPTERS, indirect=True)
def test_paper_shows_all_that_is_folded_and_nothing_to_click(page):
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 less margins
    page.emulate_media(media="print", reduced_motion="reduce")
    found = page.evaluate(PRINTED)
    page.emulate_media(media="screen", reduced_motion="reduce")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.locator("main .admonition.dropdown").count()
    assert found == {"clickable": [], "folded": [], "wide": []}


def test_a_dark_page_is_printed_light(browser, address):
    page = _open(browser, address + CHAPTERS[0])
    page.evaluate("""() => {
      document.documentElement.dataset.theme = "dark";
      addEventListener("beforeprint", () => { window.printed = document.documentElement.dataset.theme; });
    }""")
    assert _sides(page.pdf(format="A4")) > 3
    assert page.evaluate("[window.printed, document.documentElement.dataset.theme]") == ["light", "dark"]
    page.close()


# The last of the tests that share a load of the page: it takes the page apart.
@every_page
def test_axe_finds_nothing_serious(page, axe):
    script, seen = axe
    page.set_viewport_size({"width": 1440, "height": 844})
    # Figures that follow the width draw anew in the frames after.
    page.wait_for_timeout(200)
    page.evaluate("document.querySelectorAll('mjx-container > *').forEach((e) => e.remove())")
    page.evaluate(script)
    # Names, roles, landmarks, lists, tables: the same in both themes.
    faults = page.evaluate(
        AXE, [{"rules": {rule: {"enabled": False} for rule in [*BY_LOOKS, "region"]}}, False, None]
    )
    looks = page.evaluate(NEW_LOOKS, seen)
    for theme in ("light", "dark") if looks else ():
        faults += page.evaluate(AXE, [{"runOnly": BY_LOOKS}, True, theme])
    assert faults == []
    seen += looks


def test_site_is_small():
    assert sum(file.stat().st_size for file in HTML.rglob("*") if file.is_file()) < 40_000_000


def _figures(page):
    """Return the explorables of a page, each started."""
    figures = page.locator(".anywidget-static").all()
    assert len(figures) == page.locator('script[type="application/vnd.jupyter.widget-view+json"]').count() > 0
    for figure in figures:
        assert figure.get_attribute("data-ready") is not None, figure.inner_text()
        assert figure.locator(".xp").count() == 1, figure.inner_text()
    return figures


@pytest.mark.parametrize("how", ["keyboard", "mouse"])
@pytest.mark.parametrize("fresh", WITH_EXPLORABLES, indirect=True)
def test_explorables_react(fresh, how):
    for figure in _figures(fresh):
        control = figure.locator(":is(button, input, select):enabled:visible").first
        kind = control.evaluate("e => e.type")
        arguments = [figure.element_handle(), control.element_handle()]
        before = fresh.evaluate(SHOWN, arguments)
        use = _press if how == "keyboard" else _click
        for attempt in range(2):  # the other direction, if the control stood at its end
            use(control, kind, attempt)
            changed = f"([args, before]) => ({SHOWN})(args) !== before"
            if _becomes(fresh, changed, [arguments, before]):
                break
        else:
            pytest.fail(f"{kind} {control.evaluate('e => e.outerHTML')} does nothing by {how}")
    assert fresh.said == []


def _becomes(page, condition, argument):
    for _ in range(10):
        if page.evaluate(condition, argument):
            return True
        page.wait_for_timeout(50)
    return False


def _press(control, kind, attempt):
    control.focus()
    arrows = {"range": ("ArrowRight", "ArrowLeft"), "select-one": ("ArrowDown", "ArrowUp")}
    keys = {"button": "Enter", "checkbox": "Space", "radio": "Space", "text": "1", "number": "1"}
    control.press(arrows[kind][attempt] if kind in arrows else keys[kind])


def _click(control, kind, attempt):
    if kind == "range":
        box = control.bounding_box()
        control.click(position={"x": box["width"] * (0.2, 0.8)[attempt], "y": box["height"] / 2})
    elif kind == "select-one":  # its list is drawn by the system, out of a test's reach
        control.select_option(index=1 - attempt)
    else:
        control.click()
        if kind in ("text", "number"):
            control.press_sequentially("1")


@pytest.mark.parametrize("page", WITH_EXPLORABLES, indirect=True)
def test_the_first_paint_waits_for_no_explorable(page):
    painted = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    assert 0 < painted < page.evaluate("window.begun")


@pytest.mark.parametrize("name", WITH_EXPLORABLES)
def test_explorables_start_on_a_page_opened_as_a_file(browser, address, name):
    page = _open(browser, (HTML / name).as_uri())
    _figures(page)
    page.close()


def _sides(pdf):
    return len(re.findall(rb"/Type\s*/Page\b", pdf))


def test_cheatsheet_takes_two_sides_and_its_pdf_shows_the_same_formulas(browser):
    assert _sides(cheatsheet_pdf(browser)) == 2
    stored, html = CHEATSHEET.read_bytes(), (HTML / "book" / "cheatsheet.html").read_text("utf8")
    assert _sides(stored) == 2
    assert MARK.search(html)[1].encode() in stored, "formulas have changed: call make cheatsheet"

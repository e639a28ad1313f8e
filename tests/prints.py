"""What the browser makes of the built book: the cheatsheet as a PDF, and pictures of all pages.

`python tests/prints.py cheatsheet` writes the one, `python tests/prints.py screenshots` the others.
"""

import re
import sys
from pathlib import Path

from browser import chromium
from PIL import Image
from tqdm import tqdm

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
CHEATSHEET = ROOT / "book" / "cheatsheet.pdf"
HIGHEST = 60_000  # pixels of a page that are shown: a longer picture is more than programs open
SCREENSHOTS = ROOT / "_build" / "screenshots"
TYPESET = "async () => { await window.MathJax?.startup?.promise; await document.fonts.ready; }"
MARK = re.compile(r"formulas-([0-9a-f]{12})")


def cheatsheet_pdf(browser):
    """The cheatsheet printed: bytes of a PDF, whose title ends in the mark of the formulas that it shows."""
    page = browser.new_page()
    page.goto((HTML / "book" / "cheatsheet.html").as_uri())
    page.evaluate(TYPESET)
    mark = MARK.search(page.content())[1]
    page.evaluate("title => document.title = title", f"Recurrent neural networks: cheatsheet ({mark})")
    printed = page.pdf(prefer_css_page_size=True)
    page.close()
    return printed


def screenshots(browser):
    """Pages as PNG, and a contact sheet for each width and theme."""
    pages = [
        file
        for file in sorted([*HTML.glob("*/*.html"), *HTML.glob("book/api/*.html")])
        if not file.parent.name.startswith("_") and file.parent.name != "genindex"
    ]
    for theme in ("light", "dark"):
        for width in (390, 820, 1440):
            folder = SCREENSHOTS / f"{width}-{theme}"
            folder.mkdir(parents=True, exist_ok=True)
            context = browser.new_context(viewport={"width": width, "height": 900}, reduced_motion="reduce")
            stored = "".join(f"localStorage.setItem('{key}', '{theme}');" for key in ("mode", "theme"))
            context.add_init_script(stored)
            small = []
            for file in tqdm(pages, desc=folder.name, disable=None):
                page = context.new_page()
                page.goto(file.as_uri())
                page.evaluate(TYPESET)
                page.wait_for_timeout(500)
                shot = folder / f"{file.parent.name}-{file.stem}.png"
                height = page.evaluate("document.documentElement.scrollHeight")
                clip = {"x": 0, "y": 0, "width": width, "height": min(height, HIGHEST)}
                page.screenshot(path=shot, full_page=True, clip=clip)
                page.close()
                small.append(Image.open(shot).convert("RGB"))
                small[-1].thumbnail((240, 100_000))
            contact_sheet(small).save(SCREENSHOTS / f"{folder.name}.png")
            context.close()
    print(f"The screenshots: {SCREENSHOTS}")


def contact_sheet(images, columns=8, height=1600):
    """Images side by side, each cut at a height."""
    images = [image.crop((0, 0, image.width, min(image.height, height))) for image in images]
    rows = [images[i : i + columns] for i in range(0, len(images), columns)]
    width = max(sum(image.width + 8 for image in row) for row in rows)
    sheet = Image.new("RGB", (width, sum(max(image.height for image in row) + 8 for row in rows)), "white")
    y = 0
    for row in rows:
        x = 0
        for image in row:
            sheet.paste(image, (x, y))
            x += image.width + 8
        y += max(image.height for image in row) + 8
    return sheet


if __name__ == "__main__":
    with chromium() as started:
        if sys.argv[1:] == ["cheatsheet"]:
            CHEATSHEET.write_bytes(cheatsheet_pdf(started))
        elif sys.argv[1:] == ["screenshots"]:
            screenshots(started)
        else:
            sys.exit("say cheatsheet or screenshots")

"""nbval with a tolerance: floats to 1e-4, integers exactly, pictures by their root mean square.

A conftest.py below tests/ would not reach the notebooks, so this one stands at the root.
"""

import base64
import copy
import io
import math
import re

RTOL = 1e-4
ATOL = 1e-9  # rounding noise in numbers that should be zero, no more: gradients may vanish
SVG_ATOL = 1e-5  # points; matplotlib writes six decimals
IMAGE_RMS = 5.0  # of 255; a curve scaled by 1.02 fails, by 1.001 it passes
EMBEDDED_RMS = 1.0  # a heat map has no smoothed edges; the next colour of a scale is 1 to 3 levels away
NUMBER = re.compile(r"(?<![\w.#])[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?(?![\w.]*\w)")
HASHED_ID = re.compile(r'\bid="(\w*[0-9a-f]{10})"')
EMBEDDED = re.compile(r'"data:image/png;base64,([^"]*)"')
TEXTS = ("text/plain", "text/html", "text/markdown", "text/latex")
PICTURES = ("image/png", "image/jpeg")  # nbval leaves them out


def close_text(a, b, close=None):
    """Whether two texts are the same but for floats within tolerance, runs of blanks and wrapped numbers."""

    def skeleton(text):
        return re.sub(r"\s*\0\s*", "\0", re.sub(r"[ \t]+", " ", NUMBER.sub("\0", text)))

    if skeleton(a) != skeleton(b):
        return False
    return all((close or _close)(x, y) for x, y in zip(NUMBER.findall(a), NUMBER.findall(b), strict=True))


def _close(x, y):
    if x == y:
        return True
    # "20000." is NumPy's whole float or an integer that ends a sentence, so two such numbers must be equal.
    if not all(re.search("[.eE]", number) for number in (x, y)):
        return False
    whole = all(number.endswith(".") for number in (x, y))
    return float(x) == float(y) if whole else math.isclose(float(x), float(y), rel_tol=RTOL, abs_tol=ATOL)


def close_svg(a, b):
    """Whether two SVG figures have the same elements, at the same places within tolerance."""
    maps = zip(EMBEDDED.findall(a), EMBEDDED.findall(b), strict=False)
    if any(image_rms(x, y) > EMBEDDED_RMS for x, y in maps):
        return False

    def close(x, y):
        # A whole coordinate is written as an integer: 45 may become 45.000001.
        return math.isclose(float(x), float(y), rel_tol=RTOL, abs_tol=SVG_ATOL)

    return close_text(_plain(a), _plain(b), close)


def _plain(svg):
    """The figure without its pictures and without names that are hashes of exact coordinates."""
    svg = EMBEDDED.sub('"picture"', svg)
    for place, name in enumerate(dict.fromkeys(HASHED_ID.findall(svg))):
        svg = svg.replace(name, f"id{place}")
    return svg


def image_rms(a, b):
    """Root mean square difference of two base64 pictures, infinite if the sizes differ."""
    import numpy as np
    from PIL import Image

    a, b = (np.asarray(Image.open(io.BytesIO(base64.b64decode(p))).convert("RGBA"), float) for p in (a, b))
    return math.inf if a.shape != b.shape else float(np.sqrt(((a - b) ** 2).mean()))


def pytest_configure(config):
    """Teach nbval's comparison the tolerance."""
    try:
        from nbval import plugin
    except ImportError:  # the unit tests run without nbval
        return
    exact = plugin.IPyNbCell.compare_outputs

    def compare_outputs(self, test, ref, skip_compare=None):
        test = copy.deepcopy(test)
        faults = []

        def pairs(kind):
            """The places where the new and the stored outputs hold this kind, in order, however kinds mix."""
            new, old = (
                [
                    holder
                    for output in outputs
                    for holder in (output, output.get("data", {}))
                    if kind in holder
                ]
                for outputs in (test, ref)
            )
            if len(new) != len(old) and kind in PICTURES:
                faults.append(f"{len(old)} stored and {len(new)} new figures of type {kind}")
            return zip(new, old, strict=False)

        for kind in PICTURES:
            for new, old in pairs(kind):
                rms = image_rms(new[kind], old[kind])
                if rms > IMAGE_RMS:
                    faults.append(f"figure differs: RMS {rms:.1f} > {IMAGE_RMS}")
        for kind in (*TEXTS, "image/svg+xml", "text"):
            close = close_svg if kind == "image/svg+xml" else close_text
            for new, old in pairs(kind):
                if close(self.sanitize(new[kind]), self.sanitize(old[kind])):
                    new[kind] = old[kind]
        same = exact(self, test, ref, skip_compare)
        self.comparison_traceback += faults
        return same and not faults

    plugin.IPyNbCell.compare_outputs = compare_outputs

"""nbval with a tolerance: floats to 1e-4, integers exactly, pictures by their root mean square.

A conftest.py below tests/ would not reach the notebooks, so this one stands at the root.
"""

import base64
import copy
import io
import math
import re

RTOL, ATOL = 1e-4, 1e-6
IMAGE_RMS = 5.0  # of 255; a curve scaled by 1.01 fails, by 1.001 it passes
NUMBER = re.compile(r"(?<![\w.#])[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?(?![\w.]*\w)")
TEXT_TYPES = ("text/plain", "text/html", "text/markdown", "image/svg+xml")


def close_text(a, b):
    """Whether two texts are the same but for floats within tolerance and the blanks around them."""

    def skeleton(text):
        return re.sub(r"\s*#\s*", "#", re.sub(r"\s+", " ", NUMBER.sub("#", text)))

    if skeleton(a) != skeleton(b):
        return False
    return all(_close(x, y) for x, y in zip(NUMBER.findall(a), NUMBER.findall(b), strict=True))


def _close(x, y):
    if x == y:
        return True
    both_floats = all(any(c in number for c in ".eE") for number in (x, y))
    return both_floats and math.isclose(float(x), float(y), rel_tol=RTOL, abs_tol=ATOL)


def image_rms(a, b):
    """Root mean square difference of two base64 PNGs, infinite if the sizes differ."""
    import numpy as np
    from PIL import Image

    a, b = (np.asarray(Image.open(io.BytesIO(base64.b64decode(p))).convert("RGB"), float) for p in (a, b))
    return math.inf if a.shape != b.shape else float(np.sqrt(((a - b) ** 2).mean()))


def pytest_configure(config):
    """Teach nbval's comparison the tolerance."""
    try:
        from nbval import plugin
    except ImportError:  # the unit tests run without nbval
        return
    exact = plugin.IPyNbCell.compare_outputs

    def compare_outputs(self, test, ref, skip_compare=None):
        test = [copy.deepcopy(output) for output in test]
        differences = []
        for new, old in zip(test, ref, strict=False):
            if new.output_type == old.output_type == "stream" and new.name == old.name:
                if close_text(self.sanitize(new.text), self.sanitize(old.text)):
                    new.text = old.text
            data, old_data = new.get("data", {}), old.get("data", {})
            for kind in TEXT_TYPES:
                if kind in data and kind in old_data:
                    if close_text(self.sanitize(data[kind]), self.sanitize(old_data[kind])):
                        data[kind] = old_data[kind]
            if "image/png" in data and "image/png" in old_data:
                differences.append(image_rms(data["image/png"], old_data["image/png"]))
        pictures = [
            sum(
                kind in output.get("data", {})
                for output in outputs
                for kind in ("image/png", "image/svg+xml")
            )
            for outputs in (test, ref)
        ]
        same = exact(self, test, ref, skip_compare)
        too_far = [d for d in differences if d > IMAGE_RMS]
        if too_far or pictures[0] != pictures[1]:
            self.comparison_traceback.append(
                f"figure differs: RMS {too_far} > {IMAGE_RMS}; number of figures {pictures}"
            )
            return False
        return same

    plugin.IPyNbCell.compare_outputs = compare_outputs

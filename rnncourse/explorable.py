"""A figure to play with: its state holds all data, its JavaScript does the rest, with no kernel behind it."""

from pathlib import Path

import anywidget
import traitlets

HERE = Path(__file__).parent
KIT = (HERE / "kit.js").read_text("utf8")
"""What every script may use; it stands before each."""


class Explorable(anywidget.AnyWidget):
    """An anywidget that draws `data` with the JavaScript file `script`.

    The script may use ``kit`` (kit.js): shared controls and drawing helpers. It ends with
    ``export default { render };`` and exports ``compute``, the function whose numbers the browser test
    compares with Python's.

    Parameters
    ----------
    script : pathlib.Path
        The room's ``explorable.js``.
    title : str
        What the figure shows; the accessible name of the whole.
    data : dict
        All that the script needs, as JSON.
    """

    _css = (HERE / "kit.css").read_text("utf8")
    title = traitlets.Unicode().tag(sync=True)
    data = traitlets.Dict().tag(sync=True)

    def __init__(self, script, title, data):
        super().__init__(
            _esm=KIT + script.read_text("utf8"),
            title=title,
            data=data,
        )

    def __repr__(self):
        return f"Explorable({self.title!r})"

"""A directive that shows an explorable on a Markdown page, where no kernel has stored its state.

```{explorable} rnncourse.welcome.parity:explorable
```

The function is called at build time and returns a :class:`rnncourse.explorable.Explorable`. The page gets
what myst-nb writes for a widget of a notebook: a script with the state and one with the view.
"""

import hashlib
import importlib
import json

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.util.docutils import SphinxDirective

from rnncourse.explorable import KIT

STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"


def dump(value):
    """JSON that may stand inside ``<script>``: neither ``</script`` nor ``<!--`` occurs in it, nor NaN."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def widget_state(widget, model_id, first):
    """The notebook format's widget state of one explorable, less what only a kernel reads.

    What all of them share, the kit and the style, is in that of the first on its page only.
    """
    kept = ("_esm", "_css", "title", "data") if first else ("_esm", "title", "data")
    state = {key: getattr(widget, key) for key in kept}
    shared = KIT + "globalThis.kit = kit;\n" if first else "const { kit } = globalThis;\n"
    state["_esm"] = state["_esm"].replace(KIT, shared)
    model = {
        "model_name": "AnyModel",
        "model_module": "anywidget",
        "model_module_version": widget._model_module_version,
        "state": state,
    }
    return {"version_major": 2, "version_minor": 0, "state": {model_id: model}}


class ExplorableDirective(SphinxDirective):
    """``{explorable} module:function``."""

    required_arguments = 1

    def run(self):
        """Call the function and write its widget's state and view."""
        target = self.arguments[0]
        module, _, function = target.partition(":")
        try:
            widget = getattr(importlib.import_module(module), function)()
            # The id comes from the name: two builds are the same, and two views share one model.
            model_id = hashlib.sha256(target.encode()).hexdigest()[:32]
            first = self.env.temp_data.setdefault("first explorable", target) == target
            state, docname = dump(widget_state(widget, model_id, first)), self.env.docname
        except Exception as error:
            raise self.error(f"explorable {target}: {error!r}") from error
        self.env.note_reread()  # what it shows may come from anywhere in the package
        add = NbMetadataCollector.add_js_file
        add(
            self.env,
            docname,
            f"explorable-{model_id}",
            None,
            {"type": STATE, "body": state},
        )
        for number, (file, attributes) in enumerate(self.config.nb_ipywidgets_js.items()):
            # myst-nb's own key, so that a notebook that holds both kinds loads the file once.
            add(self.env, docname, f"ipywidgets_{number}", file, attributes)
        view = dump({"version_major": 2, "version_minor": 0, "model_id": model_id})
        return [nodes.raw("", f'<script type="{VIEW}">{view}</script>', format="html")]


def setup(app):
    """Register the directive."""
    app.add_directive("explorable", ExplorableDirective)
    return {
        "version": "1",
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }

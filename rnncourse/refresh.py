"""Execute notebooks in place, with outputs that are the same from run to run."""

import json
import os
import re
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KEPT_METADATA = {"tags", "mystnb", "nbgrader"}


def refresh(path):
    """Execute the notebook at `path` and write it back with normalised metadata and widget ids.

    A notebook that fails is left as it was.

    Parameters
    ----------
    path : pathlib.Path

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell raises.
    """
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("widgets", None)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,  # or their number would depend on the moment
        resources=resources,
    ).execute()
    text = nbformat.writes(_normalised(notebook)) + "\n"
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf8") as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    Path(file.name).replace(path)


def _normalised(notebook):
    for cell in notebook.cells:
        cell.metadata = {k: v for k, v in cell.metadata.items() if k in KEPT_METADATA}
    notebook.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
        **({"widgets": notebook.metadata["widgets"]} if "widgets" in notebook.metadata else {}),
    }
    widgets = notebook.metadata.get("widgets", {}).get(WIDGET_STATE)
    if not widgets:
        return notebook
    # Keep the models that a shown view reaches, and number them in that order.
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    reached = []
    found = [o["data"][WIDGET_VIEW]["model_id"] for o in outputs if WIDGET_VIEW in o.get("data", {})]
    while found:
        model = found.pop(0)
        if model in widgets["state"] and model not in reached:
            reached.append(model)
            found += re.findall(r"IPY_MODEL_([0-9a-f]{32})", json.dumps(widgets["state"][model]["state"]))
    widgets["state"] = {model: widgets["state"][model] for model in reached}
    text = nbformat.writes(notebook)
    for number, model in enumerate(reached):
        text = text.replace(model, f"{number:032x}")
    return nbformat.reads(text, as_version=4)

"""Minute 2: can parity be learnt? The recorded runs, those that fail included."""

import json
from pathlib import Path

import numpy as np

from rnncourse.explorable import Explorable
from rnncourse.rnn.numpy import output_init, rnn_init

RECORD = Path(__file__).parents[2] / "book/results/rnn-parity.json"


def _record():
    return json.loads(RECORD.read_text("utf8"))


def explorable():
    """Draw the recorded runs: at one length, at two learning rates, and a curriculum that the reader starts.

    Returns
    -------
    Explorable
    """
    record = _record()
    data = {"settings": record["settings"]}
    for name in ("direct", "faster", "curriculum"):
        # All were evaluated at the same steps: these are stored once.
        data[name] = [{key: value for key, value in run.items() if key != "step"} for run in record[name]]
        (data["step"],) = {tuple(run["step"]) for run in record[name]}
    rng, H = np.random.default_rng(0), record["settings"]["H"]
    data["weights"] = sum(array.size for array in (*rnn_init(rng, 1, H), *output_init(rng, H, 2)))
    return Explorable(Path(__file__).with_suffix(".js"), "Training runs on parity, as recorded", data)


def compute(input):
    """Read a recorded curve at a training step.

    Parameters
    ----------
    input : dict
        ``curve`` with ``step`` and ``accuracy``, one number a point, and ``T``, the length of the strings:
        for the curriculum one a point too; ``at``, the training step.

    Returns
    -------
    dict
        ``accuracy``, interpolated between points and constant beyond them; ``T``, for the curriculum that of
        the last point not after the step (before the first point, its own), otherwise None.
    """
    curve, at = input["curve"], input["at"]
    point = max(0, int(np.searchsorted(curve["step"], at, side="right")) - 1)
    return {
        "accuracy": float(np.interp(at, curve["step"], curve["accuracy"])),
        "T": curve["T"][point] if isinstance(curve["T"], list) else None,
    }


def random_input(rng):
    """Draw one of the recorded runs and a step, beyond its ends too.

    Parameters
    ----------
    rng : np.random.Generator

    Returns
    -------
    dict
        An input of :func:`compute`.
    """
    record = _record()
    runs = record["direct"] + record["faster"] + record["curriculum"]
    run = runs[rng.integers(len(runs))]
    curve = {name: run[name] for name in ("step", "accuracy", "T")}
    # Half of the steps fall on a point of the curve, where the length may change.
    at = rng.choice(run["step"]) if rng.random() < 0.5 else rng.uniform(0, 1.1 * run["step"][-1])
    return {"curve": curve, "at": float(at)}

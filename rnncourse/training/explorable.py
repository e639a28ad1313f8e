"""Ten seeds of two settings: draw them one by one and say which setting is better, if that can be said."""

from pathlib import Path

import numpy as np

from rnncourse.explorable import Explorable
from rnncourse.training.numpy import compare, misled

PAIRS = (
    (("GRU, 37 units", "0.03"), ("tanh, 60 units", "0.03")),
    (("LSTM, 32 units", "0.03"), ("GRU, 37 units", "0.03")),
    (("tanh, 60 units", "0.01"), ("tanh, 60 units", "0.03")),
    (("LSTM, embedding 64", "0.03"), ("LSTM, 32 units", "0.03")),
    (("tanh, 32 units", "0.03"), ("GRU, 37 units", "0.01")),
    (("GRU, 37 units", "0.03"), ("LSTM, embedding 64", "0.03")),
)
"""Names and learning rates, from the record ``book/results/training-study.json``."""


def explorable(record):
    """Draw the figure of the chapter.

    Parameters
    ----------
    record : dict
        What ``book/results/training-study.json`` holds.

    Returns
    -------
    Explorable
    """
    losses = {row["name"]: row["loss"] for row in record["rows"]}
    pairs = [
        {
            "names": [f"{name}, learning rate {rate}" for name, rate in pair],
            "losses": [losses[name][rate] for name, rate in pair],
        }
        for pair in PAIRS
    ]
    title = "Which setting is better? Ten seeds of each, drawn one by one"
    return Explorable(Path(__file__).with_suffix(".js"), title, {"pairs": pairs})


def compute(input):
    """Compare two settings, as the figure's JavaScript does.

    The numbers are those of :func:`rnncourse.training.numpy.compare` and
    :func:`rnncourse.training.numpy.misled`.

    Parameters
    ----------
    input : dict
        ``a`` and ``b``, lists of at least three losses each, and ``k``, how many of each have been drawn.

    Returns
    -------
    dict
        ``difference`` and ``error`` of all results; ``answer``, "a" or "b" for the setting with the lower
        mean where the difference is above two standard errors, else "neither"; ``wrong``, the share of
        wrong orders with one and with three seeds of each; ``drawn``, the means of the first ``k``.
    """
    a, b, k = np.array(input["a"], float), np.array(input["b"], float), input["k"]
    difference, error = compare(a, b)
    lower = "a" if difference < 0 else "b"
    return {
        "difference": difference,
        "error": error,
        "answer": lower if abs(difference) > 2 * error else "neither",
        "wrong": [misled(a, b, 1), misled(a, b, 3)],
        "drawn": [float(a[:k].mean()), float(b[:k].mean())],
    }


def random_input(rng):
    """Draw an input for `compute`.

    Parameters
    ----------
    rng : np.random.Generator

    Returns
    -------
    dict
    """
    n = int(rng.integers(3, 11))
    shift = float(rng.choice([0.0, 0.5, 2.0]))
    return {
        "a": rng.normal(2, 1, n).tolist(),
        "b": rng.normal(2 + shift, 1.5, n).tolist(),
        "k": int(rng.integers(1, n + 1)),
    }

"""Ten seeds of two settings: draw them one by one and say which setting is better, if that can be said."""

from pathlib import Path

import numpy as np

from rnncourse.explorable import Explorable
from rnncourse.training.numpy import compare, misled

PAIRS = (
    (("GRU, 37 units", None), ("tanh, 60 units", None)),
    (("LSTM, 32 units", None), ("GRU, 37 units", None)),
    (("tanh, 60 units", "0.01"), ("tanh, 60 units", None)),
    (("LSTM, embedding 64", None), ("LSTM, 32 units", None)),
    (("LSTM, 32 units", None), ("tanh, 60 units", None)),
    (("GRU, 37 units", "0.01"), ("GRU, 32 units", None)),
)
"""Names and learning rates from the record ``book/results/training-study.json``; None is the chosen rate."""
SHUFFLE = 2


EQUAL = 0.40, 0.32
"""What :func:`rnncourse.training.numpy.misled` gives on average for one and for three seeds, if two settings
are equal and have ten normal results each; a test simulates it."""


def explorable(record):
    """Draw the figure of the chapter.

    The ten seeds of a pair are shuffled, A and B alike. The shuffle is fixed, and its seed was chosen so that
    in some of the comparisons that can be decided the first draw misleads, and in others it does not.

    Parameters
    ----------
    record : dict
        What ``book/results/training-study.json`` holds.

    Returns
    -------
    Explorable
    """
    rows = {row["name"]: row for row in record["rows"]}
    rng = np.random.default_rng(SHUFFLE)
    pairs = []
    for pair in PAIRS:
        chosen = [(name, rate or str(rows[name]["lr"])) for name, rate in pair]
        order = rng.permutation(10)
        pairs.append(
            {
                "names": [f"{name}, learning rate {rate}" for name, rate in chosen],
                "losses": [np.array(rows[name]["loss"][rate])[order].tolist() for name, rate in chosen],
            }
        )
    title = "Which setting is better? Ten seeds of each, drawn one by one"
    return Explorable(Path(__file__).with_suffix(".js"), title, {"pairs": pairs, "equal": EQUAL})


def compute(input):
    """Compare two settings, as the figure's JavaScript does.

    The numbers are those of :func:`rnncourse.training.numpy.compare` for pairs and
    :func:`rnncourse.training.numpy.misled`.

    Parameters
    ----------
    input : dict
        ``a`` and ``b``, lists of at least three losses each, one a seed, and ``k``, how many have been drawn.

    Returns
    -------
    dict
        ``difference`` and paired ``error`` of all results; ``answer``, "a" or "b" for the setting with the
        lower mean where the difference is above two standard errors, else "neither"; ``opposite``, how often
        one and three seeds of each give the opposite order of all; ``drawn``, the means of the first ``k``.
    """
    a, b, k = np.array(input["a"], float), np.array(input["b"], float), input["k"]
    difference, error = compare(a, b, paired=True)
    lower = "a" if difference < 0 else "b"
    return {
        "difference": difference,
        "error": error,
        "answer": lower if abs(difference) > 2 * error else "neither",
        "opposite": [misled(a, b, 1), misled(a, b, 3)],
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

"""Which cells of X count: the window and the distances make X, x_max and the exponent repaint it."""

from pathlib import Path

import numpy as np

from rnncourse.explorable import Explorable
from rnncourse.glove.numpy import cooccurrence, dense, weight

WORDS = "the king queen mother father red wool friday sunday two three river sea".split()


def explorable(sentences, vocabulary):
    """Draw the figure of the chapter: some words of a corpus and how often they meet at each distance.

    Parameters
    ----------
    sentences : sequence of (n,) arrays of int
    vocabulary : rnncourse.data.words.WordVocabulary
        That has the figure's words.

    Returns
    -------
    Explorable
    """
    ids = [vocabulary.id(word) for word in WORDS]
    up_to = [
        dense(cooccurrence(sentences, len(vocabulary), d, "flat"))[np.ix_(ids, ids)].astype(int)
        for d in range(1, 6)
    ]
    meetings = np.diff(up_to, axis=0, prepend=0)
    start = {"window": 5, "weighting": "harmonic", "x_max": 10, "exponent": 0.75}
    data = {"words": WORDS, "meetings": meetings.tolist(), "start": start, "chosen": [5, 6]}
    return Explorable(Path(__file__).with_suffix(".js"), "Which cells of the matrix count", data)


def compute(input):
    """Counts and weights from meetings by distance, as the figure's JavaScript does.

    The weights are those of :func:`rnncourse.glove.numpy.weight`.

    Parameters
    ----------
    input : dict
        ``meetings``, a list of tables (n, n) of integers, the first for distance 1; ``window``, how many of
        them count, ``weighting`` "harmonic" or "flat", ``x_max``, ``exponent``.

    Returns
    -------
    dict
        ``X`` and ``f``, tables (n, n); ``empty``, the share of cells that are zero; ``full``, the share of
        cells that weigh 1; ``half``, how few cells hold half of the weight.
    """
    meetings = np.array(input["meetings"], float)[: input["window"]]
    share = (
        1 / np.arange(1, len(meetings) + 1) if input["weighting"] == "harmonic" else np.ones(len(meetings))
    )
    X = (meetings * share[:, None, None]).sum(0)
    f = weight(X, input["x_max"], input["exponent"])
    largest = np.sort(f.ravel())[::-1].cumsum()
    return {
        "X": X.tolist(),
        "f": f.tolist(),
        "empty": float((X == 0).mean()),
        "full": float((f == 1).mean()),
        "half": int((largest < largest[-1] / 2 * (1 - 1e-12)).sum()) + 1,
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
    n = int(rng.integers(2, 7))
    return {
        "meetings": rng.poisson(rng.exponential(4, (1, n, n)), (5, n, n)).tolist(),
        "window": int(rng.integers(1, 6)),
        "weighting": ["harmonic", "flat"][rng.integers(2)],
        "x_max": float(rng.choice([0.1, 1, 3.5, 10, 100])),
        "exponent": float(rng.uniform(0.1, 1)),
    }

"""Negative sampling as pushes and pulls: one centre and three contexts in the plane."""

from pathlib import Path

import numpy as np

from rnncourse._numerics import sigmoid
from rnncourse.explorable import Explorable

START = {
    "pairs": [4, 3, 1],
    "contexts": [10, 30, 20],
    "total": 100,
    "k": 5,
    "rate": 0.02,
    "v": [0.3, 0.9],
    "u": [[1.1, 0.5], [-0.6, 1.0], [0.7, -0.8]],
}


def explorable():
    """Draw the figure of the chapter; it starts with the counts of the worked numbers.

    Returns
    -------
    Explorable
    """
    title = "Negative sampling pulls and pushes the vectors of one centre and three contexts"
    return Explorable(Path(__file__).with_suffix(".js"), title, {"start": START})


def compute(input):
    """Take steps on the expected loss of one centre and its contexts, as the figure's JavaScript does.

    A context with ``pairs`` n is pulled with the weight n and pushed with k #(i) #(j) / #(), which is
    :eq:`word2vec-expected` times the number of pairs, for one row of the counts.

    Parameters
    ----------
    input : dict
        ``pairs`` #(i, j) and ``contexts`` #(j) by context, ``total`` #(), ``k``, the vectors ``v`` of the
        centre and ``u`` of the contexts, the learning ``rate`` and the number of ``steps``.

    Returns
    -------
    dict
        ``v`` and ``u`` after the steps; by context the dot product ``x``, the strengths ``pull`` and ``push``
        and the optimum ``target`` (None where there is no pair); ``path``, all dot products before each step
        and at the end.
    """
    n, c = np.array(input["pairs"], float), np.array(input["contexts"], float)
    v, u = np.array(input["v"], float), np.array(input["u"], float)
    noise = input["k"] * n.sum() * c / input["total"]
    path = []
    for step in range(input["steps"] + 1):
        x = u @ v
        path.append(x.tolist())
        pull, push = n * sigmoid(-x), noise * sigmoid(x)
        if step < input["steps"]:
            g = push - pull
            v, u = v - input["rate"] * g @ u, u - input["rate"] * g[:, None] * v
    with np.errstate(divide="ignore"):
        target = np.log(n) - np.log(noise)
    return {
        "v": v.tolist(),
        "u": u.tolist(),
        "x": x.tolist(),
        "pull": pull.tolist(),
        "push": push.tolist(),
        "target": [float(t) if np.isfinite(t) else None for t in target],
        "path": path,
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
    pairs = rng.integers(0, 9, 3)
    pairs[0] += 1
    return {
        "pairs": pairs.tolist(),
        "contexts": rng.integers(9, 31, 3).tolist(),
        "total": 100,
        "k": int(rng.integers(1, 16)),
        "rate": float(rng.uniform(0.01, 0.1)),
        "v": rng.uniform(-1, 1, 2).tolist(),
        "u": rng.uniform(-1, 1, (3, 2)).tolist(),
        "steps": int(rng.integers(0, 20)),
    }

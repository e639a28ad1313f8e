"""Step through t-SNE on data whose structure is hidden until asked for."""

from pathlib import Path

import numpy as np

from rnncourse.explorable import Explorable
from rnncourse.similarity.tsne import tsne

N = 60
SETTINGS = {"rate": 10.0, "exaggeration": 4.0, "exaggerated": 100}


def explorable():
    """Draw the figure of the chapter; it starts with a finished map at perplexity 5.

    Returns
    -------
    Explorable
    """
    rng = np.random.default_rng(11)
    sets = [
        {"x": x.round(2).tolist(), "groups": groups.tolist(), "truth": truth}
        for x, groups, truth in (_noise(rng), _line(rng), _gaps(rng), _widths(rng))
    ]
    start = (1e-4 * rng.standard_normal((N, 2))).round(7).tolist()
    data = {"sets": sets, "y_0": start, "settings": SETTINGS, "steps": 400, "perplexity": 5}
    return Explorable(Path(__file__).with_suffix(".js"), "t-SNE step by step: what do you see?", data)


def _noise(rng):
    truth = "One group: noise from one normal distribution in 10 dimensions. Every clump is the map's own."
    return rng.normal(size=(N, 10)), np.zeros(N, int), truth


def _gaps(rng):
    groups = np.arange(N) // 20
    x = rng.normal(size=(N, 10))
    x[:, 0] += np.array([0, 10, 60])[groups]
    truth = (
        "Three groups of 20, in a row: the circles and squares are 10 apart, the squares and triangles 50."
    )
    return x, groups, truth


def _line(rng):
    x = 0.1 * rng.normal(size=(N, 10))
    x[:, 0] += np.linspace(0, 20, N)
    return x, np.zeros(N, int), "One group: points evenly spaced along a straight line, with a little noise."


def _widths(rng):
    groups = np.arange(N) // 30
    x = rng.normal(size=(N, 10)) * np.where(groups == 1, 10.0, 1.0)[:, None]
    x[:, 0] += 100 * groups
    return x, groups, "Two groups of 30: the squares are spread ten times as wide as the circles."


def compute(input):
    """Run t-SNE for some steps, as the figure's JavaScript does.

    Parameters
    ----------
    input : dict
        ``x`` (n, D), ``y_0`` (n, 2), ``perplexity``, ``steps``, ``rate``, ``exaggeration``, ``exaggerated``.

    Returns
    -------
    dict
        ``y`` (n, 2) after the last step, and the ``cost`` there.
    """
    settings = {name: value for name, value in input.items() if name not in ("x", "y_0")}
    found = tsne(np.array(input["x"], float), y_0=np.array(input["y_0"], float), **settings)
    return {"y": found.y.tolist(), "cost": found.cost}


def random_input(rng):
    """Draw an input for `compute`: few steps, since rounding errors grow with each.

    Parameters
    ----------
    rng : np.random.Generator

    Returns
    -------
    dict
    """
    n = int(rng.integers(6, 20))
    return {
        "x": rng.normal(size=(n, int(rng.integers(2, 6)))).tolist(),
        "y_0": rng.normal(size=(n, 2)).tolist(),
        "perplexity": float(rng.uniform(1.5, n - 2.5)),
        "steps": int(rng.integers(1, 15)),
        "rate": 2.0,
        "exaggeration": 4.0,
        "exaggerated": int(rng.integers(0, 10)),
    }

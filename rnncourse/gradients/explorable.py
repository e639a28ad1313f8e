"""The circle and the ellipse: what the steps of a network of two units do to a small change of its state."""

from pathlib import Path

import numpy as np

from rnncourse.explorable import Explorable
from rnncourse.gradients.numpy import (
    activation,
    jacobian_products,
    norm_bound,
    spectral_norm,
    spectral_radius,
)

X = [1, -0.5, 0.5, -1, 1, 0.5, -1, -0.5, 1, -1, 0.5, 1]
H_0 = [1.0, 0.0]


def explorable():
    """Draw the figure of the chapter; it starts at the shear of the chapter, radius one half, step 0.

    Returns
    -------
    Explorable
    """
    start = {"matrix": "shear", "radius": 0.5, "nonlinearity": "linear", "u": 0, "step": 0}
    grows = {"matrix": "nilpotent", "radius": 0, "nonlinearity": "relu", "u": 0, "step": 5}
    keeps = {"matrix": "rotation", "radius": 1, "nonlinearity": "tanh", "u": 1, "step": 6}
    title = "The Jacobian of a later state by the first, step by step"
    data = {"start": start, "grows": grows, "keeps": keeps, "x": X, "h_0": H_0}
    return Explorable(Path(__file__).with_suffix(".js"), title, data)


def compute(input):
    """Follow a network of two units and its Jacobian, as the figure's JavaScript does.

    The network is h_t = f(W h_{t-1} + u x_t (1, -1)); the numbers are those of
    :func:`rnncourse.gradients.numpy.jacobian_products` and :func:`rnncourse.gradients.numpy.norm_bound`. The
    package has no linear network: there the slopes are 1.

    Parameters
    ----------
    input : dict
        ``W`` (2, 2), ``nonlinearity`` "linear", "tanh", "relu" or "sigmoid", ``u``, ``x`` (T numbers), and
        ``h_0`` (2 numbers).

    Returns
    -------
    dict
        ``h`` (T+1, 2), ``products`` (T+1, 2, 2), their singular values ``largest`` and ``least`` and their
        ``bound``, each T+1 numbers, and of W the largest singular value ``sigma`` and the ``radius``.
    """
    W, T = np.array(input["W"], float), len(input["x"])
    linear = input["nonlinearity"] == "linear"
    h = [np.array(input["h_0"], float)]
    for x_t in input["x"]:
        a = W @ h[-1] + input["u"] * x_t * np.array([1.0, -1.0])
        h.append(a if linear else activation(a, input["nonlinearity"]))
    h = np.stack(h)
    # A linear unit is a ReLU that is on.
    states, name = (np.ones_like(h), "relu") if linear else (h, input["nonlinearity"])
    products = jacobian_products(states[1:, None], W, name)[:, 0]
    return {
        "h": h.tolist(),
        "products": products.tolist(),
        "largest": spectral_norm(products).tolist(),
        "least": np.linalg.norm(products, -2, axis=(1, 2)).tolist(),
        "bound": norm_bound(W, name, np.arange(T + 1)).tolist(),
        "sigma": float(spectral_norm(W)),
        "radius": spectral_radius(W),
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
    T = int(rng.integers(1, 9))
    return {
        "W": rng.normal(size=(2, 2)).tolist(),
        "nonlinearity": ["linear", "tanh", "relu", "sigmoid"][rng.integers(4)],
        "u": float(rng.uniform(0, 2)),
        "x": rng.uniform(-1, 1, T).tolist(),
        "h_0": rng.uniform(-1, 1, 2).tolist(),
    }

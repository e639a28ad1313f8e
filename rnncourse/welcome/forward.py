"""Minute 6: the forward pass in five lines, beside its equations."""

from pathlib import Path

import numpy as np

from rnncourse.explorable import Explorable
from rnncourse.rnn.numpy import OutputParams, RNNParams, output_forward, rnn_step

WEIGHTS = ("W_ih", "W_hh", "b_ih", "b_hh")


def draw(rng, D, H, T):
    """Draw inputs and weights with one decimal, so that what is printed is what is computed with.

    Parameters
    ----------
    rng : np.random.Generator
    D, H, T : int
        Input size, hidden size and number of steps.

    Returns
    -------
    dict
        Lists: ``x`` (T, D); ``W_ih`` (H, D), ``W_hh`` (H, H), ``b_ih`` and ``b_hh`` (H,).
    """
    shapes = {"x": (T, D), "W_ih": (H, D), "W_hh": (H, H), "b_ih": (H,), "b_hh": (H,)}
    return {name: decimals(rng, shape).tolist() for name, shape in shapes.items()}


def decimals(rng, shape):
    """Numbers from -0.9 to 0.9 with one decimal; no zeros, which would hide what multiplies them."""
    return rng.integers(1, 10, shape) * rng.choice([-1, 1], shape) / 10


def rnn_params(numbers):
    """The package's parameters from a dict with the names of the page."""
    return RNNParams(*(np.array(numbers[name], float) for name in WEIGHTS))


def explorable():
    """Set code and equation side by side; a symbol lights up in both and shows its shape and its numbers.

    Returns
    -------
    Explorable
    """
    rng = np.random.default_rng(7)
    data = {
        **draw(rng, D=2, H=3, T=4),
        "W": decimals(rng, (1, 3)).tolist(),
        "b": [0.2],
        "h_0": [0.0, 0.0, 0.0],
    }
    return Explorable(Path(__file__).with_suffix(".js"), "The forward pass: code beside equation", data)


def compute(input):
    """One step of the forward pass.

    Parameters
    ----------
    input : dict
        ``x`` (D,); ``h`` (H,), the state before the step; ``W_ih`` (H, D), ``W_hh`` (H, H), ``b_ih`` and
        ``b_hh`` (H,); ``W`` (V, H), ``b`` (V,).

    Returns
    -------
    dict
        ``a`` (H,), ``h`` (H,), ``o`` (V,).
    """
    x, h = np.array(input["x"], float), np.array(input["h"], float)
    params = rnn_params(input)
    W_ih, W_hh, b_ih, b_hh = params
    h_t = rnn_step(x[None], h[None], params)
    o, _ = output_forward(h_t[None], OutputParams(np.array(input["W"], float), np.array(input["b"], float)))
    return {"a": (W_ih @ x + W_hh @ h + b_ih + b_hh).tolist(), "h": h_t[0].tolist(), "o": o[0, 0].tolist()}


def random_input(rng):
    """Draw one step of a network of random sizes.

    Parameters
    ----------
    rng : np.random.Generator

    Returns
    -------
    dict
        An input of :func:`compute`.
    """
    D, H, V = rng.integers(1, 5, 3)
    shapes = dict(zip(WEIGHTS, [(H, D), (H, H), (H,), (H,)], strict=True))
    shapes |= {"x": (D,), "h": (H,), "W": (V, H), "b": (V,)}
    return {name: rng.normal(size=shape).tolist() for name, shape in shapes.items()}

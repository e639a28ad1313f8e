"""The triangle of contributions: one loss's gradient flows back through every use of one weight."""

from pathlib import Path

import numpy as np

from rnncourse.bptt.numpy import contributions, rnn_backward_truncated
from rnncourse.explorable import Explorable
from rnncourse.rnn.numpy import RNNParams, rnn_forward

X = [1, -0.5, 0.5, -1, 1, 0.5, -1, -0.5, 1, -1, 0.5, 1]


def explorable():
    """Draw the figure of the chapter; it starts at h_t = 2 h_{t-1}, h_0 = 1, T = 3, L = h_3.

    Returns
    -------
    Explorable
    """
    fade = {"nonlinearity": "tanh", "T": 8, "w": 0.9, "u": 1, "h_0": 1, "loss": "states", "k1": 1, "k2": 8}
    start = {"nonlinearity": "linear", "T": 3, "w": 2, "u": 0, "h_0": 1, "loss": "last", "k1": 1, "k2": 2}
    title = "The gradient through each use of a recurrent weight"
    return Explorable(Path(__file__).with_suffix(".js"), title, {"start": start, "fade": fade, "x": X})


def compute(input):
    """Send the losses of a scalar network back through time, as the figure's JavaScript does.

    With tanh the numbers are those of :func:`rnncourse.bptt.numpy.contributions` and
    :func:`rnncourse.bptt.numpy.rnn_backward_truncated` with H = D = B = 1. The package has no linear network:
    there the formula is written out, entry [s, t] being ∂⁺L_s/∂h_s w^(s - t) h_{t-1}, with the
    immediate gradient of loss s.

    Parameters
    ----------
    input : dict
        ``nonlinearity`` "linear" or "tanh", ``T``, ``w``, ``u``, ``h_0``, ``x`` (T numbers), ``loss`` "last"
        for h_T alone, "states" for L_s = h_s or "squares" for L_s = h_s^2 / 2 at each step, and the
        truncation ``k1`` <= ``k2`` <= T.

    Returns
    -------
    dict
        ``h`` (T+1 numbers), ``triangle`` (T, T) with losses as rows and uses as columns, its sums ``rows``,
        ``columns``, ``total``, ``kept`` (T, T) of 0 and 1, ``truncated``, and ``windows``, the truncated
        gradient for each window from k1 to T.
    """
    T, k1, k2 = input["T"], input["k1"], input["k2"]
    w, u = float(input["w"]), float(input["u"])
    h_0 = np.full((1, 1), input["h_0"], float)
    x = np.array(input["x"], float).reshape(T, 1, 1)
    s, t = np.indices((T, T))
    stop = np.minimum(s - s % k1 + k1, T)

    def kept(window):
        return (t <= s) & (t >= stop - window)

    if input["nonlinearity"] == "tanh":
        params = RNNParams(np.full((1, 1), u), np.full((1, 1), w), np.zeros(1), np.zeros(1))
        _, _, cache = rnn_forward(x, h_0, params)
        h = cache.h[:, 0, 0]
        dh = _loss_gradient(h, input["loss"])
        triangle = contributions(dh.reshape(T, 1, 1), cache)[:, :, 0, 0]

        def truncated(window):
            return rnn_backward_truncated(dh.reshape(T, 1, 1), cache, k1, window)[2].weight_hh[0, 0]
    else:
        h = np.empty(T + 1)
        h[0] = h_0[0, 0]
        for i in range(T):
            h[i + 1] = w * h[i] + u * x[i, 0, 0]
        dh = _loss_gradient(h, input["loss"])
        triangle = np.tril(dh[:, None] * w ** np.maximum(s - t, 0) * h[:-1])

        def truncated(window):
            return (triangle * kept(window)).sum()

    return {
        "h": h.tolist(),
        "triangle": triangle.tolist(),
        "rows": triangle.sum(1).tolist(),
        "columns": triangle.sum(0).tolist(),
        "total": float(triangle.sum()),
        "kept": kept(k2).astype(int).tolist(),
        "truncated": float(truncated(k2)),
        "windows": [float(truncated(window)) for window in range(k1, T + 1)],
    }


def _loss_gradient(h, loss):
    """The immediate gradients ∂⁺L_s/∂h_s at h_1 .. h_T."""
    if loss != "last":
        return h[1:].copy() if loss == "squares" else np.ones(len(h) - 1)
    return np.append(np.zeros(len(h) - 2), 1.0)


def random_input(rng):
    """Draw an input for `compute`.

    Parameters
    ----------
    rng : np.random.Generator

    Returns
    -------
    dict
    """
    T = int(rng.integers(2, 13))
    k1 = int(rng.integers(1, T + 1))
    return {
        "nonlinearity": ["linear", "tanh"][rng.integers(2)],
        "T": T,
        "w": float(rng.uniform(-2, 2)),
        "u": float(rng.uniform(-1, 1)),
        "h_0": float(rng.uniform(-1, 1)),
        "x": rng.uniform(-1, 1, T).tolist(),
        "loss": ["last", "states", "squares"][rng.integers(3)],
        "k1": k1,
        "k2": int(rng.integers(k1, T + 1)),
    }

"""One LSTM cell whose gates the reader operates, to carry a number through noise; or the trained net does."""

from pathlib import Path

import numpy as np

from rnncourse._numerics import sigmoid
from rnncourse.explorable import Explorable

T = 12
# One unit trained by rnncourse.lstm.experiment.train_latch: the weights of book/results/lstm-latch.json.
# Rows i, f, g, o; columns of weight_ih: the number, the mark "store", the mark "ask".
NET = {
    "weight_ih": [
        [0.459, 8.958, -0.12],
        [-1.593, -6.142, 3.962],
        [0.404, 0.524, -0.125],
        [0.018, -0.551, 7.893],
    ],
    "weight_hh": [-4.171, 1.612, 6.502, 0.534],
    "bias": [-5.33, 8.076, -0.504, -5.675],
    "readout": 2.921,
    "readout_bias": -0.002,
}
# Numbers from -0.9 to 0.9, the step that stores and the step that asks, counted from 0; set by hand.
SEQUENCES = [
    {"x": [-0.4, 0.3, 0.7, -0.8, 0.5, -0.6, 0.9, 0.2, -0.7, 0.4, -0.3, 0.6], "store": 2, "ask": 10},
    {"x": [-0.5, 0.8, 0.6, -0.2, 0.9, 0.7, 0.8, -0.1, 0.9, 0.5, 0.6, 0.4], "store": 0, "ask": 11},
    {"x": [0.9, -0.7, 0.2, -0.8, 0.9, -0.5, -0.8, 0.3, -0.6, -0.9, 0.7, -0.4], "store": 3, "ask": 8},
]


def explorable():
    """Draw the figure of the chapter; it starts with all gates half open, in the reader's hands.

    Returns
    -------
    Explorable
    """
    data = {"net": NET, "sequences": SEQUENCES}
    return Explorable(Path(__file__).with_suffix(".js"), "Operate the gates of an LSTM cell", data)


def compute(input):
    """Run the cell, as the figure's JavaScript does.

    Parameters
    ----------
    input : dict
        ``net``: ``weight_ih`` (4, 3), ``weight_hh``, ``bias`` (4,), ``readout`` and ``readout_bias``; ``x``
        (T,), ``store`` and ``ask``; ``gates``: for each of i, f, o a list of T values, or None for the net's.

    Returns
    -------
    dict
        ``i``, ``f``, ``g``, ``o``, ``c``, ``h``, ``answer`` (T,); ``path``, the product of the forget gates
        from the step after `store` to `ask`; ``own``, what of the stored candidate is in the cell at
        `ask`, and ``noise``, all else there; ``error`` of the answer at `ask`, and ``leak``, the largest
        answer elsewhere.
    """
    net, x, store, ask = (input[name] for name in ("net", "x", "store", "ask"))
    weight_ih, weight_hh, bias = (np.array(net[name], float) for name in ("weight_ih", "weight_hh", "bias"))
    h = c = 0.0
    rows = {name: [] for name in ("i", "f", "g", "o", "c", "h", "answer")}
    for t, value in enumerate(x):
        a = weight_ih @ [value, t == store, t == ask] + weight_hh * h + bias
        i, f, o = sigmoid(a[[0, 1, 3]])
        own = (None if input["gates"][name] is None else input["gates"][name][t] for name in "ifo")
        i, f, o = (net_s if mine is None else mine for net_s, mine in zip((i, f, o), own, strict=True))
        g = np.tanh(a[2])
        c = f * c + i * g
        h = o * np.tanh(c)
        answer = net["readout"] * h + net["readout_bias"]
        for name, number in zip(rows, (i, f, g, o, c, h, answer), strict=True):
            rows[name].append(float(number))
    path = float(np.prod(rows["f"][store + 1 : ask + 1]))
    stored = path * rows["i"][store] * rows["g"][store]
    return rows | {
        "path": path,
        "own": stored,
        "noise": rows["c"][ask] - stored,
        "error": abs(rows["answer"][ask] - x[store]),
        "leak": max(abs(answer) for t, answer in enumerate(rows["answer"]) if t != ask),
    }


def random_input(rng):
    """Draw an input for `compute`: the trained net, or another, with some of its gates taken over.

    Parameters
    ----------
    rng : np.random.Generator

    Returns
    -------
    dict
    """
    steps = int(rng.integers(4, T + 1))
    net = {
        "weight_ih": rng.normal(size=(4, 3)).tolist(),
        "weight_hh": rng.normal(size=4).tolist(),
        "bias": rng.normal(size=4).tolist(),
        "readout": float(rng.normal()),
        "readout_bias": float(rng.normal()),
    }
    store = int(rng.integers(0, steps - 1))
    return {
        "net": NET if rng.random() < 0.5 else net,
        "x": rng.uniform(-0.9, 0.9, steps).tolist(),
        "store": store,
        "ask": int(rng.integers(store + 1, steps)),
        "gates": {name: None if rng.random() < 0.4 else rng.random(steps).tolist() for name in "ifo"},
    }

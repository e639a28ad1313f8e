"""Which inputs can reach an output, by direction, depth and padding."""

from pathlib import Path

import numpy as np

from rnncourse.deep.numpy import count_paths
from rnncourse.explorable import Explorable

DIRECTIONS = ["forward", "backward", "bidirectional", "alternating"]


def explorable():
    """Draw the figure of the chapter; it starts with two bidirectional layers that read the padding.

    Returns
    -------
    Explorable
    """
    start = {"direction": "bidirectional", "layers": 2, "n": 5, "pads": 2, "packed": False, "output": 2}
    return Explorable(Path(__file__).with_suffix(".js"), "Which inputs reach an output", {"start": start})


def compute(input):
    """Follow an output back to the inputs, as the figure's JavaScript does.

    The numbers are those of :func:`rnncourse.deep.numpy.count_paths`, on the real steps if the sequence is
    packed, else on padding too.

    Parameters
    ----------
    input : dict
        ``direction``, ``layers``, ``n`` real steps, ``pads`` steps of padding, ``packed`` (whether the
        network is told the length) and ``output``, the place of a real step, counted from 0.

    Returns
    -------
    dict
        ``paths`` (n, n + pads), from each input to each real output; ``alive`` (layers + 1, n + pads) of 0
        and 1, what can reach the chosen output: the inputs, then each layer's results; ``padding``, how many
        steps of padding reach it; ``answer``, whether the next input does.
    """
    n, pads, output = input["n"], input["pads"], input["output"]
    read = n if input["packed"] else n + pads
    paths = np.zeros((n, n + pads))
    paths[:, :read] = count_paths(read, input["layers"], input["direction"])[:n]
    alive = [(np.arange(n + pads) == output).astype(int)]
    for k in reversed(range(input["layers"])):
        kind = input["direction"]
        if kind == "alternating":
            kind = ["forward", "backward"][k % 2]
        below = np.zeros(n + pads, int)
        below[:read] = alive[0][:read] @ count_paths(read, 1, kind) > 0
        alive.insert(0, below)
    return {
        "paths": paths.tolist(),
        "alive": np.array(alive).tolist(),
        "padding": int((paths[output, n:] > 0).sum()),
        "answer": bool(output + 1 < n and paths[output, output + 1] > 0),
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
    n = int(rng.integers(2, 8))
    return {
        "direction": DIRECTIONS[rng.integers(4)],
        "layers": int(rng.integers(1, 5)),
        "n": n,
        "pads": int(rng.integers(0, 4)),
        "packed": bool(rng.integers(2)),
        "output": int(rng.integers(n)),
    }

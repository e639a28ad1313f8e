"""Minute 0: ten numbers that read bits and know the parity of what they have read."""

from pathlib import Path

import numpy as np

from rnncourse.explorable import Explorable
from rnncourse.rnn.machines import parity_machine
from rnncourse.rnn.numpy import OutputParams, RNNParams, output_forward, rnn_forward


def _weights(params, output_params):
    return {
        "W_ih": params.weight_ih.tolist(),
        "W_hh": params.weight_hh.tolist(),
        "b": params.bias_ih.tolist(),
        "W_out": output_params.weight.tolist(),
    }


def explorable():
    """Build the figure: the machine reads random bits or the reader's; its ten numbers can be changed.

    Returns
    -------
    Explorable
    """
    data = {"weights": _weights(*parity_machine()), "seed": 4}
    return Explorable(Path(__file__).with_suffix(".js"), "A machine of ten numbers that reads bits", data)


def compute(input):
    """Read bits with a ReLU network of two units.

    Parameters
    ----------
    input : dict
        ``bits``, T numbers 0 or 1; ``W_ih`` (2, 1), ``W_hh`` (2, 2), ``b`` (2,), ``W_out`` (1, 2).

    Returns
    -------
    dict
        ``outputs``, T numbers, None where not finite; ``first_wrong``, the place, counted from 1, of the
        first output on the other side of 1/2 than the parity, None if there is none.
    """
    bits = np.array(input["bits"], float)
    params = RNNParams(*(np.array(input[name], float) for name in ("W_ih", "W_hh", "b")), np.zeros(2))
    # Numbers that the reader has changed may let the state grow without bound; that is a result, not a fault.
    with np.errstate(over="ignore", invalid="ignore"):
        h, _, _ = rnn_forward(bits[:, None, None], np.zeros((1, 2)), params, "relu")
        logits, _ = output_forward(h, OutputParams(np.array(input["W_out"], float), np.zeros(1)))
    outputs = logits[:, 0, 0]
    wrong = np.flatnonzero((outputs > 0.5) != (np.cumsum(bits) % 2 == 1))
    return {
        "outputs": [y if np.isfinite(y) else None for y in outputs.tolist()],
        "first_wrong": int(wrong[0]) + 1 if len(wrong) else None,
    }


def random_input(rng):
    """Draw bits and a machine: the right one, one with its W_hh scaled, or one with a number changed.

    Parameters
    ----------
    rng : np.random.Generator

    Returns
    -------
    dict
        An input of :func:`compute`.
    """
    params, output_params = parity_machine()
    arrays = [params.weight_ih, params.weight_hh, params.bias_ih, output_params.weight]
    params.weight_hh[...] *= rng.choice([1, 1.01, 0.99])
    if rng.random() < 0.5:
        changed = arrays[rng.integers(len(arrays))]
        changed.flat[rng.integers(changed.size)] += rng.normal(0, 0.2)
    return {"bits": rng.integers(0, 2, 40).tolist(), **_weights(params, output_params)}

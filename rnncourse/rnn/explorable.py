"""Unroll a recurrent network and step through its hidden state: the parity machine, or letters read."""

from pathlib import Path

import numpy as np

from rnncourse.explorable import Explorable
from rnncourse.rnn.machines import parity_machine
from rnncourse.rnn.numpy import OutputParams, RNNParams, output_forward, rnn_forward, rnn_init

BITS = [1, 0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0]
WORD = "banana"


def explorable():
    """Draw the figure of the chapter; it starts with the parity machine on 1, 0, 1, 1.

    Returns
    -------
    Explorable
    """
    params, output_params = parity_machine()
    letters = rnn_init(np.random.default_rng(3), D=26, H=4)
    machines = {
        "parity": _machine("relu", params, output_params),
        # The seed and the factor 2 were picked so that two states of one letter differ at a glance.
        "word": _machine("tanh", letters._replace(weight_hh=2 * letters.weight_hh)),
    }
    data = {"machines": machines, "bits": BITS, "word": WORD, "shown": 4}
    title = "A hidden state, folded and unrolled, in numbers"
    return Explorable(Path(__file__).with_suffix(".js"), title, data)


def _machine(nonlinearity, params, output_params=None):
    """Weights as lists, rounded to the two decimals that the figure prints."""
    return {
        "nonlinearity": nonlinearity,
        "weight_ih": params.weight_ih.round(2).tolist(),
        "weight_hh": params.weight_hh.round(2).tolist(),
        "bias": (params.bias_ih + params.bias_hh).round(2).tolist(),
        "readout": None if output_params is None else output_params.weight[0].tolist(),
    }


def compute(input):
    """Run the network over the sequence, as the figure's JavaScript does.

    Parameters
    ----------
    input : dict
        ``nonlinearity``, ``weight_ih`` (H, D), ``weight_hh`` (H, H), ``bias`` (H,), ``readout`` (H,) or None,
        and ``x`` (T, D); where there is a readout, D = 1 and x holds bits.

    Returns
    -------
    dict
        ``from_input`` and ``from_state`` (T, H), the two products; ``a`` (T, H); ``h`` (T+1, H) from a zero
        state; with a readout also ``o`` (T,), the true ``parity`` (T,), and ``first_wrong``, the first step
        (from 1) at which o > 1/2 and the parity disagree, or None.
    """
    x = np.array(input["x"], float)[:, None]
    bias = np.array(input["bias"], float)
    weight_ih, weight_hh = (np.array(input[name], float) for name in ["weight_ih", "weight_hh"])
    params = RNNParams(weight_ih, weight_hh, bias, np.zeros_like(bias))
    output, _, cache = rnn_forward(x, np.zeros((1, len(bias))), params, input["nonlinearity"])
    from_input = x[:, 0] @ weight_ih.T
    from_state = cache.h[:-1, 0] @ weight_hh.T
    result = {
        "from_input": from_input.tolist(),
        "from_state": from_state.tolist(),
        "a": (from_input + from_state + bias).tolist(),
        "h": cache.h[:, 0].tolist(),
        "o": None,
        "parity": None,
        "first_wrong": None,
    }
    if input["readout"] is not None:
        o, _ = output_forward(output, OutputParams(np.array([input["readout"]], float), np.zeros(1)))
        parity = x[:, 0, 0].cumsum().astype(int) % 2
        wrong = np.flatnonzero((o[:, 0, 0] > 0.5) != (parity == 1))
        result["o"] = o[:, 0, 0].tolist()
        result["parity"] = parity.tolist()
        result["first_wrong"] = int(wrong[0]) + 1 if wrong.size else None
    return result


def random_input(rng):
    """Draw an input for `compute`: a parity machine with disturbed weights, or a tanh network.

    Parameters
    ----------
    rng : np.random.Generator

    Returns
    -------
    dict
    """
    T = int(rng.integers(1, 13))
    if rng.random() < 0.5:
        machine = _machine("relu", *parity_machine())
        x = rng.integers(0, 2, (T, 1)).tolist()
        spread = rng.choice([0, 0.02, 0.3])
    else:
        machine = _machine("tanh", rnn_init(rng, D=26, H=4))
        x = np.eye(26, dtype=int)[rng.integers(26, size=T)].tolist()
        spread = 0.5
    for name in ["weight_ih", "weight_hh", "bias", "readout"]:
        if machine[name] is not None:
            values = np.array(machine[name])
            machine[name] = (values + spread * rng.standard_normal(values.shape)).tolist()
    return {"x": x, **machine}

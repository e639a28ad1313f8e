"""What the gradient costs by the backward and by the forward way."""

import numpy as np

from rnncourse.bptt.numpy import rnn_backward, rtrl_gradient, rtrl_init, rtrl_step
from rnncourse.record import fastest
from rnncourse.rnn.numpy import rnn_forward, rnn_init


def step_seconds(H, D=8, T=50):
    """Wall time per step of one sequence, forward pass and gradient.

    Returns
    -------
    forwards, backwards : float
        By real-time recurrent learning, and by backpropagation through time over T steps.
    """
    rng = np.random.default_rng(0)
    params, h_0 = rnn_init(rng, D, H), np.zeros((1, H))
    x, doutput = rng.normal(size=(T, 1, D)), rng.normal(size=(T, 1, H))
    state = rtrl_step(x[0], rtrl_init(h_0, params), params)
    forwards = fastest(lambda: rtrl_gradient(doutput[0], rtrl_step(x[0], state, params)))
    backwards = fastest(lambda: rnn_backward(doutput, h_0, rnn_forward(x, h_0, params)[2]))
    return forwards, backwards / T


def record_cost():
    """Time per step by hidden size, in ms: ``book/results/bptt-cost.json``."""
    sizes = [8, 16, 32, 64, 96]
    times = 1e3 * np.array([step_seconds(H) for H in sizes])
    return {
        "sizes": sizes,
        "ms_forwards": times[:, 0].round(5).tolist(),
        "ms_backwards": times[:, 1].round(5).tolist(),
    }


RECORDS = {"cost": record_cost}

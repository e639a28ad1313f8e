"""What the graded exercise on the LSTM asks, and how an answer is judged."""

import numpy as np

from rnncourse.grading.check import Parity, Property, draw_sizes
from rnncourse.lstm.mutants import BACKWARD, PEEPHOLE, STEP
from rnncourse.lstm.numpy import LSTMCache, lstm_backward, lstm_forward, lstm_init, lstm_step
from rnncourse.lstm.variants import (
    PeepholeParams,
    VariantCache,
    peephole_backward,
    peephole_forward,
    variant_init,
)


def _draw_step(rng):
    T, B, D, H = draw_sizes(rng)
    return rng.normal(size=(B, D)), tuple(rng.normal(size=(2, B, H))), lstm_init(rng, D, H)


def _draw(rng, forward=lstm_forward, init=lstm_init, T=None):
    drawn_T, B, D, H = draw_sizes(rng)
    T = T or drawn_T
    params = init(rng, D, H)
    _, _, cache = forward(rng.normal(size=(T, B, D)), tuple(rng.normal(size=(2, B, H))), params)
    doutput, dstate = rng.normal(size=(T, B, H)), tuple(rng.normal(size=(2, B, H)))
    return doutput, dstate, cache.x, cache.h, cache.c, cache.gates, params


def _draw_one(rng):
    _, dstate, x, h, c, gates, params = _draw(rng, T=1)
    return *dstate, x[0], h[0], c[0], c[1], gates[0], params


def _call_one(backward, dh, dc, x_t, h_prev, c_prev, c_t, gates, params):
    h_t = gates[:, -h_prev.shape[1] :] * np.tanh(c_t)
    cache = LSTMCache(x_t[None], np.stack([h_prev, h_t]), np.stack([c_prev, c_t]), gates[None], params)
    dx, dstate, dparams = backward(dh[None], (np.zeros_like(dh), dc), cache)
    return dx[0], *dstate, dparams


def _call(backward, doutput, dstate, x, h, c, gates, params):
    dx, (dh_0, dc_0), dparams = backward(doutput, dstate, LSTMCache(x, h, c, gates, params))
    return dx, dh_0, dc_0, dparams


def _call_peephole(backward, doutput, dstate, x, h, c, gates, params):
    dx, (dh_0, dc_0), dparams = backward(doutput, dstate, VariantCache(x, h, c, gates, params))
    return dx, dh_0, dc_0, dparams


def _draw_peephole(rng):
    return _draw(rng, peephole_forward, lambda rng, D, H: variant_init(rng, PeepholeParams, D, H))


def count(n, i, f, g):
    """The cell after n steps with the same gates and candidate, from zero."""
    c = 0.0
    for _ in range(n):
        c = f * c + i * g
    return c


def _draw_gates(rng):
    i, f = rng.uniform(0.3, 0.99), rng.uniform(0.8, 0.995)
    return float(i), float(f), float(rng.uniform(0.2, 0.95) * rng.choice([-1, 1]))


def _judge_ceiling(answer, rng):
    for gates in (_draw_gates(rng) for _ in range(5)):
        far, said = abs(count(20_000, *gates)), answer(*gates)
        if not np.isclose(said, far, rtol=1e-6):
            i, f, g = (round(value, 3) for value in gates)
            raise AssertionError(
                f"with i = {i}, f = {f}, g = {g} the cell is at {far:.4f} after 20,000 steps, "
                f"yours says {said:.4f}"
            )


def _judge_told_apart(answer, rng):
    for _ in range(5):
        i, f, g = _draw_gates(rng)
        step = float(abs(i * g) * rng.uniform(0.02, 0.5))
        n = 1
        # The counts n - 1 and n, and from there on no two that follow one another.
        while abs(count(n + 1, i, f, g) - count(n, i, f, g)) >= step:
            n += 1
        said = answer(i, f, g, step)
        if said != n:
            raise AssertionError(
                f"with i = {i:.3f}, f = {f:.3f}, g = {g:.3f} and a step of {step:.4f} the last count that "
                f"differs from the one before it is {n}, yours says {said}"
            )


# In one step the carry of the hidden state comes in as dh, and the two mistakes with dc_T are one.
ONE = tuple(m for m in BACKWARD if "carry of the hidden" not in m.name and "final cell" not in m.name)
GRADIENTS = ("dx", "dh_0", "dc_0", "dparams")
QUESTIONS = {
    "q1": Parity(lstm_step, _draw_step, ("h", "c"), STEP),
    "q2": Parity(lstm_backward, _draw_one, ("dx_t", "dh_prev", "dc_prev", "dparams"), ONE, _call_one),
    "q3": Parity(lstm_backward, _draw, GRADIENTS, BACKWARD, _call),
    "q4": Parity(peephole_backward, _draw_peephole, GRADIENTS, PEEPHOLE, _call_peephole),
    "q5": Property(_judge_ceiling),
    "q6": Property(_judge_told_apart),
}
